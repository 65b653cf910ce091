//! What the contract says of a packet, from the spec alone.
//!
//! The packet is taken to be the first of its connection: what answers it passes where lists are stateful.

use std::cmp::Reverse;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use guestnet_core::Mac;
use ipnet::IpNet;
use serde::Serialize;

use crate::guests::members;
use crate::rules::icmp::{TRANSIT, TRANSIT_IPV4, TRANSIT_UP_TO};
use crate::rules::quoted::{ERRORS_IPV4, ERRORS_IPV6};
use crate::rules::source::NEVER_ICMP;
use crate::rules::{discovery, input, list};
use crate::shape::Direction;
use crate::words::IGMP;
use crate::{Entry, FirewallSpec, GroupName, GuestLink, Paragraph, Transport};

/// A packet in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its source, as the filter sees it.
    pub source: IpAddr,
    /// Its destination, as the filter sees it.
    pub destination: IpAddr,
    /// The protocol; without one, any of which no entry of a list speaks.
    pub protocol: Option<Transport>,
    /// The port of the destination, of a protocol that has ports.
    pub port: Option<u16>,
    /// Type and code, of ICMP and ICMPv6.
    pub icmp: Option<(u8, u8)>,
}

/// What becomes of a packet, and by which paragraph of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Decision {
    /// Whether it passes.
    pub passes: bool,
    /// The paragraph that decides.
    #[schemars(with = "String")]
    pub paragraph: Paragraph,
    /// Why, in words.
    pub because: String,
}

impl Decision {
    fn pass(paragraph: Paragraph, because: impl Into<String>) -> Self {
        Self { passes: true, paragraph, because: because.into() }
    }

    fn drop(paragraph: Paragraph, because: impl Into<String>) -> Self {
        Self { passes: false, paragraph, because: because.into() }
    }

    /// As it is of what a guest sends: an error passes only if what it quotes was sent to the guest.
    fn of_guest(mut self, packet: &Packet) -> Self {
        if self.passes && packet.is_error() {
            self.because += &format!(", if it is about what was sent to the guest ({})", Paragraph::QUOTED);
        }
        self
    }
}

impl Packet {
    /// Whether paragraph 5 lets it pass, and which part of it.
    fn in_transit(&self) -> Option<Paragraph> {
        let (kind, code) = self.icmp?;
        let up_to = |known: &(u8, u8)| known.0 == kind && code <= known.1;
        match self.protocol? {
            Transport::ICMPV6 if TRANSIT.contains(&kind) || TRANSIT_UP_TO.iter().any(up_to) => {
                Some(Paragraph::ICMPV6)
            }
            Transport::ICMP if TRANSIT_IPV4.contains(&kind) => Some(Paragraph::ICMPV4),
            _ => None,
        }
    }

    /// Whether it is a message that a guest may send on its link only.
    fn of_the_link(&self) -> bool {
        let kind = self.icmp.filter(|_| self.protocol == Some(Transport::ICMPV6)).map(|(kind, _)| kind);
        kind.is_some_and(|kind| discovery::LINK.contains(&kind))
    }

    /// Whether it is an error, which quotes what it is about.
    fn is_error(&self) -> bool {
        match (self.protocol, self.icmp) {
            (Some(Transport::ICMPV6), Some((kind, _))) => ERRORS_IPV6.contains(&kind),
            (Some(Transport::ICMP), Some((kind, _))) => ERRORS_IPV4.contains(&kind),
            _ => false,
        }
    }

    fn is_udp(&self, port: u16) -> bool {
        self.protocol == Some(Transport::UDP) && self.port == Some(port)
    }

    fn words(&self) -> String {
        let protocol = self.protocol.map_or("any protocol".into(), |protocol| protocol.to_string());
        match (self.port, self.icmp) {
            (Some(port), _) => format!("{protocol} {port}"),
            (None, Some((kind, _))) => format!("{protocol} type {kind}"),
            _ => protocol,
        }
    }
}

