//! IPv4: RFC 791.

use std::net::Ipv4Addr;

use super::{checksum, put};

/// The flag "more fragments", in [`Ipv4::fragment`].
pub const MORE: u16 = 0x2000;
/// The flag "don't fragment".
pub const DONT: u16 = 0x4000;

/// A header; lengths and checksum follow from what it carries.
#[derive(Clone, Debug)]
pub struct Ipv4 {
    /// Whom it says it is from.
    pub source: Ipv4Addr,
    /// Whom it is for.
    pub destination: Ipv4Addr,
    /// What it carries.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// Flags, and the fragment's offset in units of eight bytes.
    pub fragment: u16,
    /// Options; filled up to a multiple of four.
    pub options: Vec<u8>,
}

impl Ipv4 {
    /// A header with usual values.
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        Self { source, destination, protocol, ttl: 64, fragment: 0, options: Vec::new() }
    }

    /// The packet.
    pub fn carrying(&self, payload: &[u8]) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let header = 20 + options.len();
        let mut bytes = vec![0; 20];
        bytes[0] = 0x40 | (header / 4) as u8;
        put(&mut bytes, 2, (header + payload.len()) as u16);
        put(&mut bytes, 6, self.fragment);
        bytes[8] = self.ttl;
        bytes[9] = self.protocol;
        bytes[12..16].copy_from_slice(&self.source.octets());
        bytes[16..20].copy_from_slice(&self.destination.octets());
        bytes.extend(options);
        let sum = checksum(&bytes);
        put(&mut bytes, 10, sum);
        bytes.extend(payload);
        bytes
    }

    /// The packet in fragments that begin at `cuts`, multiples of eight.
    pub fn in_fragments(&self, payload: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let mut starts = vec![0];
        starts.extend(cuts);
        let mut packets = Vec::new();
        for (n, start) in starts.iter().enumerate() {
            let end = starts.get(n + 1).copied();
            let more = if end.is_some() { MORE } else { 0 };
            let part = Self { fragment: more | (start / 8) as u16, ..self.clone() };
            packets.push(part.carrying(&payload[*start..end.unwrap_or(payload.len())]));
        }
        packets
    }
}
