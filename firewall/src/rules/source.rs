//! The sources of IP packets from guests, and DHCP.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_nft::expr::PayloadBase;
use guestnet_nft::{Chain, DataType, Element, Rule, Set, Statement, icmp, ip, ip6, meta, raw, th};

use super::{discovery, quoted};
use crate::Paragraph as P;
use crate::guests::Guests;
use crate::prefixes::Ip;
use crate::words::{
    AH, EXTENSIONS, ICMP, ICMPV6, IGMP, PIM, UDP, Words, chain, deny, goto, has_option, is_first_fragment,
    is_its_mac, jump, name, nexthdr, on, pass, protocol, routing_header, rule, to_group4, to_group6,
    transport, transport_mac,
};

/// The chains that packets with the right Ethernet source enter.
pub const ENTRY_IPV4: &str = "ipv4_source";
/// See [`ENTRY_IPV4`].
pub const ENTRY_IPV6: &str = "ipv6_source";
/// Where fragments of IPv6 are looked at, before the kernel puts them together.
pub const FRAGMENTS: &str = "fragments";
/// Where the first of them is.
const FIRST_FRAGMENT: &str = "first_fragment";
/// Where IPv6 packets with extension headers are looked at.
const EXTENDED: &str = "extended";
/// Where IPv4 packets with options are looked at.
const OPTIONS: &str = "options_of_ipv4";
/// Loose and strict source routes.
const SOURCE_ROUTES: [u8; 2] = [131, 137];
/// Where the source alone is left to be looked at.
pub const SOURCE_IPV6: &str = "ipv6_address";

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_CLIENT: u16 = 546;
const DHCPV6_SERVER: u16 = 547;
const ALL_DHCP_AGENTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Reports and the leave of IGMP (RFC 2236, RFC 3376).
const REPORTS: [u8; 4] = [0x12, 0x16, 0x17, 0x22];
/// ICMP that a guest never sends: redirects and router advertisements (RFC 1256).
pub const NEVER_ICMP: [u8; 2] = [5, 9];
/// Messages of DHCPv6 relay agents to each other and to servers (RFC 8415 section 9).
const RELAYED: [u8; 2] = [12, 13];
/// Headers that have to be seen to be filtered: ICMP, IGMP, UDP, and others that something is behind.
const NEVER_HIDDEN: [u8; 4] = [ICMP, IGMP, UDP, ICMPV6];

/// UDP, and `more` of its header.
fn udp(more: Statement) -> [Statement; 2] {
    [protocol(UDP), more]
}

/// The sets that the chains ask.
pub fn sets() -> [Set; 5] {
    let set = |text, data, values: &[u8]| {
        Set::new(name(text), data).with(values.iter().map(|value| Element::new(*value)))
    };
    let hidden = [&NEVER_HIDDEN[..], &EXTENSIONS].concat();
    [
        set("igmp_reports", DataType::InetProto, &REPORTS),
        set("never_icmp", DataType::IcmpType, &NEVER_ICMP),
        set("never_hidden", DataType::InetProto, &hidden),
        set("dhcpv6_relayed", DataType::InetProto, &RELAYED),
        set("extensions", DataType::InetProto, &EXTENSIONS),
    ]
}

/// From the entries on.
pub fn chains(guests: &Guests<'_>) -> Vec<Chain> {
    let mut chains = vec![
        fragments(),
        first_fragment(),
        ipv4(guests),
        options(),
        icmp_from_guest(),
        igmp(guests),
        dhcp(guests),
        ipv6(),
        extended(),
        dhcpv6(),
    ];
    chains.push(ipv6_address(guests));
    chains.extend(discovery::chains(guests));
    chains.extend(quoted::chains(guests));
    chains
}

