//! Frames of guests that are ports of bridges.

use guestnet_nft::expr::PayloadBase;
use guestnet_nft::{
    Chain, DataType, Element, Family, Hook, Rule, Set, Statement, ether, icmpv6, meta, raw, th,
};

use super::discovery::{
    ADVERTISEMENT, MLD, MLD_QUERY, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, SOLICITATION,
};
use super::{arp, icmp, inet, list, source};
use crate::guests::{Guests, Ip};
use crate::shape::{Direction, List};
use crate::words::{
    ARP, ICMPV6, IGMP, IPV4, IPV6, UDP, Words, chain, deny, ethertype, from_guest, goto, is_its_mac, jump,
    name, not_from_guest, on, pass, protocol, room, rule, to_guest,
};
use crate::{FirewallSpec, Paragraph as P};

/// Before conntrack of bridges (-200).
const EARLY: i32 = -300;

/// What neighbours on a bridge say to each other.
pub const LINK: [u8; 6] = [ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT, MLD[0], MLD[1], MLD[2]];

/// Its sets.
pub fn sets(spec: &FirewallSpec, guests: &Guests<'_>) -> Vec<Set> {
    let kinds = guests.iter().flat_map(|guest| {
        let kind = |kind: &u16| Element::new([guestnet_nft::Value::from(&guest.name), (*kind).into()]);
        guest.ethertypes.iter().map(kind)
    });
    let kinds = Set::new(name("ethertypes"), vec![DataType::Ifname, DataType::EtherType]).with(kinds);
    let link = Set::new(name("icmpv6_on_the_link"), DataType::Icmpv6Type).with(LINK.map(Element::new));
    let mut sets = guests.sets(&Ip::BOTH);
    sets.extend([Set { size: room(kinds.elements.len()), ..kinds }, link, inet::trusted(spec)]);
    sets.extend(list::sets(guests));
    sets.extend(super::discovery::sets());
    sets.extend(icmp::sets());
    sets
}

/// Its chains.
pub fn chains(
    spec: &FirewallSpec,
    guests: &Guests<'_>,
    out: &list::Lists<'_>,
    into: &list::Lists<'_>,
    served: &List,
) -> Vec<Chain> {
    let words = Words(Family::Bridge);
    // Conntrack of bridges is asked only where somebody needs it: not every kernel has it.
    let connections = guests.has_stateful();
    let mut chains = vec![prerouting(), frame(), forward(spec), input(served, words), output(), neighbours()];
    chains.extend(arp::chains(guests));
    chains.extend(source::chains(guests));
    chains.push(chain(icmp::TRANSIT_CHAIN, icmp::transit()));
    chains.extend(connections.then(list::invalid));
    chains.extend(out.chains(Vec::new(), connections, words));
    chains.extend(into.chains(Vec::new(), connections, words));
    chains
}

fn is(kind: u16) -> Statement {
    ethertype().eq(kind)
}

fn prerouting() -> Chain {
    Chain::base(name("prerouting"), Hook::Prerouting, EARLY)
        .rule(pass(P::MAC, [not_from_guest()]).comment("not a guest's"))
        .rule(on(P::MAC, [is_its_mac(ether::saddr())], "frame"))
        .rule(deny(P::MAC, []))
}

fn frame() -> Chain {
    let allowed = [meta::iifname().then(ethertype()).is_in(name("ethertypes"))];
    chain(
        "frame",
        [
            on(P::ETHERTYPE, [is(ARP)], arp::ENTRY),
            on(P::ETHERTYPE, [is(IPV4)], source::ENTRY_IPV4),
            rule(P::DISCOVERY_LAYOUT, [is(IPV6), jump(source::FRAGMENTS)]),
            on(P::ETHERTYPE, [is(IPV6)], source::ENTRY_IPV6),
            pass(P::ETHERTYPE, allowed),
            deny(P::ETHERTYPE, []),
        ],
    )
}

fn udp(port: u16) -> [Statement; 2] {
    [protocol(UDP), th::dport().eq(port)]
}

/// Neither IPv4 nor IPv6.
fn is_other() -> [Statement; 2] {
    [ethertype().ne(IPV4), ethertype().ne(IPV6)]
}