impl Entry {
    /// Whether it fits a packet whose other side is `peer`; a group's members are `nets`.
    fn fits(&self, packet: &Packet, peer: IpAddr, nets: impl Fn(&str) -> Vec<IpNet>) -> bool {
        let protocol = self.protocol.is_none() || self.protocol == packet.protocol;
        let port = |port: u16| self.ports.iter().any(|range| range.contains(port));
        let port = self.ports.is_empty() || packet.port.is_some_and(port);
        let kind = |icmp: (u8, u8)| self.types.iter().any(|message| message.is(icmp));
        let kind = self.types.is_empty() || packet.icmp.is_some_and(kind);
        let anybody = self.prefixes.is_empty() && self.groups.is_empty();
        let in_prefix = self.prefixes.iter().any(|net| net.contains(&peer));
        let in_group = || self.groups.iter().flat_map(|g| nets(g.as_str())).any(|net| net.contains(&peer));
        protocol && port && kind && (anybody || in_prefix || in_group())
    }

    /// How fast it fits, as the end of a sentence.
    fn limit_in_words(&self) -> String {
        self.limit.map_or_else(String::new, |limit| format!(", no faster than {}", limit.rate))
    }
}

impl FirewallSpec {
    /// Whether what a guest sends gets away from its link: paragraphs 2 and 3, then 5 and 6. `mac` is the Ethernet
    /// source; left out, the guest's own.
    pub fn explain_sent(&self, guest: &GuestLink, mac: Option<Mac>, packet: &Packet) -> Decision {
        if let Some(spoofed) = self.explain_source(guest, mac, packet) {
            return spoofed;
        }
        if packet.is_udp(67) || packet.is_udp(547) {
            return Decision::drop(Paragraph::DHCP_CLIENT, "DHCP is not forwarded");
        }
        if packet.of_the_link() {
            return Decision::drop(Paragraph::DISCOVERY_TYPES, "it stays on its link");
        }
        self.explain_list(guest, packet, Direction::Out).of_guest(packet)
    }

    /// Why a packet from a link that is no guest's is dropped for its source, if it is: paragraph 3.8.
    pub fn explain_stranger(&self, packet: &Packet) -> Option<Decision> {
        let own = self.guests.iter().flat_map(|guest| guest.owned().map(move |net| (net, Some(guest))));
        let mut all = own.chain(self.beyond.iter().map(|net| (*net, None)));
        let (_, guest) = all.find(|(net, _)| net.contains(&packet.source))?;
        let whose = guest.map_or("a guest here".to_owned(), |guest| guest.name.to_string());
        let because = format!("{} is of {whose}, and of nobody else", packet.source);
        Some(Decision::drop(Paragraph::OWNED, because))
    }

    /// Whether what is sent to a guest gets to it: paragraphs 5 and 6.
    pub fn explain_got(&self, guest: &GuestLink, packet: &Packet) -> Decision {
        self.explain_list(guest, packet, Direction::In)
    }

    /// Whether what the host sends to a guest on a bridge gets to it: paragraphs 6.5, 6.6 and 5.
    pub fn explain_from_host(&self, guest: &GuestLink, packet: &Packet) -> Decision {
        let kind = packet.icmp.filter(|_| packet.protocol == Some(Transport::ICMPV6)).map(|(kind, _)| kind);
        let of_routers = [discovery::ROUTER_ADVERTISEMENT, discovery::MLD_QUERY];
        let neighbours = packet.of_the_link() || kind.is_some_and(|kind| of_routers.contains(&kind));
        if neighbours {
            return Decision::pass(Paragraph::BRIDGE, Paragraph::BRIDGE.title());
        }
        if packet.protocol == Some(Transport(IGMP)) {
            return Decision::pass(Paragraph::MULTICAST, Paragraph::MULTICAST.title());
        }
        self.explain_list(guest, packet, Direction::In)
    }

