//! IPv6 and its extension headers: RFC 8200.

use std::net::Ipv6Addr;

use super::put;

/// Hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Routing.
pub const ROUTING: u8 = 43;
/// Fragment.
pub const FRAGMENT: u8 = 44;
/// Destination options.
pub const DESTINATION: u8 = 60;
/// Nothing follows.
pub const NONE: u8 = 59;

/// Options that say nothing, to fill a header of eight bytes.
pub const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];
/// "Routers, look at this": RFC 2711, for MLD.
pub const ROUTER_ALERT: [u8; 6] = [5, 2, 0, 0, 1, 0];

/// A header with its extensions; lengths follow from what it carries.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    /// Whom it says it is from.
    pub source: Ipv6Addr,
    /// Whom it is for.
    pub destination: Ipv6Addr,
    /// What it carries, behind the extension headers.
    pub protocol: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Extension headers: their numbers, and their bytes from the third on.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Ipv6 {
    /// A header with usual values.
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8) -> Self {
        Self { source, destination, protocol, hop_limit: 64, extensions: Vec::new() }
    }

    /// With another hop limit.
    pub fn hops(mut self, limit: u8) -> Self {
        self.hop_limit = limit;
        self
    }

    /// With one more extension header of type `kind`; `body` is what follows its length.
    pub fn with(mut self, kind: u8, body: &[u8]) -> Self {
        self.extensions.push((kind, body.to_vec()));
        self
    }

    /// With a routing header of type 0 by way of `through` (RFC 2460 section 4.4, forbidden by RFC 5095).
    pub fn routed_through(self, through: Ipv6Addr, left: u8) -> Self {
        let mut body = vec![0, left, 0, 0, 0, 0];
        body.extend(through.octets());
        self.with(ROUTING, &body)
    }

    /// As a fragment that begins at `offset`, in bytes.
    pub fn fragment(self, offset: usize, more: bool) -> Self {
        self.fragment_of(0x0067_6e65, offset, more)
    }

    /// As a fragment of the packet `identification`.
    pub fn fragment_of(self, identification: u32, offset: usize, more: bool) -> Self {
        let mut body = (offset as u16 | u16::from(more)).to_be_bytes().to_vec();
        body.extend(identification.to_be_bytes());
        self.with(FRAGMENT, &body)
    }

    /// The packet.
    pub fn carrying(&self, payload: &[u8]) -> Vec<u8> {
        let mut chain = Vec::new();
        for (n, (kind, body)) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(n + 1).map_or(self.protocol, |(kind, _)| *kind);
            let units = if *kind == FRAGMENT { 0 } else { (body.len() + 2) / 8 - 1 };
            chain.extend([next, units as u8]);
            chain.extend(body);
        }
        let mut bytes = vec![0; 40];
        bytes[0] = 0x60;
        put(&mut bytes, 4, (chain.len() + payload.len()) as u16);
        bytes[6] = self.extensions.first().map_or(self.protocol, |(kind, _)| *kind);
        bytes[7] = self.hop_limit;
        bytes[8..24].copy_from_slice(&self.source.octets());
        bytes[24..40].copy_from_slice(&self.destination.octets());
        bytes.extend(chain);
        bytes.extend(payload);
        bytes
    }

    /// The packet in fragments that begin at `cuts`, multiples of eight. Extension headers so far stand in each.
    pub fn in_fragments(&self, identification: u32, payload: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let mut starts = vec![0];
        starts.extend(cuts);
        let mut packets = Vec::new();
        for (n, start) in starts.iter().enumerate() {
            let end = starts.get(n + 1).copied();
            let part = self.clone().fragment_of(identification, *start, end.is_some());
            packets.push(part.carrying(&payload[*start..end.unwrap_or(payload.len())]));
        }
        packets
    }
}

/// The group that listens for questions about `address`: RFC 4291 section 2.7.1.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}
