//! Frames of guests that are ports of bridges.

use std::collections::BTreeSet;

use guestnet_nft::expr::PayloadBase;
use guestnet_nft::{
    Chain, DataType, Element, Family, Hook, Rule, Set, Statement, ether, icmpv6, meta, raw, statement, th,
};

use super::discovery::{MLD_QUERY, ROUTER_ADVERTISEMENT, of_the_link};
use super::owned::Bridged;
use super::{arp, icmp, inet, list, ports, quoted, renamed, source};
use crate::guests::Guests;
use crate::prefixes::Ip;
use crate::shape::{Direction, List};
use crate::words::{
    ARP, GUEST, HERE, ICMPV6, IGMP, IPV4, IPV6, TAGS, THROUGH, UDP, VLAN, Words, chain, deny, ethertype,
    from_guest, goto, is_its_mac, jump, name, not_from_guest, on, pass, protocol, room, rule,
    tagged_ethertype, to_guest, vlan,
};
use crate::{FirewallSpec, Paragraph as P};

/// Before conntrack of bridges (-200).
const EARLY: i32 = -300;

/// Its sets.
pub fn sets(spec: &FirewallSpec, guests: &Guests<'_>, bridged: &Bridged) -> Vec<Set> {
    let kinds = guests.iter().flat_map(|guest| {
        let kind = |kind: &u16| Element::new([guestnet_nft::Value::from(&guest.name), (*kind).into()]);
        guest.ethertypes.iter().map(kind)
    });
    let kinds = Set::new(name("ethertypes"), vec![DataType::Ifname, DataType::EtherType]).with(kinds);
    let vlans = guests.iter().flat_map(|guest| {
        guest.vlans.iter().map(|vlan| Element::new([guestnet_nft::Value::from(&guest.name), (*vlan).into()]))
    });
    let vlans = Set::new(name("vlans"), vec![DataType::Ifname, DataType::EtherType]).with(vlans);
    let tags = Set::new(name("tags"), DataType::EtherType).with(TAGS.map(Element::new));
    let mut sets = guests.sets(&Ip::BOTH);
    sets.extend([Set { size: room(vlans.elements.len()), ..vlans }, tags]);
    sets.extend([Set { size: room(kinds.elements.len()), ..kinds }, inet::trusted(spec)]);
    sets.push(renamed::set(spec, &BTreeSet::new()));
    sets.extend(bridged.sets());
    sets.extend(guests.has_stateful().then(|| guests.ends()).into_iter().flatten());
    sets.extend(list::sets(guests));
    sets.extend(super::discovery::sets());
    sets.extend(source::sets());
    sets.extend(quoted::sets());
    sets.extend(icmp::sets());
    sets
}

/// Its chains.
pub fn chains(
    spec: &FirewallSpec,
    guests: &Guests<'_>,
    bridged: &Bridged,
    out: &list::Lists<'_>,
    into: &list::Lists<'_>,
    served: &List,
) -> Vec<Chain> {
    let words = Words(Family::Bridge);
    // Conntrack of bridges is asked only where somebody needs it: not every kernel has it.
    let connections = guests.has_stateful();
    let mut chains = vec![
        prerouting(bridged, words),
        from_port(),
        frame(),
        tagged(),
        forward(spec),
        output(),
        neighbours(),
    ];
    chains.extend(through());
    chains.extend(input(out.rules(connections, words), served, words));
    chains.extend(arp::chains(guests));
    chains.extend(source::chains(guests));
    chains.push(chain(icmp::TRANSIT_CHAIN, icmp::transit(&statement::accept())));
    chains.extend(connections.then(|| [list::invalid(), list::related(guests, words)]).into_iter().flatten());
    chains.extend(out.chains(Vec::new(), connections, words));
    chains.extend(into.chains(Vec::new(), connections, words));
    chains.extend(out.deny().then(|| denied(served, words)));
    chains
}

fn is(kind: u16) -> Statement {
    ethertype().eq(kind)
}

fn prerouting(bridged: &Bridged, words: Words) -> Chain {
    let prerouting = Chain::base(name("prerouting"), Hook::Prerouting, EARLY)
        .rule(on(P::MAC, [from_guest()], "from_port"))
        .rule(renamed::from());
    bridged.strangers(words).into_iter().fold(prerouting, Chain::rule)
}

fn from_port() -> Chain {
    chain("from_port", [on(P::MAC, [is_its_mac(ether::saddr())], "frame"), deny(P::MAC, [])])
}

fn frame() -> Chain {
    let allowed = [meta::iifname().then(ethertype()).is_in(name("ethertypes"))];
    // The kernel says a protocol where the headers and the length are right. Nobody behind a bridge would look again.
    let told = || meta::l4proto().ge(0_u8);
    chain(
        "frame",
        [
            on(P::ETHERTYPE, [is(ARP)], arp::ENTRY),
            on(P::ETHERTYPE, [is(IPV4), told()], source::ENTRY_IPV4),
            rule(P::DISCOVERY_LAYOUT, [is(IPV6), jump(source::FRAGMENTS)]),
            on(P::ETHERTYPE, [is(IPV6), told()], source::ENTRY_IPV6),
            deny(P::HEADERS, [is(IPV4)]),
            deny(P::HEADERS, [is(IPV6)]),
            on(P::TAG, [is(VLAN)], "tagged"),
            pass(P::ETHERTYPE, allowed),
            deny(P::ETHERTYPE, []),
        ],
    )
}

