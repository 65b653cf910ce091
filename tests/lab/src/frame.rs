//! Reading Ethernet frames.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Mac;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;
/// Protocol number of ESP.
pub const ESP: u8 = 50;

/// An Ethernet frame as it was on the wire, without its check sequence.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(pub Vec<u8>);

/// The packet in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Whom it says it is from.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// The protocol above IP, behind IPv6's extension headers.
    pub protocol: u8,
    /// What the protocol carries, with its header.
    pub payload: &'a [u8],
}

impl Frame {
    /// Whom it is from.
    pub fn source(&self) -> Option<Mac> {
        self.0.get(6..12)?.try_into().ok().map(Mac)
    }

    /// Whom it is for.
    pub fn destination(&self) -> Option<Mac> {
        self.0.get(..6)?.try_into().ok().map(Mac)
    }

    /// Its EtherType, behind a VLAN tag if it has one.
    pub fn ethertype(&self) -> Option<u16> {
        self.ethertype_and_rest().map(|(ethertype, _)| ethertype)
    }

    /// What the frame carries.
    pub fn payload(&self) -> &[u8] {
        self.ethertype_and_rest().map_or(&[], |(_, rest)| rest)
    }

    /// The IP packet in it.
    pub fn packet(&self) -> Option<Packet<'_>> {
        match self.ethertype_and_rest()? {
            (IPV4, packet) => ipv4(packet),
            (IPV6, packet) => ipv6(packet),
            _ => None,
        }
    }

    /// Whether it carries ESP.
    pub fn is_esp(&self) -> bool {
        self.packet().is_some_and(|packet| packet.protocol == ESP)
    }

    /// Whether the bytes of `address` stand anywhere in it, be it in a header, in a quoted packet or in ARP.
    pub fn mentions(&self, address: IpAddr) -> bool {
        let has = |octets: &[u8]| self.payload().windows(octets.len()).any(|window| window == octets);
        match address {
            IpAddr::V4(address) => has(&address.octets()),
            IpAddr::V6(address) => has(&address.octets()),
        }
    }

    fn ethertype_and_rest(&self) -> Option<(u16, &[u8])> {
        const VLAN: u16 = 0x8100;
        match number(&self.0, 12)? {
            VLAN => Some((number(&self.0, 16)?, self.0.get(18..)?)),
            ethertype => Some((ethertype, self.0.get(14..)?)),
        }
    }
}

/// In one line, as a capture is read.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.len();
        match (self.packet(), self.ethertype()) {
            (Some(packet), _) => {
                let Packet { source, destination, protocol, .. } = packet;
                write!(f, "{source} > {destination} protocol {protocol} length {length}")
            }
            (None, Some(ethertype)) => write!(f, "ethertype {ethertype:#06x} length {length}"),
            (None, None) => write!(f, "{length} bytes"),
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn ipv4(packet: &[u8]) -> Option<Packet<'_>> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(number(packet, 2)?).min(packet.len());
    Some(Packet {
        source: Ipv4Addr::from(*packet.get(12..16)?.first_chunk::<4>()?).into(),
        destination: Ipv4Addr::from(*packet.get(16..20)?.first_chunk::<4>()?).into(),
        protocol: *packet.get(9)?,
        payload: packet.get(header..total)?,
    })
}

fn ipv6(packet: &[u8]) -> Option<Packet<'_>> {
    let source = Ipv6Addr::from(*packet.get(8..24)?.first_chunk::<16>()?);
    let destination = Ipv6Addr::from(*packet.get(24..40)?.first_chunk::<16>()?);
    let (mut protocol, mut at) = (*packet.get(6)?, 40);
    loop {
        let length = match protocol {
            // Hop-by-hop, routing and destination options tell their length, a fragment header has 8 bytes.
            0 | 43 | 60 => (usize::from(*packet.get(at + 1)?) + 1) * 8,
            44 => 8,
            _ => break,
        };
        protocol = *packet.get(at)?;
        at += length;
    }
    Some(Packet {
        source: source.into(),
        destination: destination.into(),
        protocol,
        payload: packet.get(at..)?,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..at + 2)?.first_chunk::<2>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ethertype: u16, packet: &[u8]) -> Frame {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(packet);
        Frame(bytes)
    }

    #[test]
    fn an_ipv6_packet_is_read_behind_its_extension_headers() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 12, 0, 64];
        let (from, to): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend([ESP, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend(*b"body");
        let frame = frame(IPV6, &packet);
        assert!(frame.is_esp());
        assert_eq!(frame.packet().unwrap().payload, b"body");
        assert!(frame.mentions(to.into()) && !frame.mentions("fd00::3".parse().unwrap()));
    }

    #[test]
    fn an_ipv4_packet_ends_where_it_says() {
        let mut packet = vec![0x45, 0, 0, 22, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend(*b"ok padding");
        let frame = frame(IPV4, &packet);
        assert_eq!(frame.packet().unwrap().payload, b"ok");
        assert_eq!(frame.to_string(), "10.0.0.1 > 10.0.0.2 protocol 17 length 44");
    }

    #[test]
    fn what_is_cut_short_is_no_packet() {
        let whole = frame(IPV6, &[0x60; 60]);
        for length in 0..whole.0.len() {
            let cut = Frame(whole.0[..length].to_vec());
            assert!(cut.packet().is_none() || length >= 54, "{length}");
        }
    }
}
