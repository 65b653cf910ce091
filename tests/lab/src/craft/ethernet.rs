//! Ethernet: IEEE 802.3, VLAN tags of 802.1Q.

use crate::Mac;

/// EtherType of a VLAN tag (802.1Q, "customer").
pub const C_TAG: u16 = 0x8100;
/// EtherType of an outer VLAN tag (802.1ad, "service").
pub const S_TAG: u16 = 0x88a8;

/// A frame from `source` to `destination`.
pub fn frame(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(14 + payload.len());
    bytes.extend(destination.0);
    bytes.extend(source.0);
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `frame` with a VLAN tag in front of its EtherType: `tag` is [`C_TAG`] or [`S_TAG`], `tci` priority and identifier.
pub fn tagged(frame: &[u8], tag: u16, tci: u16) -> Vec<u8> {
    let mut bytes = frame[..12].to_vec();
    bytes.extend(tag.to_be_bytes());
    bytes.extend(tci.to_be_bytes());
    bytes.extend(&frame[12..]);
    bytes
}

/// A frame of IEEE 802.3 with a length, LLC and SNAP: `payload` in the disguise of RFC 1042.
pub fn snap(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut inner = vec![0xaa, 0xaa, 0x03, 0, 0, 0];
    inner.extend(ethertype.to_be_bytes());
    inner.extend(payload);
    llc(destination, source, &inner)
}

/// A frame of IEEE 802.3 with a length instead of an EtherType.
pub fn llc(destination: Mac, source: Mac, payload: &[u8]) -> Vec<u8> {
    frame(destination, source, payload.len() as u16, payload)
}

/// `frame` from another Ethernet source.
pub fn from(frame: &[u8], source: Mac) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes[6..12].copy_from_slice(&source.0);
    bytes
}

/// `frame` to another Ethernet destination.
pub fn to(frame: &[u8], destination: Mac) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes[..6].copy_from_slice(&destination.0);
    bytes
}