/// Frames with a VLAN tag. A kernel takes that of VLAN 0 away and looks at what is inside, and one of another VLAN where it is in
/// that.
fn tagged() -> Chain {
    let of_interface = meta::iifname().then(vlan()).is_in(name("vlans"));
    chain(
        "tagged",
        [
            deny(P::TAG, [tagged_ethertype().is_in(name("tags"))]),
            pass(P::TAG, [of_interface]),
            deny(P::TAG, []),
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
        [pass(P::BRIDGE, [is(ARP)]), pass(P::BRIDGE, of_the_link()), pass(P::MULTICAST, [protocol(IGMP)])],
    )
}

/// What only those say who are no guests: routers, DHCP servers.
fn of_routers(others: impl Fn() -> Vec<Statement>) -> Vec<Rule> {
    let with = |parts: Vec<Statement>| pass(P::BRIDGE, others().into_iter().chain(parts));
    let kind = |kind: u8| with(vec![protocol(ICMPV6), icmpv6::kind().eq(kind)]);
    let reply = |from: u16, to: u16| with(vec![protocol(UDP), th::sport().eq(from), th::dport().eq(to)]);
    vec![kind(ROUTER_ADVERTISEMENT), kind(MLD_QUERY), reply(67, 68), reply(547, 546)]
}

/// Marks frames between ports while br_netfilter shows them to the rules of IP, which could not tell them from packets that the
/// host routes back into the bridge that they came through. (It does so at the priority -1 or 0, by the kernel.)
fn through() -> [Chain; 2] {
    let mark = |name: &str, hook, bits: u32| {
        let rule = rule(P::DENY, [meta::mark().set_bits(THROUGH, bits)]);
        Chain::base(crate::words::name(name), hook, EARLY).rule(rule)
    };
    [mark("through", Hook::Forward, THROUGH), mark("postrouting", Hook::Postrouting, 0)]
}

fn forward(spec: &FirewallSpec) -> Chain {
    let to_others = || meta::oifname().not_in(name("guests"));
    let mut forward = Chain::base(name("forward"), Hook::Forward, 0)
        .policy_drop()
        .rule(renamed::to())
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
    let of_interface = meta::oifname().then(vlan()).is_in(name("vlans"));
    forward
        .rule(pass(P::ETHERTYPE, is_other().into_iter().chain([to_others()])))
        .rule(pass(P::ETHERTYPE, is_other().into_iter().chain([allowed])))
        .rule(pass(P::TAG, [is(VLAN), of_interface]))
        .rule(deny(P::TAG, [is(VLAN)]))
        .rule(deny(P::ETHERTYPE, is_other()))
        .rule(rule(P::LIST, [from_guest(), goto(list::chain_of(Direction::Out))]))
        .rule(rule(P::LIST, [to_guest(), goto(list::chain_of(Direction::In))]))
}

/// To the host, which routes it or takes it: then paragraph 7 decides too. What passes for the host's sake alone is marked, so
/// that the host does not forward it.
fn input(lists: Vec<Rule>, served: &List, words: Words) -> [Chain; 2] {
    let base = Chain::base(name("input"), Hook::Input, 0)
        .rule(on(P::LIST, [from_guest()], "up"))
        .rule(renamed::from());
    let pass_here = |paragraph: P, parts: Vec<Statement>| pass(paragraph, parts.into_iter().chain([here()]));
    let mut rules = vec![
        // It has not been through prerouting.
        deny(P::BRIDGE_GROUP, [ports::to_bridges()]),
        pass(P::BRIDGE, [is(ARP)]),
        rule(P::LIST, [meta::mark().set_bits(GUEST, GUEST)]),
        pass_here(P::BRIDGE, of_the_link().into()),
        pass_here(P::MULTICAST, vec![protocol(IGMP)]),
    ];
    rules.extend([67, 547].map(|port| pass_here(P::DHCP_CLIENT, udp(port).into())));
    // What a list lets out is not for the host alone.
    rules.extend(lists);
    rules.extend(serving(served, words));
    rules.push(deny(P::LIST, []));
    [base, chain("up", rules)]
}

/// Passes what guests may use on the host, for the host alone.
fn serving(served: &List, words: Words) -> Vec<Rule> {
    let denied = served.denials(words).map(|fits| deny(P::DENIED, [fits]));
    denied.chain(served.matches(words).map(|fits| pass(P::HOST_FROM_GUEST, [fits, here()]))).collect()
}

/// Where a packet goes that an entry of a guest's `egress` denies: to the host's services it may.
pub const DENIED: &str = "denied";

fn denied(served: &List, words: Words) -> Chain {
    // To the host leads no port, and what is no port has no group to be compared.
    let to_port = deny(P::DENIED, [meta::oifgroup().ge(0_u32)]);
    let serving = serving(served, words).into_iter();
    chain(DENIED, [to_port].into_iter().chain(serving).chain([deny(P::DENIED, [])]))
}

/// Marks a packet as being for the host alone.
fn here() -> Statement {
    meta::mark().set_bits(HERE, HERE)
}

/// From the host, which sends or routes it.
fn output() -> Chain {
    let mut output = Chain::base(name("output"), Hook::Output, 0)
        .rule(renamed::to())
        .rule(deny(P::DENY, [meta::mark().has(GUEST), meta::oifname().not_in(name("guests"))]))
        .rule(pass(P::LIST, [meta::oifname().not_in(name("guests"))]).comment("not to a guest"))
        .rule(flooded())
        .rule(rule(P::BRIDGE, [jump("neighbours")]));
    for rule in of_routers(Vec::new) {
        output = output.rule(rule);
    }
    output.rule(rule(P::LIST, [goto(list::chain_of(Direction::In))]))
}
