//! ICMPv6 from guests: neighbour discovery, MLD.

use std::net::Ipv6Addr;

use guestnet_nft::{Chain, DataType, Element, Rule, Set, Statement, icmpv6, ip6};

use super::quoted;
use super::source::{LINK_LOCAL, LINK_LOCAL_MASK, SOURCE_IPV6};
use crate::Paragraph as P;
use crate::guests::Guests;
use crate::prefixes::Ip;
use crate::words::{
    ICMPV6, chain, deny, ip6_length, is_its_mac, name, nexthdr, on, pass, protocol, transport, transport_mac,
};

/// The chain that ICMPv6 from a guest enters.
pub const ENTRY: &str = "icmpv6_from_guest";

pub const ROUTER_SOLICITATION: u8 = 133;
pub const ROUTER_ADVERTISEMENT: u8 = 134;
pub const SOLICITATION: u8 = 135;
pub const ADVERTISEMENT: u8 = 136;
pub const REDIRECT: u8 = 137;
pub const MLD_QUERY: u8 = 130;
pub const MLD: [u8; 3] = [131, 132, 143];

/// What a guest says on its link, beside neighbour discovery and MLD reports: nothing of these.
pub const NEVER: [u8; 11] =
    [MLD_QUERY, ROUTER_ADVERTISEMENT, REDIRECT, 138, 141, 142, 148, 149, 151, 152, 153];

/// A source or target link-layer address, 8 bytes long, and a nonce.
const SOURCE_LINK: u16 = 0x0101;
const TARGET_LINK: u16 = 0x0201;
const NONCE: u16 = 0x0e01;

/// `ff02::1:ff00:0/104`: the solicited-node addresses.
const SOLICITED: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0);

/// Types of ICMPv6 that stay on a link: to neighbours and routers.
pub const LINK: [u8; 6] = [ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT, MLD[0], MLD[1], MLD[2]];

/// ICMPv6 that stays on its link.
pub fn of_the_link() -> [Statement; 2] {
    [protocol(ICMPV6), icmpv6::kind().is_in(name("icmpv6_on_the_link"))]
}

/// The sets that the chains ask.
pub fn sets() -> [Set; 3] {
    let set = |text, kinds: &[u8]| {
        Set::new(name(text), DataType::Icmpv6Type).with(kinds.iter().map(|kind| Element::new(*kind)))
    };
    [set("never_from_guests", &NEVER), set("multicast_reports", &MLD), set("icmpv6_on_the_link", &LINK)]
}

/// The types of ICMPv6 that a first fragment may show: all but neighbour discovery.
pub fn fragmentable() -> [Statement; 2] {
    [icmpv6::kind().lt(ROUTER_SOLICITATION), icmpv6::kind().gt(REDIRECT)]
}

/// From [`ENTRY`] on.
pub fn chains(guests: &Guests<'_>) -> Vec<Chain> {
    vec![
        entry(),
        solicitation(),
        duplicates(),
        targets(guests, "duplicates_target", P::SOLICITATION, |target| pass(P::SOLICITATION, [target])),
        advertisement(),
        targets(guests, "advertisement_target", P::ADVERTISEMENT, |target| {
            on(P::ADVERTISEMENT, [target], SOURCE_IPV6)
        }),
        router_solicitation(),
        mld(),
    ]
}

fn entry() -> Chain {
    let discovery = || icmpv6::kind().within(ROUTER_SOLICITATION, REDIRECT);
    let kind = |kind: u8| [icmpv6::kind().eq(kind)];
    chain(
        ENTRY,
        [
            deny(P::DISCOVERY_TYPES, [icmpv6::kind().is_in(name("never_from_guests"))]),
            deny(P::DISCOVERY_LAYOUT, [discovery(), nexthdr().ne(ICMPV6)]),
            deny(P::DISCOVERY_HOPS, [discovery(), ip6::hoplimit().ne(255_u8)]),
            deny(P::DISCOVERY_HOPS, [discovery(), icmpv6::code().ne(0_u8)]),
            on(P::SOLICITATION, kind(SOLICITATION), "solicitation"),
            on(P::ADVERTISEMENT, kind(ADVERTISEMENT), "advertisement"),
            on(P::ROUTER_SOLICITATION, kind(ROUTER_SOLICITATION), "router_solicitation"),
            on(P::MULTICAST, [icmpv6::kind().is_in(name("multicast_reports"))], "mld"),
            quoted::on_errors(Ip::V6),
            on(P::SOURCE_IPV6, [], SOURCE_IPV6),
        ],
    )
}

