//! A port of a bridge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::{LinkName, Mac};
use guestnet_nft::Family;
use guestnet_nft::evaluate::Conntrack;

use super::super::frames::{self, SYN, TCP};
use super::super::sample::bridged;
use super::{Class, Draft, Need, Sample, UNICAST, World};
use crate::spec::{Guest, HostSpec, Interface as GuestInterface};

impl World<'_> {
    /// A port of a bridge: frames to another port.
    pub(super) fn port(
        &self,
        spec: &HostSpec,
        guest: &Guest,
        interface: &GuestInterface,
        bridge: &LinkName,
    ) -> Vec<Sample> {
        let who = self.who(guest);
        let mac = interface.mac.unwrap_or(Mac([2, 0, 0, 0, 0, 2]));
        let others = spec.guests.iter().flat_map(|guest| &guest.interfaces);
        let mut others =
            others.filter(|other| other.bridge.as_ref() == Some(bridge) && other.name != interface.name);
        let other = self.side(others.next().map(|other| other.name.as_str()));
        let port = self.interface(interface.name.as_str());
        let bridges = (Some(bridge.to_string()), Some(bridge.to_string()));
        let on_host = self.interface(bridge.as_str());
        let peer = Mac([2, 0, 0, 0, 0, 3]);
        let syn = frames::tcp((40_000, 443), SYN);
        let mut samples = Vec::new();
        let addresses: [Option<[IpAddr; 2]>; 2] = [
            interface
                .private_ipv4
                .map(|address| [address.into(), Ipv4Addr::from(u32::from(address) ^ 1).into()]),
            interface.public_ipv6.or(interface.private_ipv6).map(|prefix| {
                let address = prefix.addr();
                [address.into(), Ipv6Addr::from(u128::from(address) ^ 1).into()]
            }),
        ];
        for (n, [from, to]) in addresses.into_iter().enumerate().filter_map(|(n, pair)| Some((n, pair?))) {
            let family = if from.is_ipv4() { Family::Ip } else { Family::Ip6 };
            let ip = self.bridged_ip.get(n).is_some_and(|seen| *seen).then_some(family);
            let draft = Draft {
                need: Need::Bridged,
                class: Class::Port,
                what: format!("frames from {who} to another port of {bridge}"),
                from,
                to,
                protocol: TCP,
                payload: &syn,
                conntrack: Conntrack::NEW,
            };
            let mut packet = Self::packet(&draft, (UNICAST, UNICAST), 0, Some((mac, peer)));
            packet.bridges.clone_from(&bridges);
            let way = bridged([&port, &other], &on_host, ip);
            samples.push(Sample { need: draft.need, class: draft.class, what: draft.what, packet, way });
        }
        samples
    }
}
