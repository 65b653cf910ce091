//! Crafting packets, right ones and wrong ones: each layer is bytes that the next one carries.
//!
//! Nothing is checked here. Lengths and checksums are right unless they are asked to be otherwise, so that a packet that
//! is dropped was dropped for what it says.

pub mod arp;
pub mod dhcp;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod mark;
pub mod ndp;
pub mod transport;

use std::net::IpAddr;

/// The Internet checksum: RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The checksum of `message`, which `protocol` carries from `source` to `destination`: RFC 8200 section 8.1.
///
/// # Panics
/// When the addresses are not of one family.
pub fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> u16 {
    let mut all = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            all.extend(source.octets());
            all.extend(destination.octets());
            all.extend([0, protocol]);
            all.extend((message.len() as u16).to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            all.extend(source.octets());
            all.extend(destination.octets());
            all.extend((message.len() as u32).to_be_bytes());
            all.extend([0, 0, 0, protocol]);
        }
        _ => panic!("{source} and {destination} are not of one family"),
    }
    all.extend(message);
    checksum(&all)
}

/// Writes `value` at `at`.
pub(crate) fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
