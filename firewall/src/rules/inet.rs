//! Routed packets: sources before address translation, access lists in forward.

use std::collections::BTreeSet;

use guestnet_core::LinkName;
use guestnet_nft::{
    Chain, DataType, Element, Field, Hook, Rule, Set, Statement, Value, ct, ether, meta, statement, th,
};

use super::input::unless_looped;
use super::owned::{Bridged, Owned};
use super::{icmp, list, quoted, renamed, source};
use crate::guests::Guests;
use crate::prefixes::Ip;
use crate::shape::Direction;
use crate::spec::start;
use crate::words::{
    GUEST, HERE, THROUGH, UDP, Words, chain, deny, from_guest, goto, is_from_own_ipv6, is_its_mac, name, on,
    pass, protocol, room, rule, to_guest,
};
use crate::{FirewallSpec, Paragraph as P};

/// Before the kernel puts fragments together (-400).
const BEFORE_DEFRAG: i32 = -450;
/// Behind that, and before translation (-300) and conntrack (-200).
const BEFORE_TRANSLATION: i32 = -350;
/// `filter`.
const FILTER: i32 = 0;

/// The sets of links, and of what guests are.
pub fn sets(spec: &FirewallSpec, guests: &Guests<'_>, owned: &Owned) -> Vec<Set> {
    let inner = spec.inner.iter().map(|link| Element::new(link.clone()));
    let inner = Set::new(name("inner"), DataType::Ifname).with(inner);
    let mut sets = vec![Set { size: room(inner.elements.len()), ..inner }, trusted(spec)];
    if !owned.is_empty() {
        sets.extend(guests.sets(&Ip::BOTH));
        sets.extend(owned.sets());
        sets.push(renamed::set(spec, &spec.inner));
    }
    if owned.bridged().is_some() {
        let bridges: BTreeSet<&LinkName> =
            spec.guests.iter().filter_map(|guest| guest.bridge.as_ref()).collect();
        let within = bridges.iter().map(|bridge| Element::new([Value::from(*bridge), Value::from(*bridge)]));
        sets.push(Set::new(name("within"), vec![DataType::Ifname, DataType::Ifname]).with(within));
        let bridges = bridges.into_iter().map(|bridge| Element::new(bridge.clone()));
        sets.push(Set::new(name(BRIDGES), DataType::Ifname).with(bridges));
    }
    if !guests.is_empty() {
        sets.extend(guests.ends());
        sets.extend(list::sets(guests));
        sets.extend(super::discovery::sets());
        sets.extend(source::sets());
        sets.extend(quoted::sets());
    }
    sets.extend(icmp::sets());
    sets
}

/// The bridges that guests are ports of.
pub const BRIDGES: &str = "bridges";

fn trusted_pairs(spec: &FirewallSpec) -> impl Iterator<Item = (&LinkName, &LinkName)> {
    spec.trusted.iter().flat_map(|from| spec.trusted.iter().map(move |to| (from, to)))
}

/// Every pair of trusted links, but for those that are said by how they start.
pub fn trusted(spec: &FirewallSpec) -> Set {
    let exact = trusted_pairs(spec).filter(|(from, to)| start(from).or(start(to)).is_none());
    let elements = exact.map(|(from, to)| Element::new([Value::from(from), Value::from(to)]));
    Set::new(name("trusted"), vec![DataType::Ifname, DataType::Ifname]).with(elements)
}

pub fn is_trusted() -> Statement {
    meta::iifname().then(meta::oifname()).is_in(name("trusted"))
}

/// Passes what goes between links of which one is said by how it starts, where `also` holds: a rule for each pair, as
/// a set of names has none for a beginning.
pub fn trusted_starts(spec: &FirewallSpec, also: impl Fn() -> Vec<Statement>) -> Vec<Rule> {
    let is = |field: Field, link: &LinkName| match start(link) {
        Some(start) => field.starts_with(start),
        None => field.eq(link),
    };
    let pairs = trusted_pairs(spec).filter(|(from, to)| start(from).or(start(to)).is_some());
    let links = pairs.map(|(from, to)| [is(meta::iifname(), from), is(meta::oifname(), to)]);
    links
        .map(|links| pass(P::DENY, also().into_iter().chain(links)).comment("1.1 between trusted links"))
        .collect()
}

