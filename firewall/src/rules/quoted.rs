//! Errors of ICMP from guests: each quotes the start of the packet that it is about, which was sent to the guest.

use guestnet_nft::{Chain, DataType, Element, Rule, Set, Statement, icmp, icmpv6, statement};

use super::source::SOURCE_IPV6;
use crate::Paragraph as P;
use crate::guests::Guests;
use crate::prefixes::Ip;
use crate::words::{chain, deny, is_group6, name, on, rule};

/// Errors of ICMP (RFC 792), the source quench included, which an access list may name.
pub const ERRORS_IPV4: [u8; 4] = [3, 4, 11, 12];
/// Errors of ICMPv6 (RFC 4443).
pub const ERRORS_IPV6: [u8; 4] = [1, PACKET_TOO_BIG, 3, PARAMETER_PROBLEM];
const PACKET_TOO_BIG: u8 = 2;
const PARAMETER_PROBLEM: u8 = 4;
/// The code of a parameter problem: an option of IPv6 that its receiver does not know.
const UNKNOWN_OPTION: u8 = 2;

/// The sets that the rules ask.
pub fn sets() -> [Set; 2] {
    let elements = |kinds: &[u8]| kinds.iter().map(|kind| Element::new(*kind)).collect::<Vec<_>>();
    [
        Set::new(name("icmp_errors"), DataType::IcmpType).with(elements(&ERRORS_IPV4)),
        Set::new(name("icmpv6_errors"), DataType::Icmpv6Type).with(elements(&ERRORS_IPV6)),
    ]
}

/// Leads errors to their chain: that of IPv4 returns with what may go on, that of IPv6 goes on to the source.
pub fn on_errors(ip: Ip) -> Rule {
    let (kind, set) = match ip {
        Ip::V4 => (icmp::kind(), "icmp_errors"),
        Ip::V6 => (icmpv6::kind(), "icmpv6_errors"),
    };
    on(P::QUOTED, [kind.is_in(name(set))], entry(ip))
}

/// The chains of errors. What a packet was sent to stands at a fixed place in its header, whatever options follow.
pub fn chains(guests: &Guests<'_>) -> [Chain; 2] {
    let ipv4 = |own: Statement| rule(P::QUOTED, [own, statement::return_()]);
    let ipv4 = guests.own(Ip::V4, &icmp::quoted_daddr(), ipv4);
    let ipv6 = |own: Statement| on(P::QUOTED, [own], SOURCE_IPV6);
    let ipv6 = to_groups().into_iter().chain(guests.own(Ip::V6, &icmpv6::quoted_daddr(), ipv6));
    let last = || deny(P::QUOTED, []);
    [chain(entry(Ip::V4), ipv4.into_iter().chain([last()])), chain(entry(Ip::V6), ipv6.chain([last()]))]
}

fn entry(ip: Ip) -> &'static str {
    if ip == Ip::V4 { "icmp_quotes" } else { "icmpv6_quotes" }
}

/// The errors that may be about a packet to a multicast group (RFC 4443 section 2.4 (e.3)); of IPv4 there are none (RFC 1122
/// section 3.2.2).
fn to_groups() -> [Rule; 2] {
    let on = |parts: Vec<Statement>| {
        on(P::QUOTED, parts.into_iter().chain([is_group6(icmpv6::quoted_daddr())]), SOURCE_IPV6)
    };
    let unknown_option = vec![icmpv6::kind().eq(PARAMETER_PROBLEM), icmpv6::code().eq(UNKNOWN_OPTION)];
    [on(vec![icmpv6::kind().eq(PACKET_TOO_BIG)]), on(unknown_option)]
}
