//! What the host itself takes.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_nft::{
    Chain, DataType, Element, Family, Hook, Rule, Set, Statement, Value, ct, icmpv6, ip, ip6, meta,
    statement, th,
};

use super::discovery::{ADVERTISEMENT, MLD, ROUTER_SOLICITATION, SOLICITATION};
use super::inet::BRIDGES;
use super::owned::Owned;
use super::source::{LINK_LOCAL, LINK_LOCAL_MASK};
use crate::shape::List;
use crate::words::{
    ESP, GUEST, HERE, ICMP, ICMPV6, IGMP, UDP, Words, chain, deny, from_guest, has_ethernet_header,
    is_from_own_ipv6, jump, name, on, pass, protocol, rule,
};
use crate::{FirewallSpec, Paragraph as P};

/// RFC 4890 sections 4.4.1 and 4.4.2, by how the sender proves that it is on the link.
pub const FROM_ANYWHERE: [u8; 6] = [1, 2, 3, 4, 128, 129];
const FROM_THE_LINK: [u8; 8] = [133, 134, 135, 136, 141, 142, 148, 149];
pub const LISTENERS: [u8; 7] = [130, 131, 132, 143, 151, 152, 153];
/// What is left of them for a guest, which was looked at before.
const FROM_GUESTS: [u8; 12] =
    [1, 2, 3, 4, 128, 129, ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT, MLD[0], MLD[1], MLD[2]];

/// Where packets go that the host may have sent itself.
const LOOPED: &str = "looped";
/// How a frame was addressed that is for this host alone.
const UNICAST: u8 = 0;
/// Links of Ethernet.
const ARPHRD_ETHER: u16 = 1;

/// Where packets go that come from guests.
const FROM_GUEST: &str = "host_from_guest";

/// Its sets.
pub fn sets(spec: &FirewallSpec) -> Vec<Set> {
    let kinds = |text, kinds: &[u8]| {
        Set::new(name(text), DataType::Icmpv6Type).with(kinds.iter().map(|kind| Element::new(*kind)))
    };
    let mut sets = vec![kinds("icmpv6_from_guests", &FROM_GUESTS)];
    if spec.host.is_some() {
        sets.push(kinds("icmpv6_from_anywhere", &FROM_ANYWHERE));
        sets.push(kinds("icmpv6_from_the_link", &FROM_THE_LINK));
        sets.push(kinds("icmpv6_of_listeners", &LISTENERS));
        for (text, data, ipv6) in
            [("tunnels_ipv4", DataType::Ipv4Addr, false), ("tunnels_ipv6", DataType::Ipv6Addr, true)]
        {
            let ends = spec.tunnels.iter().filter(|tunnel| tunnel.remote.is_ipv6() == ipv6);
            let ends = ends.map(|tunnel| Element::new([Value::from(tunnel.remote), tunnel.local.into()]));
            sets.push(Set::new(name(text), vec![data, data]).with(ends));
        }
    }
    sets
}

/// Its chains: `served` is what guests may use, `services` what others may.
pub fn chains(spec: &FirewallSpec, served: &List, services: &List, owned: &Owned) -> Vec<Chain> {
    let words = Words(Family::Inet);
    let perhaps = [meta::pkttype().ne(UNICAST), jump(LOOPED)];
    let mut input = Chain::base(name("input"), Hook::Input, 0).rule(rule(P::HOST_SENDS, perhaps));
    if !owned.is_empty() {
        input = input.rule(on(P::HOST_FROM_GUEST, [from_guest()], FROM_GUEST));
    }
    input = input.rule(on(P::HOST_FROM_GUEST, [meta::iifname().is_in(name("inner"))], FROM_GUEST));
    if let Some(bridged) = owned.bridged() {
        let from_bridge = || meta::iifname().is_in(name(BRIDGES));
        let clear = meta::mark().set_bits(HERE | GUEST, 0_u32);
        let marked = [meta::mark().has(GUEST), from_bridge(), clear];
        input = input.rule(on(P::HOST_FROM_GUEST, marked, FROM_GUEST));
        for parts in bridged.is_from(words) {
            input = input.rule(on(P::HOST_FROM_GUEST, parts, FROM_GUEST));
        }
        // Who asks for an address has none.
        let discover = [from_bridge(), ip::saddr().eq(Ipv4Addr::UNSPECIFIED)];
        let discover = [words.is_ipv4()].into_iter().chain(discover).chain(udp(67));
        input = input.rule(pass(P::DHCP_CLIENT, discover));
    }
    let mut chains = vec![from_guests(served, words), looped()];
    if spec.host.is_some() {
        input = input.rule(on(P::HOST, [], "host"));
        chains.push(host(services, words));
    }
    chains.insert(0, input);
    chains
}

