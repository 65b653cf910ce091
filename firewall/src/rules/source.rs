//! The sources of IP packets from guests, and DHCP.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_nft::{Chain, Rule, Statement, ip, ip6, meta, th};

use super::discovery;
use crate::Paragraph as P;
use crate::guests::{Guests, Ip};
use crate::words::{
    ICMPV6, IGMP, UDP, Words, chain, deny, goto, has_routing_header, is_first_fragment, is_its_mac, on, pass,
    protocol, transport, transport_mac,
};

/// The chains that packets with the right Ethernet source enter.
pub const ENTRY_IPV4: &str = "ipv4_source";
/// See [`ENTRY_IPV4`].
pub const ENTRY_IPV6: &str = "ipv6_source";
/// Where fragments of IPv6 are looked at, before the kernel puts them together.
pub const FRAGMENTS: &str = "fragments";
/// Where the source alone is left to be looked at.
pub const SOURCE_IPV6: &str = "ipv6_address";

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_CLIENT: u16 = 546;
const DHCPV6_SERVER: u16 = 547;
const ALL_DHCP_AGENTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const IGMP_QUERY: u8 = 0x11;

/// UDP, and `more` of its header.
fn udp(more: Statement) -> [Statement; 2] {
    [protocol(UDP), more]
}

/// From the entries on.
pub fn chains(guests: &Guests<'_>) -> Vec<Chain> {
    let mut chains = vec![fragments(), ipv4(guests), dhcp(guests), ipv6(), dhcpv6(), ipv6_address(guests)];
    chains.extend(discovery::chains(guests));
    chains
}

/// What the source is: one of the guest's own addresses, which most are; the host's; in one of the guest's prefixes.
fn source(guests: &Guests<'_>, family: Ip, paragraph: P) -> impl Iterator<Item = Rule> {
    let field = if family == Ip::V4 { ip::saddr() } else { ip6::saddr() };
    let sources = guests.is_its_address(family, &field).into_iter();
    let mut own = sources.map(move |source| pass(paragraph, [source]));
    let address = own.next();
    let router = deny(P::ROUTER, [family.is_routers(field)]);
    address.into_iter().chain([router]).chain(own).chain([deny(paragraph, [])])
}

fn ipv4(guests: &Guests<'_>) -> Chain {
    let mut rules = vec![
        deny(P::DHCP_SERVER, udp(th::sport().eq(DHCP_SERVER))),
        deny(P::DHCP_SERVER, udp(th::dport().eq(DHCP_CLIENT))),
        on(P::DHCP_CLIENT, udp(th::dport().eq(DHCP_SERVER)), "dhcp"),
        deny(P::MULTICAST, [protocol(IGMP), transport(0, 1).eq(IGMP_QUERY)]),
    ];
    rules.extend(source(guests, Ip::V4, P::SOURCE_IPV4));
    chain(ENTRY_IPV4, rules)
}

/// BOOTP: behind the UDP header come the operation, 1 for a request; the kind of hardware and the length of its
/// addresses, 1 and 6 for Ethernet; and as the 29th byte the address.
fn dhcp(guests: &Guests<'_>) -> Chain {
    let request = || {
        let ethernet = transport(9, 2).eq(0x0106_u16);
        let client = is_its_mac(transport_mac(8 + 28));
        [th::sport().eq(DHCP_CLIENT), transport(8, 1).eq(1_u8), ethernet, client]
    };
    let discover = [ip::saddr().eq(Ipv4Addr::UNSPECIFIED), ip::daddr().eq(Ipv4Addr::BROADCAST)];
    let renewals = guests.is_its_address(Ip::V4, &ip::saddr()).into_iter();
    let renewals = renewals.map(|source| pass(P::DHCP_CLIENT, request().into_iter().chain([source])));
    let discover = pass(P::DHCP_CLIENT, request().into_iter().chain(discover));
    let router = deny(P::ROUTER, [Ip::V4.is_routers(ip::saddr())]);
    chain("dhcp", [discover, router].into_iter().chain(renewals).chain([deny(P::DHCP_CLIENT, [])]))
}

fn ipv6() -> Chain {
    chain(
        ENTRY_IPV6,
        [
            deny(P::ROUTING_HEADER, [has_routing_header()]),
            on(P::DISCOVERY_TYPES, [protocol(ICMPV6)], discovery::ENTRY),
            deny(P::DHCP_SERVER, udp(th::sport().eq(DHCPV6_SERVER))),
            deny(P::DHCP_SERVER, udp(th::dport().eq(DHCPV6_CLIENT))),
            on(P::DHCP_CLIENT, udp(th::dport().eq(DHCPV6_SERVER)), "dhcpv6"),
            on(P::SOURCE_IPV6, [], SOURCE_IPV6),
        ],
    )
}

fn dhcpv6() -> Chain {
    let to_agents = [
        th::sport().eq(DHCPV6_CLIENT),
        ip6::saddr().masked(LINK_LOCAL_MASK).eq(LINK_LOCAL),
        ip6::daddr().eq(ALL_DHCP_AGENTS),
    ];
    let multicast = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
    let to_one = [th::sport().eq(DHCPV6_CLIENT), ip6::daddr().masked(multicast).ne(multicast)];
    chain(
        "dhcpv6",
        [
            on(P::DHCP_CLIENT, to_agents, SOURCE_IPV6),
            on(P::DHCP_CLIENT, to_one, SOURCE_IPV6),
            deny(P::DHCP_CLIENT, []),
        ],
    )
}

/// `fe80::/10`
pub const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
pub const LINK_LOCAL_MASK: Ipv6Addr = Ipv6Addr::new(0xffc0, 0, 0, 0, 0, 0, 0, 0);

fn ipv6_address(guests: &Guests<'_>) -> Chain {
    chain(SOURCE_IPV6, source(guests, Ip::V6, P::SOURCE_IPV6))
}

/// Fragments, before they are put together: of the first one, the protocol can be told, and of ICMPv6 the type.
/// Returns with what may go on.
fn fragments() -> Chain {
    let back = || vec![guestnet_nft::Expr::Verdict(guestnet_nft::Verdict::Return)];
    let rule = |parts: Vec<Statement>| crate::words::rule(P::DISCOVERY_LAYOUT, parts);
    let shown = discovery::fragmentable().into_iter();
    let shown = shown.map(|kinds| rule(vec![is_first_fragment(), protocol(ICMPV6), kinds, back()]));
    let others = rule(vec![is_first_fragment(), meta::l4proto().ne(ICMPV6), back()]);
    let rules = std::iter::once(others).chain(shown);
    chain(FRAGMENTS, rules.chain([deny(P::DISCOVERY_LAYOUT, [is_first_fragment()])]))
}

/// What enters the chains of both families.
pub fn entries(words: Words, mac: &Statement) -> [Rule; 2] {
    [
        crate::words::rule(P::MAC, [words.is_ipv4(), mac.clone(), goto(ENTRY_IPV4)]),
        crate::words::rule(P::MAC, [words.is_ipv6(), mac.clone(), goto(ENTRY_IPV6)]),
    ]
}
