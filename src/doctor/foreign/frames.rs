//! The bytes of sample packets. They are never sent, so checksums are zero.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::Mac;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ESP: u8 = 50;
pub(super) const ICMPV6: u8 = 58;

/// EtherTypes.
pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86dd;

/// The flag SYN, and SYN with ACK.
pub(super) const SYN: u8 = 2;
pub(super) const SYN_ACK: u8 = 18;

/// A packet of either family, from `from` to `to` with the hop limit `hops`.
pub(super) fn ip(from: IpAddr, to: IpAddr, protocol: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = (20 + payload.len()) as u16;
            let mut bytes = vec![0x45, 0];
            bytes.extend(length.to_be_bytes());
            bytes.extend([0, 0, 0x40, 0, hops, protocol, 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes.extend(payload);
            bytes
        }
        (from, to) => {
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend((payload.len() as u16).to_be_bytes());
            bytes.extend([protocol, hops]);
            bytes.extend(six(from).octets());
            bytes.extend(six(to).octets());
            bytes.extend(payload);
            bytes
        }
    }
}

fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A segment of TCP without data, but for the largest segment in a SYN.
pub(super) fn tcp((from, to): (u16, u16), flags: u8) -> Vec<u8> {
    let mut bytes = from.to_be_bytes().to_vec();
    bytes.extend(to.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 6 << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    bytes.extend([2, 4, 5, 180]);
    bytes
}

/// A datagram.
pub(super) fn udp((from, to): (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut bytes = from.to_be_bytes().to_vec();
    bytes.extend(to.to_be_bytes());
    bytes.extend(((8 + data.len()) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    bytes
}

/// A message of ICMP of either family.
pub(super) fn icmp(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0], body].concat()
}

/// A neighbour solicitation (135) or advertisement (136) about `target`.
pub(super) fn discovery(kind: u8, target: Ipv6Addr, option: u8, mac: Mac) -> Vec<u8> {
    let flags = if kind == 136 { 0x60 } else { 0 };
    let body = [&[flags, 0, 0, 0][..], &target.octets(), &[option, 1], &mac.0].concat();
    icmp(kind, 0, &body)
}

/// The group that listens for questions about `address` (RFC 4291 section 2.7.1).
pub(super) fn solicited(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// A request of DHCPv4, of which only the fixed part is looked at by rules.
pub(super) fn dhcpv4(operation: u8, client: Mac) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    for (place, byte) in bytes.iter_mut().zip([operation, 1, 6]) {
        *place = byte;
    }
    for (place, byte) in bytes.iter_mut().skip(28).zip(client.0) {
        *place = byte;
    }
    bytes
}

/// A request or reply of ARP.
pub(super) fn arp(operation: u8, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    let (from, to) = (sender.1.octets(), target.1.octets());
    [&head[..], &sender.0.0, &from, &target.0.0, &to].concat()
}

/// An Ethernet header.
pub(super) fn ethernet(to: Mac, from: Mac, ethertype: u16) -> Vec<u8> {
    [&to.0[..], &from.0, &ethertype.to_be_bytes()].concat()
}

/// Whom a frame with a packet to `address` is for, where that is a group.
pub(super) fn group_mac(address: IpAddr) -> Option<Mac> {
    match address {
        IpAddr::V4(address) if address.is_broadcast() => Some(Mac([0xff; 6])),
        IpAddr::V6(address) if address.is_multicast() => {
            let [.., a, b, c, d] = address.octets();
            Some(Mac([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}