/// Passes what the host has sent to itself: over the loopback link, or to a multicast group that it is in. The kernel
/// shows that as if it came in from the link that it went out to, but without an Ethernet header (kernel 6.6).
fn looped() -> Chain {
    let back = |what| rule(P::HOST_SENDS, [what, statement::return_()]);
    let loopback = pass(P::HOST_SENDS, [meta::iifname().eq(Value::Ifname(loopback()))]);
    let unknown = back(meta::iiftype().ne(ARPHRD_ETHER));
    chain(LOOPED, [loopback, back(has_ethernet_header()), unknown, pass(P::HOST_SENDS, [])])
}

/// Lets pass what [`looped`] does, and goes on with the rest.
pub fn unless_looped() -> Rule {
    rule(P::HOST_SENDS, [jump(LOOPED)])
}

/// Errors about one are let in by their types.
fn connections() -> Statement {
    ct::state().has(ct::ESTABLISHED)
}

fn udp(port: u16) -> [Statement; 2] {
    [protocol(UDP), th::dport().eq(port)]
}

fn from_guests(served: &List, words: Words) -> Chain {
    let mut rules = vec![
        pass(P::HOST_FROM_GUEST, [connections()]),
        pass(P::HOST_FROM_GUEST, [protocol(ICMPV6), icmpv6::kind().is_in(name("icmpv6_from_guests"))]),
    ];
    rules.push(pass(P::ICMPV4, [protocol(ICMP), guestnet_nft::icmp::kind().is_in(name("icmp_in_transit"))]));
    rules.push(pass(P::MULTICAST, [protocol(IGMP)]));
    rules.extend([67, 547].map(|port| pass(P::DHCP_CLIENT, udp(port))));
    rules.extend(served.denials(words).map(|fits| deny(P::DENIED, [fits])));
    rules.extend(served.matches(words).map(|fits| pass(P::HOST_FROM_GUEST, [fits])));
    rules.push(deny(P::HOST_FROM_GUEST, []));
    chain(FROM_GUEST, rules)
}

fn host(services: &List, words: Words) -> Chain {
    let icmpv6 = |set: &str| [protocol(ICMPV6), icmpv6::kind().is_in(name(set))];
    let with = |parts: [Statement; 2], more: Statement| parts.into_iter().chain([more]);
    let listeners = |source: Statement| pass(P::HOST_ICMPV6, with(icmpv6("icmpv6_of_listeners"), source));
    let ipv4_tunnel = || ip::saddr().then(ip::daddr()).is_in(name("tunnels_ipv4"));
    let ipv6_tunnel = || ip6::saddr().then(ip6::daddr()).is_in(name("tunnels_ipv6"));
    let mut rules: Vec<Rule> = vec![
        pass(P::HOST, [meta::iifname().eq(Value::Ifname(loopback()))]),
        pass(P::HOST, [connections()]),
        deny(P::HOST, [ct::state().has(ct::INVALID)]),
        deny(P::OWNED, is_from_own_ipv6(words)),
        pass(P::HOST_ICMPV6, icmpv6("icmpv6_from_anywhere")),
        pass(P::HOST_ICMPV6, with(icmpv6("icmpv6_from_the_link"), ip6::hoplimit().eq(255_u8))),
        listeners(ip6::saddr().masked(LINK_LOCAL_MASK).eq(LINK_LOCAL)),
        listeners(ip6::saddr().eq(Ipv6Addr::UNSPECIFIED)),
        pass(P::ICMPV4, [protocol(ICMP), guestnet_nft::icmp::kind().is_in(name("icmp_in_transit"))]),
        pass(P::MULTICAST, [protocol(IGMP)]),
        pass(P::HOST, udp(68).into_iter().chain([th::sport().eq(67_u16)])),
        pass(P::HOST, udp(546).into_iter().chain([th::sport().eq(547_u16)])),
    ];
    for (family, ends) in [(words.is_ipv4(), ipv4_tunnel()), (words.is_ipv6(), ipv6_tunnel())] {
        rules.push(pass(P::HOST, [family.clone(), protocol(ESP), ends.clone()]));
        // ESP in UDP (RFC 3948).
        rules.push(pass(P::HOST, [family].into_iter().chain(udp(4500)).chain([ends])));
    }
    rules.extend(services.denials(words).map(|fits| deny(P::DENIED, [fits])));
    rules.extend(services.matches(words).map(|fits| pass(P::HOST, [fits])));
    rules.push(deny(P::HOST, []));
    chain("host", rules)
}

fn loopback() -> guestnet_core::LinkName {
    "lo".parse().unwrap_or_else(|e| unreachable!("{e}"))
}
