//! DHCP: RFC 2131, RFC 8415. As far as a filter could look.

use crate::Mac;

/// A message of DHCPv4: `operation` is 1 from a client, 2 from a server; `kind` the type of option 53.
pub fn dhcpv4(operation: u8, client: Mac, kind: u8) -> Vec<u8> {
    let mut bytes = vec![operation, 1, 6, 0];
    bytes.extend(*b"gnet");
    bytes.resize(28, 0);
    bytes.extend(client.0);
    bytes.resize(236, 0);
    // The magic cookie, the message type, the end.
    bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 255]);
    bytes
}

/// A message of DHCPv6 with the client identifier that follows from `client` (DUID-LL).
pub fn dhcpv6(kind: u8, client: Mac) -> Vec<u8> {
    let mut bytes = vec![kind, b'g', b'n', b'e', 0, 1, 0, 10, 0, 3, 0, 1];
    bytes.extend(client.0);
    bytes
}
