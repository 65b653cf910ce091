//! Routed packets: sources before address translation, access lists in forward.

use guestnet_core::LinkName;
use guestnet_nft::{Chain, DataType, Element, Field, Hook, Rule, Set, Statement, Value, ether, meta, th};

use super::{icmp, list, source};
use crate::guests::{Guests, Ip};
use crate::shape::Direction;
use crate::spec::start;
use crate::words::{
    UDP, Words, chain, deny, from_guest, goto, is_its_mac, name, not_from_guest, pass, protocol, rule,
    to_guest,
};
use crate::{FirewallSpec, Paragraph as P};

/// Before the kernel puts fragments together (-400).
const BEFORE_DEFRAG: i32 = -450;
/// Behind that, and before translation (-300) and conntrack (-200).
const BEFORE_TRANSLATION: i32 = -350;
/// `filter`.
const FILTER: i32 = 0;

/// The sets of links that are no guests'.
pub fn sets(spec: &FirewallSpec, guests: &Guests<'_>) -> Vec<Set> {
    let inner = spec.inner.iter().map(|link| Element::new(link.clone()));
    let mut sets = vec![Set::new(name("inner"), DataType::Ifname).with(inner), trusted(spec)];
    if !guests.is_empty() {
        sets.extend(guests.sets(&Ip::BOTH));
        sets.extend(list::sets(guests));
        sets.extend(super::discovery::sets());
    }
    sets.extend(icmp::sets());
    sets
}

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
    out: &list::Lists<'_>,
    into: &list::Lists<'_>,
) -> Vec<Chain> {
    let words = Words(guestnet_nft::Family::Inet);
    let mut chains = Vec::new();
    let mut forward = Chain::base(name("forward"), Hook::Forward, FILTER).policy_drop();
    if !guests.is_empty() {
        let mac = is_its_mac(ether::saddr());
        let mut prerouting = Chain::base(name("prerouting"), Hook::Prerouting, BEFORE_TRANSLATION)
            .rule(pass(P::MAC, [not_from_guest()]).comment("not a guest's"));
        for entry in source::entries(words, &mac) {
            prerouting = prerouting.rule(entry);
        }
        chains.push(prerouting.rule(deny(P::MAC, [])));
        let fragments = rule(P::DISCOVERY_LAYOUT, [words.is_ipv6(), from_guest(), goto(source::FRAGMENTS)]);
        chains.push(Chain::base(name("before_defrag"), Hook::Prerouting, BEFORE_DEFRAG).rule(fragments));
        chains.extend(source::chains(guests));
        let dhcp = [67_u16, 547].map(|port| deny(P::DHCP_CLIENT, [protocol(UDP), th::dport().eq(port)]));
        chains.extend(out.chains(dhcp.into(), true, words));
        chains.extend(into.chains(Vec::new(), true, words));
        chains.extend([list::invalid(), chain(icmp::TRANSIT_CHAIN, icmp::transit())]);
        forward = forward
            .rule(rule(P::LIST, [from_guest(), goto(list::chain_of(Direction::Out))]))
            .rule(rule(P::LIST, [to_guest(), goto(list::chain_of(Direction::In))]));
    }
    let inner = |field: Field| pass(P::LIST, [field.is_in(name("inner"))]).comment(INNER);
    forward = forward
        .rule(inner(meta::iifname()))
        .rule(inner(meta::oifname()))
        .rule(pass(P::DENY, [is_trusted()]).comment("1.1 between trusted links"));
    forward = trusted_starts(spec, Vec::new).into_iter().fold(forward, Chain::rule).rule(deny(P::DENY, []));
    chains.push(forward);
    chains
}

const INNER: &str = "6.1 filtered in the guest's namespace, or on the bridge";