/// The anti-spoofing of the routed links, and what is forwarded.
pub fn chains(
    spec: &FirewallSpec,
    guests: &Guests<'_>,
    owned: &Owned,
    out: &list::Lists<'_>,
    into: &list::Lists<'_>,
) -> Vec<Chain> {
    let words = Words(guestnet_nft::Family::Inet);
    let mut chains = Vec::new();
    let mut forward = Chain::base(name("forward"), Hook::Forward, FILTER).policy_drop();
    if !owned.is_empty() {
        chains.push(prerouting(guests, owned, words));
        chains.push(owned.chain(words));
        // Nothing begins so, and what goes on is not looked up again.
        let unknown = ct::state().masked(ct::ESTABLISHED).eq(0_u32);
        let from_host = [unknown].into_iter().chain(is_from_own_ipv6(words));
        forward = forward.rule(renamed::to()).rule(deny(P::OWNED, from_host));
    }
    if !guests.is_empty() {
        let entries = source::entries(words, &is_its_mac(ether::saddr()));
        chains.push(chain(FROM_LINK, entries.into_iter().chain([unless_looped(), deny(P::MAC, [])])));
        let fragments = rule(P::DISCOVERY_LAYOUT, [words.is_ipv6(), from_guest(), goto(source::FRAGMENTS)]);
        chains.push(Chain::base(name("before_defrag"), Hook::Prerouting, BEFORE_DEFRAG).rule(fragments));
        chains.extend(source::chains(guests));
        let dhcp = [67_u16, 547].map(|port| deny(P::DHCP_CLIENT, [protocol(UDP), th::dport().eq(port)]));
        let of_the_link = deny(P::DISCOVERY_TYPES, super::discovery::of_the_link());
        let first = dhcp.into_iter().chain([of_the_link]).collect();
        chains.extend(out.chains(first, true, words));
        chains.extend(into.chains(Vec::new(), true, words));
        chains.extend([list::invalid(), list::related(guests, words)]);
        chains.push(chain(icmp::TRANSIT_CHAIN, icmp::transit(&statement::accept())));
        forward = forward
            .rule(rule(P::LIST, [from_guest(), goto(list::chain_of(Direction::Out))]))
            .rule(rule(P::LIST, [to_guest(), goto(list::chain_of(Direction::In))]));
    }
    let inner = |field: Field| pass(P::LIST, [field.is_in(name("inner"))]).comment(INNER);
    forward = forward.rule(inner(meta::iifname())).rule(inner(meta::oifname()));
    let bridged = owned.bridged().into_iter().flat_map(|bridged| through_bridges(bridged, words));
    forward = bridged.fold(forward, Chain::rule);
    forward = forward.rule(pass(P::DENY, [is_trusted()]).comment("1.1 between trusted links"));
    forward = trusted_starts(spec, Vec::new).into_iter().fold(forward, Chain::rule).rule(deny(P::DENY, []));
    chains.push(forward);
    chains
}

/// Before anything else is done with a packet.
fn prerouting(guests: &Guests<'_>, owned: &Owned, words: Words) -> Chain {
    let mut prerouting = Chain::base(name("prerouting"), Hook::Prerouting, BEFORE_TRANSLATION);
    if !guests.is_empty() {
        prerouting = prerouting.rule(on(P::MAC, [from_guest()], FROM_LINK));
    }
    let inner = pass(P::LIST, [meta::iifname().is_in(name("inner"))]).comment(INNER);
    prerouting = prerouting.rule(renamed::from()).rule(inner);
    owned.rules(words).into_iter().fold(prerouting, Chain::rule)
}

/// Rules for packets that the host forwards from and to ports of bridges: their lists are asked there.
fn through_bridges(bridged: &Bridged, words: Words) -> Vec<Rule> {
    let from_bridge = || meta::iifname().is_in(name(BRIDGES));
    let within = [meta::mark().has(THROUGH), meta::iifname().then(meta::oifname()).is_in(name("within"))];
    let from_guest = [meta::mark().has(GUEST), from_bridge(), meta::mark().set_bits(GUEST, 0_u32)];
    let mut rules = vec![
        deny(P::BEYOND, [meta::mark().has(HERE), from_bridge()]),
        pass(P::LIST, from_guest).comment(ON_BRIDGE),
        // br_netfilter shows what a bridge carries to the rules of IP.
        pass(P::LIST, within).comment(ON_BRIDGE),
    ];
    // Others may have taken the mark away.
    rules.extend(bridged.from(words, P::LIST).map(|rule| rule.comment(ON_BRIDGE)));
    rules.extend(bridged.to(words, P::LIST).into_iter().map(|rule| rule.comment(ON_BRIDGE)));
    rules
}

/// Where packets go that come from a guest's link.
const FROM_LINK: &str = "from_link";

const INNER: &str = "6.1 filtered in the guest's namespace";
const ON_BRIDGE: &str = "6.1 filtered on the bridge";