/// Drops what the bridge floods to a guest and is for somebody else.
fn flooded() -> Rule {
    // The lowest bit of the first byte tells groups.
    let to_one = raw(PayloadBase::Link, 0, 1).masked(1_u8).eq(0_u8);
    let to_another = meta::oifname().then(ether::daddr()).not_in(name("macs"));
    deny(P::FLOODED, [to_guest(), to_one, to_another])
}

/// What needs no entry between neighbours.
fn neighbours() -> Chain {
    chain(
        "neighbours",
        [
            pass(P::BRIDGE, [is(ARP)]),
            pass(P::BRIDGE, [protocol(ICMPV6), icmpv6::kind().is_in(name("icmpv6_on_the_link"))]),
            pass(P::MULTICAST, [protocol(IGMP)]),
        ],
    )
}

/// What only those say who are no guests: routers, DHCP servers.
fn of_routers(others: impl Fn() -> Vec<Statement>) -> Vec<Rule> {
    let with = |parts: Vec<Statement>| pass(P::BRIDGE, others().into_iter().chain(parts));
    let kind = |kind: u8| with(vec![protocol(ICMPV6), icmpv6::kind().eq(kind)]);
    let reply = |from: u16, to: u16| with(vec![protocol(UDP), th::sport().eq(from), th::dport().eq(to)]);
    vec![kind(ROUTER_ADVERTISEMENT), kind(MLD_QUERY), reply(67, 68), reply(547, 546)]
}

fn forward(spec: &FirewallSpec) -> Chain {
    let to_others = || meta::oifname().not_in(name("guests"));
    let mut forward = Chain::base(name("forward"), Hook::Forward, 0)
        .policy_drop()
        .rule(pass(P::DENY, [inet::is_trusted()]).comment("1.1 between trusted links"));
    // Whatever a name starts with: a guest's is not trusted.
    for rule in inet::trusted_starts(spec, || vec![not_from_guest(), to_others()]) {
        forward = forward.rule(rule);
    }
    forward = forward
        .rule(deny(P::DENY, [not_from_guest(), to_others()]))
        .rule(flooded())
        .rule(rule(P::BRIDGE, [jump("neighbours")]));
    for rule in of_routers(|| vec![not_from_guest()]) {
        forward = forward.rule(rule);
    }
    for port in [67, 547] {
        forward = forward
            .rule(pass(P::DHCP_CLIENT, udp(port).into_iter().chain([from_guest(), to_others()])))
            .rule(deny(P::DHCP_CLIENT, udp(port).into_iter().chain([from_guest()])));
    }
    let allowed = meta::oifname().then(ethertype()).is_in(name("ethertypes"));
    forward
        .rule(pass(P::ETHERTYPE, is_other().into_iter().chain([to_others()])))
        .rule(pass(P::ETHERTYPE, is_other().into_iter().chain([allowed])))
        .rule(deny(P::ETHERTYPE, is_other()))
        .rule(rule(P::LIST, [from_guest(), goto(list::chain_of(Direction::Out))]))
        .rule(rule(P::LIST, [to_guest(), goto(list::chain_of(Direction::In))]))
}

/// To the host, which routes it or takes it: then paragraph 7 decides too.
fn input(served: &List, words: Words) -> Chain {
    let mut input = Chain::base(name("input"), Hook::Input, 0)
        .rule(pass(P::LIST, [not_from_guest()]).comment("not a guest's"))
        .rule(rule(P::BRIDGE, [jump("neighbours")]));
    for port in [67, 547] {
        input = input.rule(pass(P::DHCP_CLIENT, udp(port)));
    }
    for fits in served.matches(words) {
        input = input.rule(pass(P::HOST_FROM_GUEST, [fits]));
    }
    input.rule(rule(P::LIST, [goto(list::chain_of(Direction::Out))]))
}

/// From the host, which sends or routes it.
fn output() -> Chain {
    let mut output = Chain::base(name("output"), Hook::Output, 0)
        .rule(pass(P::LIST, [meta::oifname().not_in(name("guests"))]).comment("not to a guest"))
        .rule(flooded())
        .rule(rule(P::BRIDGE, [jump("neighbours")]));
    for rule in of_routers(Vec::new) {
        output = output.rule(rule);
    }
    output.rule(rule(P::LIST, [goto(list::chain_of(Direction::In))]))
}
