//! ICMP that passes whatever the access lists say.

use guestnet_nft::{DataType, Element, Rule, Set, Statement, icmp, icmpv6};

use crate::Paragraph as P;
use crate::words::{ICMP, ICMPV6, jump, name, protocol, rule};

/// RFC 4890 sections 4.3.1 and 4.3.2, but for those types of which not all codes are meant.
pub const TRANSIT: [u8; 8] = [1, 2, 128, 129, 144, 145, 146, 147];
/// Types 3 and 4 with the highest codes that are meant.
pub const TRANSIT_UP_TO: [(u8, u8); 2] = [(3, 1), (4, 2)];
/// What corresponds in IPv4: errors, and the echo.
pub const TRANSIT_IPV4: [u8; 5] = [0, 3, 8, 11, 12];

/// The sets that [`transit`] asks.
pub fn sets() -> [Set; 2] {
    let elements = |kinds: &[u8]| kinds.iter().map(|kind| Element::new(*kind)).collect::<Vec<_>>();
    [
        Set::new(name("icmpv6_in_transit"), DataType::Icmpv6Type).with(elements(&TRANSIT)),
        Set::new(name("icmp_in_transit"), DataType::IcmpType).with(elements(&TRANSIT_IPV4)),
    ]
}

/// The chain of [`transit`].
pub const TRANSIT_CHAIN: &str = "icmp_in_transit";

/// To such a chain, for ICMP alone: most packets are something else, and what they cross costs them.
pub fn on_transit(chain: &str) -> [Rule; 2] {
    let on = |paragraph, number| rule(paragraph, [protocol(number), jump(chain)]);
    [on(P::ICMPV6, ICMPV6), on(P::ICMPV4, ICMP)]
}

/// Rules for it, which end with `verdict`.
pub fn transit(verdict: &Statement) -> Vec<Rule> {
    let with = |paragraph, parts: Vec<Statement>| rule(paragraph, parts.into_iter().chain([verdict.clone()]));
    let mut rules =
        vec![with(P::ICMPV6, vec![protocol(ICMPV6), icmpv6::kind().is_in(name("icmpv6_in_transit"))])];
    rules.extend(TRANSIT_UP_TO.map(|(kind, code)| {
        with(P::ICMPV6, vec![protocol(ICMPV6), icmpv6::kind().eq(kind), icmpv6::code().le(code)])
    }));
    rules.push(with(P::ICMPV4, vec![protocol(ICMP), icmp::kind().is_in(name("icmp_in_transit"))]));
    rules
}
