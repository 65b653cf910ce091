//! Neighbours in the kernel's words: `struct ndmsg` and its attributes (rtnetlink(7)).

use std::net::IpAddr;

use guestnet_core::netlink::Attributes;
use guestnet_core::{Extras, LinkName, Mac, Message, Namespace};
use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteProtocol;

/// How many are asked for one by one; more than that, and a dump of all is less.
pub const SINGLE: usize = 256;

/// Length of `struct ndmsg`: family, 3 bytes of padding, index (4), state (2), flags, type.
const NDMSG: usize = 12;
const NDM_STATE: usize = 8;
const NDM_FLAGS: usize = 10;
const NDA_PROTOCOL: u16 = 12;
/// Flags that say what the kernel or its hardware does with the neighbour: use, offloaded.
const PASSING: u8 = 0x01 | 0x20;
/// Attributes that have a field, and counters (`NDA_CACHEINFO`, `NDA_PROBES`).
const KNOWN: [u16; 5] =
    [libc::NDA_DST, libc::NDA_LLADDR, libc::NDA_CACHEINFO, libc::NDA_PROBES, NDA_PROTOCOL];

/// What is said of a neighbour.
pub struct Request {
    pub address: IpAddr,
    pub index: u32,
    pub flags: u8,
    pub state: u16,
    pub protocol: Option<u8>,
    pub lladdr: Option<Mac>,
}

impl Request {
    /// The neighbour `address` on the interface with `index`, and nothing else about it.
    pub fn new(address: IpAddr, index: u32) -> Self {
        Self { address, index, flags: 0, state: 0, protocol: None, lladdr: None }
    }

    pub fn message(&self, kind: u16, flags: libc::c_int) -> Message {
        let mut message = NeighbourMessage::default();
        let (family, destination) = match self.address {
            IpAddr::V4(v4) => (AddressFamily::Inet, NeighbourAddress::Inet(v4)),
            IpAddr::V6(v6) => (AddressFamily::Inet6, NeighbourAddress::Inet6(v6)),
        };
        message.header.family = family;
        message.header.ifindex = self.index;
        message.header.flags = NeighbourFlags::from_bits_retain(self.flags);
        message.header.state = NeighbourState::from(self.state);
        message.attributes = vec![NeighbourAttribute::Destination(destination)];
        let protocol =
            self.protocol.map(|protocol| NeighbourAttribute::Protocol(RouteProtocol::Other(protocol)));
        let lladdr = self.lladdr.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        message.attributes.extend(protocol.into_iter().chain(lladdr));
        let mut payload = vec![0; message.buffer_len()];
        message.emit(&mut payload);
        Message::new(kind, flags as u16, &payload)
    }
}

/// Asks for all neighbours of all families, or with `NTF_PROXY` for the proxied ones and nothing but them.
pub fn dump_request(flags: u8) -> Message {
    let mut header = [0; NDMSG];
    header[NDM_FLAGS] = flags;
    Message::new(libc::RTM_GETNEIGH, 0, &header)
}

/// A neighbour as it is read.
pub struct Entry {
    pub address: IpAddr,
    pub dev: LinkName,
    pub proxied: bool,
    pub state: u16,
    pub lladdr: Option<Mac>,
    pub protocol: u8,
    pub extras: Extras,
}

/// A neighbour. A proxied one without an interface counts for all of them, cannot be made with `ip`, and holds nobody's
/// key.
pub fn read(payload: &[u8], namespace: &Namespace) -> Option<Entry> {
    let index = u32::from_ne_bytes(payload.get(4..8)?.try_into().ok()?);
    let state = payload.get(NDM_STATE..NDM_FLAGS)?.try_into().ok()?;
    let flags = *payload.get(NDM_FLAGS)?;
    let attributes = Attributes::after(payload, NDMSG);
    let mut extras = Extras::default();
    // Of other neighbours they say it themselves.
    let proxied = flags & libc::NTF_PROXY != 0;
    extras.note_if(proxied && flags & libc::NTF_ROUTER != 0, "router");
    let strange = flags & !(libc::NTF_PROXY | libc::NTF_ROUTER | PASSING);
    extras.note_if(strange != 0, format_args!("flags {strange:#x}"));
    for (attribute, _) in attributes.filter(|(attribute, _)| !KNOWN.contains(attribute)) {
        extras.note(format_args!("attribute {attribute}"));
    }
    Some(Entry {
        address: ip(attributes.get(libc::NDA_DST)?)?,
        dev: namespace.link_name(index)?.clone(),
        proxied,
        state: u16::from_ne_bytes(state),
        lladdr: attributes.get(libc::NDA_LLADDR).and_then(|mac| mac.try_into().ok()).map(Mac),
        extras,
        protocol: attributes.get(NDA_PROTOCOL).and_then(|p| p.first()).copied().unwrap_or(0),
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