/// What the source is: one of the guest's own addresses, which most are; the host's; in one of the guest's prefixes.
fn source(guests: &Guests<'_>, family: Ip, paragraph: P) -> impl Iterator<Item = Rule> {
    let field = if family == Ip::V4 { ip::saddr() } else { ip6::saddr() };
    let own = guests.own(family, &field, move |source| pass(paragraph, [source]));
    own.into_iter().chain([deny(paragraph, [])])
}

fn ipv4(guests: &Guests<'_>) -> Chain {
    let mut rules = vec![
        deny(P::DHCP_SERVER, udp(th::sport().eq(DHCP_SERVER))),
        deny(P::DHCP_SERVER, udp(th::dport().eq(DHCP_CLIENT))),
        on(P::DHCP_CLIENT, udp(th::dport().eq(DHCP_SERVER)), "dhcp"),
        on(P::MULTICAST, [protocol(IGMP)], "igmp_from_guest"),
        rule(P::DISCOVERY_TYPES, [protocol(ICMP), jump("icmp_from_guest")]),
        deny(P::MULTICAST, [protocol(PIM), to_group4()]),
        hidden(),
        rule(P::ROUTING_HEADER, [raw(PayloadBase::Network, 0, 1).gt(0x45_u8), jump(OPTIONS)]),
    ];
    rules.extend(source(guests, Ip::V4, P::SOURCE_IPV4));
    chain(ENTRY_IPV4, rules)
}

/// Packets with options: routes that the sender has chosen (RFC 7126 sections 4.3 and 4.4).
fn options() -> Chain {
    chain(OPTIONS, SOURCE_ROUTES.map(|option| deny(P::ROUTING_HEADER, [has_option(option)])))
}

/// An authentication header hides what is behind it from all that looks for ports and types.
fn hidden() -> Rule {
    let behind = transport(0, 1).typed(DataType::InetProto).is_in(name("never_hidden"));
    deny(P::AUTHENTICATION, [protocol(AH), behind])
}

/// ICMP. Returns with what may go on.
fn icmp_from_guest() -> Chain {
    let never = deny(P::DISCOVERY_TYPES, [icmp::kind().is_in(name("never_icmp"))]);
    chain("icmp_from_guest", [never, quoted::on_errors(Ip::V4)])
}

/// Reports of IGMP, to their groups, on the link. Who has no address yet reports from none (RFC 3376 section 4.2.13).
fn igmp(guests: &Guests<'_>) -> Chain {
    let report = || {
        let kind = transport(0, 1).typed(DataType::InetProto).is_in(name("igmp_reports"));
        [ip::ttl().eq(1_u8), to_group4(), kind]
    };
    let from = |source: Statement| pass(P::MULTICAST, report().into_iter().chain([source]));
    let unnamed = from(ip::saddr().eq(Ipv4Addr::UNSPECIFIED));
    let own = guests.own(Ip::V4, &ip::saddr(), from);
    // Said as it has to be, it is not the guest's.
    let foreign = deny(P::SOURCE_IPV4, report());
    let rules = std::iter::once(unnamed).chain(own);
    chain("igmp_from_guest", rules.chain([foreign, deny(P::MULTICAST, [])]))
}

/// BOOTP: behind the UDP header come the operation, 1 for a request; the kind of hardware and the length of its
/// addresses, 1 and 6 for Ethernet; and as the 29th byte the address.
fn dhcp(guests: &Guests<'_>) -> Chain {
    let request = || {
        let ethernet = transport(9, 2).eq(0x0106_u16);
        let client = is_its_mac(transport_mac(8 + 28));
        // The address of a relay agent (giaddr): a server would answer there.
        let direct = transport(8 + 24, 4).eq(0_u32);
        [th::sport().eq(DHCP_CLIENT), transport(8, 1).eq(1_u8), ethernet, direct, client]
    };
    let discover = [ip::saddr().eq(Ipv4Addr::UNSPECIFIED), ip::daddr().eq(Ipv4Addr::BROADCAST)];
    let discover = pass(P::DHCP_CLIENT, request().into_iter().chain(discover));
    let renew = |source: Statement| pass(P::DHCP_CLIENT, request().into_iter().chain([source]));
    let renewals = guests.own(Ip::V4, &ip::saddr(), renew);
    chain("dhcp", std::iter::once(discover).chain(renewals).chain([deny(P::DHCP_CLIENT, [])]))
}

