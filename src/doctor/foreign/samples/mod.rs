//! The sample packets of a spec: for each kind of guest the handful that it depends on, from the first guest of that kind.

mod connections;
mod discovery;
mod own;
mod port;
mod routed;
mod tunnels;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::Mac;
use guestnet_core::owner::LINK_GROUP;
use guestnet_nft::Family;
use guestnet_nft::evaluate::{Conntrack, Interface, Packet, Side};
use ipnet::Ipv6Net;

use super::frames::{self, IPV4, IPV6};
use super::sample::{Class, Need, Sample, from_host, through, to_host};
use crate::doctor::links::HostLink;
use crate::spec::{Guest, HostSpec};

/// Somebody out there, of whom no rule should know anything.
const FAR4: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);
const FAR6: Ipv6Addr = Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe);
/// The router there.
const ROUTER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);

/// `RTN_*` (linux/rtnetlink.h).
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const BROADCAST: u8 = 3;
const MULTICAST: u8 = 5;

const ETHERNET: u16 = 1;

/// What the samples are made of.
pub(super) struct World<'a> {
    pub(super) links: &'a [HostLink],
    /// The link on which neighbours are proxied.
    pub(super) uplink: Option<String>,
    /// The ways out.
    pub(super) out4: Option<String>,
    pub(super) out6: Option<String>,
    /// Whether IP rules see bridged frames of IPv4 and of IPv6.
    pub(super) bridged_ip: [bool; 2],
    /// Whether guests are called by their names.
    pub(super) named: bool,
}

/// A packet that is not yet anywhere.
struct Draft<'a> {
    need: Need,
    class: Class,
    what: String,
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    payload: &'a [u8],
    conntrack: Conntrack,
}

impl Draft<'_> {
    fn bytes(&self) -> Vec<u8> {
        let hops = if self.need == Need::Discovery || self.need == Need::Proxied { 255 } else { 64 };
        frames::ip(self.from, self.to, self.protocol, hops, self.payload)
    }

    fn family(&self) -> Family {
        if self.from.is_ipv4() { Family::Ip } else { Family::Ip6 }
    }
}

/// The kind of a destination, and whom the frame is for.
fn kind_of(address: IpAddr, otherwise: u8) -> (u8, u8) {
    match address {
        IpAddr::V4(address) if address.is_broadcast() => (BROADCAST, 1),
        address if address.is_multicast() => (MULTICAST, 2),
        _ => (otherwise, 0),
    }
}

