//! A guest in the host's namespace, which the host routes to.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_core::Mac;
use guestnet_nft::Family;
use guestnet_nft::evaluate::{Conntrack, Packet};
use ipnet::Ipv6Net;

use super::super::frames::{self, ARP, ICMPV6, UDP};
use super::super::sample::{from_host, to_host};
use super::{Class, Draft, Need, Sample, World, second};
use crate::spec::{Guest, HostSpec, Interface as GuestInterface};

impl World<'_> {
    /// A guest in the host's namespace, which the host routes to.
    pub(super) fn routed(&self, spec: &HostSpec, guest: &Guest, interface: &GuestInterface) -> Vec<Sample> {
        let (who, link) = (self.who(guest), interface.name.as_str());
        let mac = interface.mac.unwrap_or(Mac([2, 0, 0, 0, 0, 2]));
        // The kernel chooses that of a tap; no rule can know it beforehand.
        let host = Mac([2, 0, 0, 0, 0, 1]);
        let mut samples = Vec::new();
        if let Some(private) = interface.private_ipv4 {
            samples.extend(self.arp(&who, link, (mac, private), (host, interface.router().addr())));
            if interface.serve.is_some() {
                samples.extend(self.dhcp4(&who, link, (mac, private), (host, interface.router().addr())));
            }
            match interface.public_ipv4 {
                Some(public) => {
                    let private = Some((private.into(), spec.nat.mode));
                    samples.extend(self.both_ways(&who, Class::Routed, link, public.into(), private));
                }
                None if guest.tunnels.is_empty() => {}
                None => samples.extend(self.both_ways(&who, Class::Routed, link, private.into(), None)),
            }
        }
        let prefixes: Vec<Ipv6Net> =
            interface.public_ipv6.iter().chain(&interface.private_ipv6).copied().collect();
        if !prefixes.is_empty() {
            samples.extend(self.discovery(
                &who,
                link,
                Class::Routed,
                (host, host.link_local()),
                (mac, mac.link_local()),
            ));
            if interface.serve.is_some() {
                samples.extend(self.dhcp6(&who, link, mac, host));
            }
        }
        if let Some(prefix) = interface.public_ipv6 {
            samples.extend(self.both_ways(&who, Class::Routed, link, second(prefix).into(), None));
        }
        samples
    }

    pub(super) fn arp(
        &self,
        who: &str,
        link: &str,
        guest: (Mac, Ipv4Addr),
        host: (Mac, Ipv4Addr),
    ) -> Vec<Sample> {
        let packet = |operation, sender, target, to| Packet {
            ethertype: ARP,
            link: frames::ethernet(to, guest.0, ARP),
            network: frames::arp(operation, sender, target),
            mark: Some(0),
            ..Packet::default()
        };
        let nobody = (Mac([0; 6]), host.1);
        let interface = self.interface(link);
        let sample =
            |what: String, packet, way| Sample { need: Need::Arp, class: Class::Routed, what, packet, way };
        vec![
            sample(
                format!("ARP requests of {who}"),
                packet(1, guest, nobody, Mac([0xff; 6])),
                to_host(Family::Arp, &interface),
            ),
            sample(
                format!("the host's ARP replies to {who}"),
                packet(2, host, guest, guest.0),
                from_host(Family::Arp, &interface),
            ),
        ]
    }

    pub(super) fn dhcp4(
        &self,
        who: &str,
        link: &str,
        guest: (Mac, Ipv4Addr),
        host: (Mac, Ipv4Addr),
    ) -> Vec<Sample> {
        let request = frames::udp((68, 67), &frames::dhcpv4(1, guest.0));
        let reply = frames::udp((67, 68), &frames::dhcpv4(2, guest.0));
        let draft = |what, from: Ipv4Addr, to: Ipv4Addr, payload| Draft {
            need: Need::Dhcp,
            class: Class::Routed,
            what,
            from: from.into(),
            to: to.into(),
            protocol: UDP,
            payload,
            conntrack: Conntrack::NEW,
        };
        let macs = (guest.0, host.0);
        let discover =
            draft(format!("DHCP requests of {who}"), Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, &request);
        let renew = draft(format!("DHCP renewals of {who}"), guest.1, host.1, &request);
        let offer = draft(format!("the host's DHCP replies to {who}"), host.1, guest.1, &reply);
        vec![self.taken(discover, link, macs), self.taken(renew, link, macs), self.sent(offer, link)]
    }

    pub(super) fn dhcp6(&self, who: &str, link: &str, guest: Mac, host: Mac) -> Vec<Sample> {
        let all_servers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
        let (all_nodes, all_routers) =
            (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2));
        let solicit = frames::udp((546, 547), &[1, 0, 0, 1]);
        let reply = frames::udp((547, 546), &[7, 0, 0, 1]);
        let asks = frames::icmp(133, 0, &[0; 4]);
        let says = frames::icmp(134, 0, &[64, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0]);
        let draft = |need, what: String, from: Mac, to: Ipv6Addr, protocol, payload, conntrack| Draft {
            need,
            class: Class::Routed,
            what,
            from: from.link_local().into(),
            to: to.into(),
            protocol,
            payload,
            conntrack,
        };
        let (dhcp, nd) = (Need::Dhcp, Need::Discovery);
        let (new, untracked) = (Conntrack::NEW, Conntrack::UNTRACKED);
        let macs = (guest, host);
        vec![
            self.taken(
                draft(dhcp, format!("DHCPv6 requests of {who}"), guest, all_servers, UDP, &solicit, new),
                link,
                macs,
            ),
            self.sent(
                draft(
                    dhcp,
                    format!("the host's DHCPv6 replies to {who}"),
                    host,
                    guest.link_local(),
                    UDP,
                    &reply,
                    new,
                ),
                link,
            ),
            self.taken(
                draft(
                    nd,
                    format!("router solicitations from {who}"),
                    guest,
                    all_routers,
                    ICMPV6,
                    &asks,
                    untracked,
                ),
                link,
                macs,
            ),
            self.sent(
                draft(
                    nd,
                    format!("the host's router advertisements to {who}"),
                    host,
                    all_nodes,
                    ICMPV6,
                    &says,
                    untracked,
                ),
                link,
            ),
        ]
    }
}