fn ipv6() -> Chain {
    let is_extended = nexthdr().typed(DataType::InetProto).is_in(name("extensions"));
    chain(
        ENTRY_IPV6,
        [
            rule(P::ROUTING_HEADER, [is_extended, jump(EXTENDED)]),
            deny(P::MULTICAST, [protocol(PIM), to_group6()]),
            hidden(),
            on(P::DISCOVERY_TYPES, [protocol(ICMPV6)], discovery::ENTRY),
            deny(P::DHCP_SERVER, udp(th::sport().eq(DHCPV6_SERVER))),
            deny(P::DHCP_SERVER, udp(th::dport().eq(DHCPV6_CLIENT))),
            on(P::DHCP_CLIENT, udp(th::dport().eq(DHCPV6_SERVER)), "dhcpv6"),
            on(P::SOURCE_IPV6, [], SOURCE_IPV6),
        ],
    )
}

/// Packets with extension headers. Only the first routing header can be looked into, so nothing follows it that another could
/// be behind.
fn extended() -> Chain {
    let behind = EXTENSIONS.map(|header| deny(P::ROUTING_HEADER, [routing_header(0, header)]));
    chain(EXTENDED, [deny(P::ROUTING_HEADER, [routing_header(2, 0)])].into_iter().chain(behind))
}

fn dhcpv6() -> Chain {
    let to_agents = [
        th::sport().eq(DHCPV6_CLIENT),
        ip6::saddr().masked(LINK_LOCAL_MASK).eq(LINK_LOCAL),
        ip6::daddr().eq(ALL_DHCP_AGENTS),
    ];
    let multicast = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
    let relayed = || transport(8, 1).typed(DataType::InetProto).is_in(name("dhcpv6_relayed"));
    let to_one = [th::sport().eq(DHCPV6_CLIENT), ip6::daddr().masked(multicast).ne(multicast)];
    chain(
        "dhcpv6",
        [
            deny(P::DHCP_CLIENT, [relayed()]),
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

/// Fragments, before they are put together. Returns with what may go on: all but first ones that hide what they carry.
fn fragments() -> Chain {
    chain(FRAGMENTS, [on(P::DISCOVERY_LAYOUT, [is_first_fragment()], FIRST_FRAGMENT)])
}

/// The first one shows the protocol, of ICMPv6 the type, and of UDP the ports (RFC 7112).
fn first_fragment() -> Chain {
    let back = || vec![guestnet_nft::Expr::Verdict(guestnet_nft::Verdict::Return)];
    let shown = discovery::fragmentable().into_iter();
    let shown = shown.map(|kinds| rule(P::DISCOVERY_LAYOUT, [protocol(ICMPV6), kinds, back()]));
    let ports = [protocol(UDP), th::dport().ge(0_u16), back()];
    let others = [meta::l4proto().ne(ICMPV6), meta::l4proto().ne(UDP), back()];
    let rules = [rule(P::DISCOVERY_LAYOUT, others), rule(P::DHCP_SERVER, ports)];
    let hidden = [deny(P::DHCP_SERVER, [protocol(UDP)]), deny(P::DISCOVERY_LAYOUT, [])];
    chain(FIRST_FRAGMENT, rules.into_iter().chain(shown).chain(hidden))
}

/// What enters the chains of both families.
pub fn entries(words: Words, mac: &Statement) -> [Rule; 2] {
    [
        rule(P::MAC, [words.is_ipv4(), mac.clone(), goto(ENTRY_IPV4)]),
        rule(P::MAC, [words.is_ipv6(), mac.clone(), goto(ENTRY_IPV6)]),
    ]
}
