//! A number in each frame, to be known by wherever it comes out: where no router changes it and no filter looks.
//!
//! In IPv4 it is the identification, in IPv6 the flow label, in all else it stands behind the frame. So a frame that is
//! right stays right, whatever it carries.

use std::net::IpAddr;

use super::ethernet::{C_TAG, S_TAG};
use super::{checksum, put};
use crate::frame::{IPV4, IPV6};

const MAGIC: &[u8; 4] = b"gnet";
/// Where an Ethernet frame is long enough for every link.
const LEAST: usize = 60;

/// What a frame that came out somewhere is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The number that it was given.
    pub number: u16,
    /// The IP source that it has, if it is of IP: replies and errors may take over a number.
    pub source: Option<IpAddr>,
    /// Whether it is a fragment and not the first.
    pub later: bool,
}

/// Writes `number` into `frame`.
pub fn stamp(frame: &mut Vec<u8>, number: u16) {
    match network(frame) {
        (IPV4, at) if frame.len() >= at + 20 => {
            put(frame, at + 4, number);
            let header = usize::from(frame[at] & 0x0f) * 4;
            put(frame, at + 10, 0);
            let sum = checksum(frame.get(at..at + header).unwrap_or_default());
            put(frame, at + 10, sum);
        }
        (IPV6, at) if frame.len() >= at + 40 => {
            frame[at + 1] &= 0xf0;
            put(frame, at + 2, number);
        }
        _ => {
            frame.resize(frame.len().max(LEAST), 0);
            frame.extend(MAGIC);
            frame.extend(number.to_be_bytes());
        }
    }
}

/// The mark of `frame`.
pub fn of_frame(frame: &[u8]) -> Option<Mark> {
    let (ethertype, at) = network(frame);
    of_packet(ethertype, frame.get(at..)?)
}

/// The mark of what a frame of the EtherType `ethertype` carries.
pub fn of_packet(ethertype: u16, packet: &[u8]) -> Option<Mark> {
    let number = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    match ethertype {
        IPV4 => {
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            let later = number(6)? & 0x1fff != 0;
            Some(Mark { number: number(4)?, source: Some(IpAddr::from(source)), later })
        }
        IPV6 => {
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let later = is_later_fragment(packet);
            Some(Mark { number: number(2)?, source: Some(IpAddr::from(source)), later })
        }
        _ => {
            let at = packet.windows(4).rposition(|window| window == MAGIC)?;
            Some(Mark { number: number(at + 4)?, source: None, later: false })
        }
    }
}

/// The EtherType behind all tags, and where what it says begins.
fn network(frame: &[u8]) -> (u16, usize) {
    let mut at = 12;
    loop {
        let Some(bytes) = frame.get(at..at + 2) else { return (0, frame.len()) };
        match u16::from_be_bytes([bytes[0], bytes[1]]) {
            C_TAG | S_TAG => at += 4,
            ethertype => return (ethertype, at + 2),
        }
    }
}

fn is_later_fragment(packet: &[u8]) -> bool {
    let mut next = packet.get(6).copied();
    let mut at = 40;
    while let Some(kind) = next {
        let Some(header) = packet.get(at..at + 8) else { return false };
        match kind {
            0 | 43 | 60 => at += (usize::from(header[1]) + 1) * 8,
            44 => return u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0,
            _ => return false,
        }
        next = header.first().copied();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::{ethernet, ipv4::Ipv4, ipv6::Ipv6, transport};
    use super::*;
    use crate::Mac;

    #[test]
    fn a_number_is_found_where_it_was_written() {
        let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let (from, to) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let four = Ipv4::new(from, to, 17).carrying(&transport::udp(from.into(), to.into(), (1, 2), b"x"));
        let (from6, to6) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let six = Ipv6::new(from6, to6, 59).with(60, &[1, 4, 0, 0, 0, 0]).carrying(b"");
        for (ethertype, packet, source) in [
            (IPV4, four, Some(from.into())),
            (IPV6, six, Some(from6.into())),
            (0x88cc, b"lldp".to_vec(), None),
        ] {
            let plain = ethernet::frame(b, a, ethertype, &packet);
            for mut frame in [plain.clone(), ethernet::tagged(&plain, C_TAG, 7)] {
                stamp(&mut frame, 4711);
                assert_eq!(of_frame(&frame), Some(Mark { number: 4711, source, later: false }));
                if ethertype == IPV4 {
                    let at = frame.len() - packet.len();
                    assert_eq!(checksum(&frame[at..at + 20]), 0);
                }
            }
        }
    }

    #[test]
    fn later_fragments_are_known() {
        let (from, to) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let parts = Ipv6::new(from, to, 17).in_fragments(1, &[0; 32], &[8]);
        let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let later = parts.iter().map(|part| of_frame(&ethernet::frame(b, a, IPV6, part)).unwrap().later);
        assert_eq!(later.collect::<Vec<_>>(), [false, true]);
    }
}