impl World<'_> {
    /// An interface as rules will see it: one that is yet to be made has an index that no other has.
    fn interface(&self, name: &str) -> Side {
        let there = self.links.iter().find(|link| link.name == name);
        Side::Known(Interface {
            name: name.to_owned(),
            index: Some(there.map_or(i32::MAX.cast_unsigned(), |link| link.index)),
            kind: Some(there.map_or(ETHERNET, |link| link.hardware)),
            group: Some(there.map_or(LINK_GROUP, |link| link.group)),
        })
    }

    fn side(&self, name: Option<&str>) -> Side {
        name.map_or(Side::Unknown, |name| self.interface(name))
    }

    fn who(&self, guest: &Guest) -> String {
        if self.named { format!("guest {}", guest.name) } else { "guests".to_owned() }
    }

    fn packet(draft: &Draft<'_>, types: (u8, u8), packet_type: u8, macs: Option<(Mac, Mac)>) -> Packet {
        let ethertype = if draft.from.is_ipv4() { IPV4 } else { IPV6 };
        let link = macs
            .map(|(from, to)| frames::ethernet(frames::group_mac(draft.to).unwrap_or(to), from, ethertype));
        Packet {
            ethertype,
            link: link.unwrap_or_default(),
            network: draft.bytes(),
            mark: Some(0),
            conntrack: Some(draft.conntrack),
            reverse_path: Some(true),
            source_type: Some(types.0),
            destination_type: Some(types.1),
            packet_type: Some(packet_type),
            ..Packet::default()
        }
    }

    fn taken(&self, draft: Draft<'_>, link: &str, macs: (Mac, Mac)) -> Sample {
        let (kind, packet_type) = kind_of(draft.to, LOCAL);
        let packet = Self::packet(&draft, (UNICAST, kind), packet_type, Some(macs));
        let way = to_host(draft.family(), &self.interface(link));
        Sample { need: draft.need, class: draft.class, what: draft.what, packet, way }
    }

    fn sent(&self, draft: Draft<'_>, link: &str) -> Sample {
        let (kind, _) = kind_of(draft.to, UNICAST);
        let mut packet = Self::packet(&draft, (LOCAL, kind), 0, None);
        packet.packet_type = None;
        let way = from_host(draft.family(), &self.interface(link));
        Sample { need: draft.need, class: draft.class, what: draft.what, packet, way }
    }

    /// `later` are the addresses behind guestnet's own translation on the way in.
    fn forwarded(&self, draft: Draft<'_>, links: [Option<&str>; 2], later: Option<[IpAddr; 2]>) -> Sample {
        let packet = Self::packet(&draft, (UNICAST, UNICAST), 0, Some((ROUTER_MAC, ROUTER_MAC)));
        let bytes = later.map(|[from, to]| frames::ip(from, to, draft.protocol, 64, draft.payload));
        let [input, output] = links.map(|link| self.side(link));
        let way = through(draft.family(), &input, &output, bytes.as_deref());
        Sample { need: draft.need, class: draft.class, what: draft.what, packet, way }
    }

    /// All samples of `spec`.
    pub(super) fn samples(&self, spec: &HostSpec) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut kinds = BTreeSet::new();
        for guest in &spec.guests {
            let tunnels = guest.tunnels.iter().map(|tunnel| (tunnel.remote.is_ipv4(), tunnel.udp.is_some()));
            let tunnels: Vec<(bool, bool)> = tunnels.collect();
            if !guest.is_on_host() {
                let has6 = public6(guest).is_some();
                if kinds.insert(format!("own {} {has6} {tunnels:?}", public4(guest).is_some())) {
                    samples.extend(self.own(guest));
                }
            } else if !tunnels.is_empty() && kinds.insert(format!("tunnels {tunnels:?}")) {
                samples.extend(self.tunnels_of_host(guest));
            }
            if let (Some(uplink), Some(address)) = (&self.uplink, guest.proxied.first())
                && kinds.insert("proxied".into())
            {
                samples.extend(self.proxied(*address, uplink));
            }
            for interface in guest.interfaces.iter().filter(|_| guest.is_on_host()) {
                let bridge = interface.bridge.as_ref();
                let kind = (
                    bridge,
                    interface.private_ipv4.is_some(),
                    interface.public_ipv4.is_some(),
                    interface.public_ipv6.is_some(),
                    interface.serve.is_some(),
                );
                if !kinds.insert(format!("{kind:?}")) {
                    continue;
                }
                match bridge {
                    Some(bridge) => samples.extend(self.port(spec, guest, interface, bridge)),
                    None => samples.extend(self.routed(spec, guest, interface)),
                }
            }
        }
        samples
    }

    fn out_of(&self, far: IpAddr) -> Option<&str> {
        if far.is_ipv4() { self.out4.as_deref() } else { self.out6.as_deref() }
    }
}

/// The first public address of IPv4 of a guest.
fn public4(guest: &Guest) -> Option<Ipv4Addr> {
    guest.interfaces.iter().find_map(|interface| interface.public_ipv4)
}

/// An address of IPv6 by which the outside knows a guest.
fn public6(guest: &Guest) -> Option<Ipv6Addr> {
    let of_guest = guest.interfaces.iter().find_map(|interface| interface.public_ipv6);
    of_guest.map(second).or(guest.endpoint)
}

/// An address of the guest's in its prefix.
fn second(prefix: Ipv6Net) -> Ipv6Addr {
    let network = u128::from(prefix.network());
    if prefix.prefix_len() > 126 { prefix.network() } else { Ipv6Addr::from(network + 2) }
}
