//! ICMP, ICMPv6, IGMP and MLD: RFC 792, 4443, 2236, 3810.

use std::net::{IpAddr, Ipv6Addr};

use super::{checksum, put, transport_checksum};

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of IGMP.
pub const IGMP: u8 = 2;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// A message of ICMP or IGMP: `body` is what follows the checksum.
pub fn icmp(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(body);
    let sum = checksum(&bytes);
    put(&mut bytes, 2, sum);
    bytes
}

/// A message of ICMPv6: `body` is what follows the checksum.
pub fn icmpv6(source: Ipv6Addr, destination: Ipv6Addr, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(body);
    let sum = transport_checksum(IpAddr::V6(source), IpAddr::V6(destination), ICMPV6, &bytes);
    put(&mut bytes, 2, sum);
    bytes
}

/// The body of an MLDv2 report of one group, which the sender joins.
pub fn mld2_report(group: Ipv6Addr) -> Vec<u8> {
    // One record: "change to exclude mode", of no sources.
    let mut body = vec![0, 0, 0, 1, 4, 0, 0, 0];
    body.extend(group.octets());
    body
}

/// The body of an MLDv1 message about `group`.
pub fn mld1(group: Ipv6Addr) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(group.octets());
    body
}