/// The message is as long as one without options.
fn bare(length: u16) -> Statement {
    ip6_length().eq(length)
}

/// The message has one option of 8 bytes at `offset`, and it is `option`.
fn only(offset: u32, option: u16) -> [Statement; 2] {
    [ip6_length().eq(offset as u16 + 8), transport(offset, 2).eq(option)]
}

/// The message has one option at `offset`: a link-layer address, the guest's.
fn its_link(offset: u32, option: u16) -> impl Iterator<Item = Statement> {
    only(offset, option).into_iter().chain([is_its_mac(transport_mac(offset + 2))])
}

fn unspecified() -> Statement {
    ip6::saddr().eq(Ipv6Addr::UNSPECIFIED)
}

/// What a message is about: 8 bytes behind the start of the ICMPv6 header.
fn target() -> guestnet_nft::Field {
    transport(8, 16).typed(DataType::Ipv6Addr)
}

fn solicitation() -> Chain {
    chain(
        "solicitation",
        [
            on(P::SOLICITATION, [unspecified()], "duplicates"),
            on(P::SOLICITATION, [bare(24)], SOURCE_IPV6),
            on(P::SOLICITATION, its_link(24, SOURCE_LINK), SOURCE_IPV6),
            deny(P::SOLICITATION, []),
        ],
    )
}

fn duplicates() -> Chain {
    let solicited = || ip6::daddr().prefix(104).eq(SOLICITED);
    chain(
        "duplicates",
        [
            on(P::SOLICITATION, [solicited(), bare(24)], "duplicates_target"),
            on(P::SOLICITATION, std::iter::once(solicited()).chain(only(24, NONCE)), "duplicates_target"),
            deny(P::SOLICITATION, []),
        ],
    )
}

/// Goes on by `own` where the target is the guest's, and not the host's.
fn targets(guests: &Guests<'_>, text: &str, paragraph: P, own: impl Fn(Statement) -> Rule) -> Chain {
    let rules = guests.own(Ip::V6, &target(), own);
    chain(text, rules.into_iter().chain([deny(paragraph, [])]))
}

fn advertisement() -> Chain {
    chain(
        "advertisement",
        [
            on(P::ADVERTISEMENT, [bare(24)], "advertisement_target"),
            on(P::ADVERTISEMENT, its_link(24, TARGET_LINK), "advertisement_target"),
            deny(P::ADVERTISEMENT, []),
        ],
    )
}

fn router_solicitation() -> Chain {
    chain(
        "router_solicitation",
        [
            pass(P::ROUTER_SOLICITATION, [unspecified(), bare(8)]),
            on(P::ROUTER_SOLICITATION, [bare(8)], SOURCE_IPV6),
            on(P::ROUTER_SOLICITATION, its_link(8, SOURCE_LINK), SOURCE_IPV6),
            deny(P::ROUTER_SOLICITATION, []),
        ],
    )
}

fn mld() -> Chain {
    let once = || ip6::hoplimit().eq(1_u8);
    let link_local = ip6::saddr().masked(LINK_LOCAL_MASK).eq(LINK_LOCAL);
    chain(
        "mld",
        [
            pass(P::MULTICAST, [once(), unspecified()]),
            on(P::MULTICAST, [once(), link_local], SOURCE_IPV6),
            deny(P::MULTICAST, []),
        ],
    )
}
