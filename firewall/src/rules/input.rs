//! What the host itself takes.

use std::net::Ipv6Addr;

use guestnet_nft::{
    Chain, DataType, Element, Family, Hook, Rule, Set, Statement, Value, ct, icmpv6, ip, ip6, meta, th,
};

use super::discovery::{ADVERTISEMENT, MLD, ROUTER_SOLICITATION, SOLICITATION};
use super::source::{LINK_LOCAL, LINK_LOCAL_MASK};
use crate::shape::List;
use crate::words::{
    ESP, ICMP, ICMPV6, IGMP, UDP, Words, chain, deny, from_guest, name, pass, protocol, rule,
};
use crate::{FirewallSpec, Paragraph as P};

/// RFC 4890 sections 4.4.1 and 4.4.2, by how the sender proves that it is on the link.
pub const FROM_ANYWHERE: [u8; 6] = [1, 2, 3, 4, 128, 129];
const FROM_THE_LINK: [u8; 8] = [133, 134, 135, 136, 141, 142, 148, 149];
pub const LISTENERS: [u8; 7] = [130, 131, 132, 143, 151, 152, 153];
/// What is left of them for a guest, which was looked at before.
const FROM_GUESTS: [u8; 12] =
    [1, 2, 3, 4, 128, 129, ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT, MLD[0], MLD[1], MLD[2]];

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
pub fn chains(spec: &FirewallSpec, served: &List, services: &List, has_guests: bool) -> Vec<Chain> {
    let words = Words(Family::Inet);
    let mut input = Chain::base(name("input"), Hook::Input, 0);
    if has_guests {
        input = input.rule(rule(P::HOST_FROM_GUEST, [from_guest(), crate::words::goto("host_from_guest")]));
    }
    let inner = [meta::iifname().is_in(name("inner")), crate::words::goto("host_from_guest")];
    input = input.rule(rule(P::HOST_FROM_GUEST, inner));
    let mut chains = vec![from_guests(served, words)];
    if spec.host.is_some() {
        input = input.rule(rule(P::HOST, [crate::words::goto("host")]));
        chains.push(host(services, words));
    }
    chains.insert(0, input);
    chains
}

fn connections() -> Statement {
    ct::state().has(ct::ESTABLISHED | ct::RELATED)
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
    rules.extend(served.matches(words).map(|fits| pass(P::HOST_FROM_GUEST, [fits])));
    rules.push(deny(P::HOST_FROM_GUEST, []));
    chain("host_from_guest", rules)
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
    rules.extend(services.matches(words).map(|fits| pass(P::HOST, [fits])));
    rules.push(deny(P::HOST, []));
    chain("host", rules)
}

fn loopback() -> guestnet_core::LinkName {
    "lo".parse().unwrap_or_else(|e| unreachable!("{e}"))
}