    /// Whether the host takes it: paragraph 7. `from` is the guest that it comes from, if any.
    pub fn explain_taken(&self, from: Option<&GuestLink>, mac: Option<Mac>, packet: &Packet) -> Decision {
        if let Some(spoofed) = from.and_then(|guest| self.explain_source(guest, mac, packet)) {
            return spoofed;
        }
        let members = members(self);
        let nets = |group: &str| members.get(group).cloned().unwrap_or_default();
        let fits = |(_, entry): &(usize, &Entry)| entry.fits(packet, packet.source, nets);
        // What denies comes before what does not, and what has no limit before what has one; then the first of several.
        let first = |(n, entry): &(usize, &Entry)| (entry.deny, Reverse((entry.limit, *n)));
        if from.is_some() {
            let icmpv6 = packet.icmp.filter(|_| packet.protocol == Some(Transport::ICMPV6));
            if icmpv6.is_some_and(|(kind, _)| input::FROM_ANYWHERE.contains(&kind)) {
                let taken = Decision::pass(Paragraph::HOST_FROM_GUEST, "ICMPv6 that a host has to take");
                return taken.of_guest(packet);
            }
            if icmpv6.is_none() && packet.in_transit().is_some() {
                return Decision::pass(Paragraph::ICMPV4, Paragraph::ICMPV4.title()).of_guest(packet);
            }
            if packet.of_the_link() {
                return Decision::pass(Paragraph::HOST_FROM_GUEST, "if it is as 4.4 to 4.7 want it");
            }
            if packet.is_udp(67) || packet.is_udp(547) {
                return Decision::pass(Paragraph::DHCP_CLIENT, Paragraph::DHCP_CLIENT.title());
            }
            let service = match self.guest_services.iter().enumerate().filter(fits).max_by_key(first) {
                Some((n, entry)) if entry.deny => {
                    Decision::drop(Paragraph::DENIED, format!("guest_services[{n}] denies it"))
                }
                Some((n, entry)) => {
                    let because = format!("guest_services[{n}] fits{}", entry.limit_in_words());
                    Decision::pass(Paragraph::HOST_FROM_GUEST, because)
                }
                None => Decision::drop(Paragraph::HOST_FROM_GUEST, "nothing that guests may use on the host"),
            };
            return service.of_guest(packet);
        }
        if let Some(stranger) = self.explain_stranger(packet) {
            return stranger;
        }
        let Some(host) = &self.host else {
            return Decision::pass(Paragraph::HOST, "the spec has no \"host\": it is not protected");
        };
        if let Some((kind, _)) = packet.icmp {
            let taken = match packet.protocol {
                Some(Transport::ICMPV6) => {
                    let neighbour = matches!(packet.source, IpAddr::V6(ip) if ip.is_unicast_link_local());
                    let taken =
                        input::FROM_ANYWHERE.contains(&kind) || neighbour && input::LISTENERS.contains(&kind);
                    taken.then_some(Paragraph::HOST_ICMPV6)
                }
                _ => packet.in_transit(),
            };
            if let Some(paragraph) = taken {
                return Decision::pass(paragraph, paragraph.title());
            }
        }
        let tunnel = self.tunnels.iter().find(|tunnel| {
            let here = tunnel.local == packet.destination || packet.destination.is_unspecified();
            (here && tunnel.remote == packet.source)
                && (packet.protocol == Some(Transport(50)) || packet.is_udp(4500))
        });
        if tunnel.is_some() {
            return Decision::pass(Paragraph::HOST, "from the other end of a tunnel");
        }
        match host.services.iter().enumerate().filter(fits).max_by_key(first) {
            Some((n, entry)) if entry.deny => {
                Decision::drop(Paragraph::DENIED, format!("host.services[{n}] denies it"))
            }
            Some((n, entry)) => {
                let because = format!("host.services[{n}] fits{}", entry.limit_in_words());
                Decision::pass(Paragraph::HOST, because)
            }
            None => Decision::drop(Paragraph::HOST, format!("no service takes {}", packet.words())),
        }
    }

