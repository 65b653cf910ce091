//! Neighbour discovery: RFC 4861. Bodies of messages of ICMPv6, and their options.

use std::net::Ipv6Addr;

use crate::Mac;

/// Router solicitation.
pub const ROUTER_SOLICITATION: u8 = 133;
/// Router advertisement.
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// Neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// Neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// Redirect.
pub const REDIRECT: u8 = 137;

/// The option with the sender's MAC address.
pub fn source_mac(mac: Mac) -> Vec<u8> {
    option(1, &mac.0)
}

/// The option with the target's MAC address.
pub fn target_mac(mac: Mac) -> Vec<u8> {
    option(2, &mac.0)
}

/// A nonce: RFC 3971 section 5.3.2, for RFC 7527.
pub fn nonce() -> Vec<u8> {
    option(14, b"random")
}

/// An option of the type `kind`, filled up to a multiple of eight bytes.
pub fn option(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = (value.len() + 2).next_multiple_of(8);
    let mut bytes = vec![kind, (length / 8) as u8];
    bytes.extend(value);
    bytes.resize(length, 0);
    bytes
}

/// The body of a solicitation for `target`, or with zero flags of an advertisement.
pub fn body(flags: u32, target: Ipv6Addr, options: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = flags.to_be_bytes().to_vec();
    bytes.extend(target.octets());
    bytes.extend(options.concat());
    bytes
}

/// Solicited and override.
pub const SOLICITED: u32 = 0x6000_0000;

/// The body of a router solicitation.
pub fn router_solicitation(options: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(options.concat());
    bytes
}

/// The body of a router advertisement with the prefix `prefix`, to be on the link and for addresses.
pub fn router_advertisement(prefix: Ipv6Addr, options: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut information = vec![64, 0xc0, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
    information.extend(prefix.octets());
    bytes.extend(option(3, &information));
    bytes.extend(options.concat());
    bytes
}

/// The body of a redirect of what is for `destination` to `target`.
pub fn redirect(target: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(target.octets());
    bytes.extend(destination.octets());
    bytes
}
