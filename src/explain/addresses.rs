//! The addresses of a host, as far as a spec tells: it says nothing of those that others have given to its links.

use std::net::{IpAddr, Ipv4Addr};

use guestnet_core::Netns;
use ipnet::IpNet;

use crate::resolve::{Resolved, ResolvedGuest};

/// The known addresses, each with the namespace that has it and the prefix that it is in.
pub(super) struct Addresses(Vec<(Netns, IpNet)>);

impl Addresses {
    pub(super) fn of(spec: &Resolved<'_>) -> Self {
        let mut all: Vec<(Netns, IpNet)> = Vec::new();
        for bridge in &spec.bridges {
            all.extend(bridge.addresses.iter().map(|net| (Netns::Host, *net)));
            all.extend((!bridge.existing).then(|| (Netns::Host, alone(bridge.own_mac().link_local()))));
        }
        for (netns, objects) in spec.objects.iter() {
            let with = |net: IpNet| if net.addr().is_ipv4() { net } else { alone(net.addr()) };
            // Whether packets are forwarded between such links, by which all routers have an address, is not said.
            all.extend(objects.addresses.iter().map(|address| (netns.clone(), with(address.address))));
        }
        spec.guests.iter().for_each(|guest| all.extend(of_guest(guest)));
        Self(all)
    }

    /// The namespace that takes what comes from `near` to `address`: to one of its own, to everybody in its network, or to all
    /// routers of its prefix (RFC 4291 section 2.6.1).
    pub(super) fn taker(&self, near: &Netns, address: IpAddr) -> Option<&Netns> {
        let takes =
            |net: &IpNet| net.addr() == address || is_broadcast(net, address) || is_routers(net, address);
        let takers = || self.0.iter().filter(|(_, net)| takes(net)).map(|(netns, _)| netns);
        let nearest = [near, &Netns::Host].into_iter().find_map(|near| takers().find(|netns| *netns == near));
        // Addresses of IPv4 on the links of other namespaces are known there alone.
        nearest.or_else(|| takers().next().filter(|_| address.is_ipv6()))
    }

    /// Whether the host has `address` itself.
    pub(super) fn is_hosts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(netns, net)| *netns == Netns::Host && net.addr() == address)
    }

    /// Whether what is to `address` is for everybody on a link.
    pub(super) fn is_everybodys(&self, address: IpAddr) -> bool {
        address.is_multicast()
            || address == Ipv4Addr::BROADCAST
            || self.0.iter().any(|(_, net)| is_broadcast(net, address))
    }
}

fn is_broadcast(net: &IpNet, address: IpAddr) -> bool {
    matches!(net, IpNet::V4(net) if net.prefix_len() <= 30 && address == net.broadcast())
}

fn is_routers(net: &IpNet, address: IpAddr) -> bool {
    matches!(net, IpNet::V6(net) if net.prefix_len() <= 126 && address == net.network())
}

/// An address of which no network is known.
fn alone(address: impl Into<IpAddr>) -> IpNet {
    address.into().into()
}

/// The host's sides of the links of `guest`, the ends of the pair to its namespace, and the ends of its tunnels.
fn of_guest(guest: &ResolvedGuest<'_>) -> Vec<(Netns, IpNet)> {
    let mut all = Vec::new();
    for interface in guest.interfaces.iter().filter(|interface| interface.bridge.is_none()) {
        let ipv4 = interface.private_ipv4.map(|_| IpNet::from(interface.router()));
        let ipv6 = interface.routers6().map(IpNet::from).chain(interface.link_local_router().map(alone));
        all.extend(ipv4.into_iter().chain(ipv6).map(|net| (guest.netns.clone(), net)));
    }
    if let Some(ends) = &guest.ends {
        all.push((Netns::Host, alone(ends.host_ipv4)));
        // What is to a public address of the guest's is translated first.
        let is_own = guest.interfaces.iter().any(|interface| interface.public_ipv4 == Some(ends.guest_ipv4));
        all.extend((!is_own).then(|| (guest.netns.clone(), alone(ends.guest_ipv4))));
        all.extend(guest.endpoint.map(|endpoint| (guest.netns.clone(), alone(endpoint))));
    }
    all.extend(guest.tunnels.iter().map(|tunnel| (guest.netns.clone(), alone(tunnel.local))));
    all
}