    /// Why it cannot be from `guest`, if it cannot.
    fn explain_source(&self, guest: &GuestLink, mac: Option<Mac>, packet: &Packet) -> Option<Decision> {
        let source = packet.source;
        if let Some(mac) = mac.filter(|mac| *mac != guest.mac) {
            let because = format!("{mac} is not {}, which {} has", guest.mac, guest.name);
            return Some(Decision::drop(Paragraph::MAC, because));
        }
        if packet.is_udp(if source.is_ipv4() { 68 } else { 546 }) {
            return Some(Decision::drop(Paragraph::DHCP_SERVER, "only servers send to the port of clients"));
        }
        if source == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && packet.is_udp(67) {
            return (packet.destination != IpAddr::V4(Ipv4Addr::BROADCAST))
                .then(|| Decision::drop(Paragraph::DHCP_CLIENT, "without a source only to 255.255.255.255"));
        }
        let icmpv6 = packet.icmp.filter(|_| packet.protocol == Some(Transport::ICMPV6));
        if let Some((kind, _)) = icmpv6.filter(|(kind, _)| discovery::NEVER.contains(kind)) {
            return Some(Decision::drop(
                Paragraph::DISCOVERY_TYPES,
                format!("a guest never sends type {kind}"),
            ));
        }
        let icmp = packet.icmp.filter(|_| packet.protocol == Some(Transport::ICMP));
        if let Some((kind, _)) = icmp.filter(|(kind, _)| NEVER_ICMP.contains(kind)) {
            let because = format!("a guest never sends type {kind}");
            return Some(Decision::drop(Paragraph::DISCOVERY_TYPES, because));
        }
        if packet.of_the_link() {
            return None;
        }
        if guest.routers.contains(&source) {
            return Some(Decision::drop(Paragraph::ROUTER, format!("{source} is the host's")));
        }
        let link_local = matches!(source, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let others = || self.guests.iter().any(|other| other.link_local().contains(&source));
        let any = guest.any_link_local && link_local && !others();
        if !any && !guest.sources().any(|net| net.contains(&source)) {
            if source.is_ipv4() && packet.is_udp(67) {
                return Some(Decision::drop(Paragraph::DHCP_CLIENT, format!("{source} is not the client's")));
            }
            let paragraph = if source.is_ipv4() { Paragraph::SOURCE_IPV4 } else { Paragraph::SOURCE_IPV6 };
            return Some(Decision::drop(
                paragraph,
                format!("{source} is none of {}'s addresses", guest.name),
            ));
        }
        None
    }

    fn explain_list(&self, guest: &GuestLink, packet: &Packet, direction: Direction) -> Decision {
        let members = members(self);
        let nets = |group: &str| members.get(group).cloned().unwrap_or_default();
        let (field, own, peer) = match direction {
            Direction::Out => ("egress", &guest.access.egress, packet.destination),
            Direction::In => ("ingress", &guest.access.ingress, packet.source),
        };
        let own =
            own.iter().cloned().enumerate().map(|(n, e)| (format!("{field}[{n}] of {}", guest.name), e));
        let groups = guest.access.groups.iter().flat_map(|group| self.of_group(group, direction, field));
        let fitting: Vec<(String, Entry)> =
            own.chain(groups).filter(|(_, entry)| entry.fits(packet, peer, nets)).collect();
        if let Some((which, _)) = fitting.iter().find(|(_, entry)| entry.deny) {
            return Decision::drop(Paragraph::DENIED, format!("{which} denies it"));
        }
        if let Some(paragraph) = packet.in_transit() {
            return Decision::pass(paragraph, paragraph.title());
        }
        match fitting.iter().min_by_key(|(_, entry)| entry.limit) {
            Some((which, entry)) => {
                Decision::pass(Paragraph::LIST, format!("{which} fits{}", entry.limit_in_words()))
            }
            None => {
                let packet = packet.words();
                let because = format!("no entry in the {field} of {} fits {packet} and {peer}", guest.name);
                Decision::drop(Paragraph::LIST, because)
            }
        }
    }

    /// The entries of a group in one direction, those of tiers included, each with what it is called.
    fn of_group(
        &self,
        group: &GroupName,
        direction: Direction,
        field: &str,
    ) -> impl Iterator<Item = (String, Entry)> {
        let own = self.groups.iter().filter(|g| g.name == *group).map(|g| match direction {
            Direction::Out => g.egress.len(),
            Direction::In => g.ingress.len(),
        });
        let own: usize = own.sum();
        let named = move |n| if n < own { format!("{field}[{n}]") } else { "a tier".to_owned() };
        let entries = list::of_group(self, group, direction).into_iter().enumerate();
        entries.map(move |(n, entry)| (format!("{} of group {group}", named(n)), entry))
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.passes { "passes" } else { "dropped" };
        write!(f, "{verb} by {} ({}): {}", self.paragraph, self.paragraph.title(), self.because)
    }
}
