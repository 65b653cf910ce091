//! IPv6 sources: 3.2 to 3.4; routing headers: 3.7.

use std::net::Ipv6Addr;

use guestnet_lab::craft::ipv6::{DESTINATION, HOP_BY_HOP, Ipv6, PADDING, ROUTING};
use guestnet_lab::craft::transport::{UDP, udp};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, D, Host, Outside};

const PORT: u16 = 53;

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let places = [B, Outside, Host];
    let mut cases: Vec<Case> = places
        .into_iter()
        .flat_map(|place| {
            [
                plain(net, place),
                delegated(net, place),
                behind_headers(net, place),
                fragments(net, place),
                routing(net, place),
            ]
        })
        .collect();
    cases.push(fragments_of_gre(net));
    if net.is_bridged() {
        cases.extend([B, Host].map(|place| link_local(net, place)));
    } else {
        cases.push(inside_of_its_prefix(net));
        cases.push(link_local(net, Host));
    }
    cases
}

fn from(net: &Net, place: Who, source: Ipv6Addr) -> Vec<u8> {
    let header = Ipv6 { source, ..net.ipv6(A, place, UDP) };
    net.udp_in6(A, place, &header, (net.port(), PORT))
}

fn plain(net: &Net, place: Who) -> Case {
    let routed = !net.is_bridged() || place == Host;
    let own = net.party(A).v6;
    let near = Ipv6Addr::from(u128::from(own) ^ (1 << 64));
    let last = |source: Ipv6Addr| net.is_bridged().then_some(source);
    let mut case =
        Case::new("3.2", format!("UDP from its address to {place}"), A, place, from(net, place, own))
            .never_at(&[C, D]);
    let strangers = [
        ("3.2", "from another guest", Some(net.party(B).v6), false),
        ("3.2", "from what is routed to another guest", Some(net.party(B).delegated), false),
        ("3.3 3.2", "from its router", Some(net.party(Host).v6), false),
        ("3.2", "from someone outside", Some(net.party(Outside).v6), false),
        ("3.2", "from the prefix beside its own", Some(near), false),
        ("3.2", "from the address beside its own", last(Ipv6Addr::from(u128::from(own) ^ 1)), false),
        ("3.2", "from a private address", "fd00::1".parse().ok(), false),
        ("3.2", "from its IPv4 address in disguise", Some(net.party(A).v4.to_ipv6_mapped()), false),
        ("3.2", "from itself", Some(Ipv6Addr::LOCALHOST), routed),
        ("3.4 3.2", "from nobody", Some(Ipv6Addr::UNSPECIFIED), routed && place != Host),
        ("3.2", "from a group", "ff02::1".parse().ok(), routed),
        ("3.2", "from a wide group", "ff0e::1".parse().ok(), routed),
    ];
    for (paragraph, detail, source, unseen) in strangers {
        let Some(source) = source else { continue };
        case = case
            .but(paragraph, detail, from(net, place, source))
            .unseen_if(unseen, "no router takes such a source");
    }
    case
}

fn delegated(net: &Net, place: Who) -> Case {
    let delegated = net.party(A).delegated;
    let beside = Ipv6Addr::from(u128::from(delegated) ^ (1 << (128 - 48)));
    Case::new(
        "3.2",
        format!("UDP from what is routed to it to {place}"),
        A,
        place,
        from(net, place, delegated),
    )
    .but("3.2", "from the prefix beside that", from(net, place, beside))
}

/// Its prefix is its own, but for the router's address in it.
fn inside_of_its_prefix(net: &Net) -> Case {
    let at = |low: u128| Ipv6Addr::from(u128::from(net.party(A).v6) >> 64 << 64 | low);
    Case::new(
        "3.2",
        "UDP from an address that it gave itself in its prefix",
        A,
        B,
        from(net, B, at(0x1234_5678_9abc)),
    )
    .but("3.3", "from its router's in the same", from(net, B, at(1)))
}

fn link_local(net: &Net, place: Who) -> Case {
    let to = |source| {
        let header = Ipv6::new(source, net.party(place).local(), UDP);
        net.udp_in6(A, place, &header, (net.port(), PORT))
    };
    Case::new(
        "3.2",
        format!("UDP from its link-local address to {place}"),
        A,
        place,
        to(net.party(A).local()),
    )
    .but("3.2", "from another guest's", to(net.party(B).local()))
    .but("3.2", "from one that it gave itself", to("fe80::1234".parse().expect("an address")))
    .but("3.2 3.3", "from its router's", to(net.party(Host).local()))
}

fn behind_headers(net: &Net, place: Who) -> Case {
    let with = |source, kind: u8| {
        let header = Ipv6 { source, ..net.ipv6(A, place, UDP) }.with(kind, &PADDING);
        net.udp_in6(A, place, &header, (net.port(), PORT))
    };
    let (own, other) = (net.party(A).v6, net.party(B).v6);
    Case::new("3.2", format!("UDP behind an extension header to {place}"), A, place, with(own, DESTINATION))
        .but("3.2", "from another guest", with(other, DESTINATION))
        .but("3.2", "from another guest, behind hop-by-hop options", with(other, HOP_BY_HOP))
}

const GRE: u8 = 47;

/// Where a datagram is cut: a bridge with connections forwards no fragments that are smaller than any link's MTU.
const CUT: usize = 1280 - 48 + 8;

fn fragments(net: &Net, place: Who) -> Case {
    let parts = |source: Ipv6Addr, cut: usize| -> Vec<Vec<u8>> {
        let header = Ipv6 { source, ..net.ipv6(A, place, UDP) };
        let datagram = udp(source.into(), header.destination.into(), (net.port(), PORT), &[b'x'; 1400]);
        let parts = header.in_fragments(u32::from(net.port()), &datagram, &[cut]);
        parts.iter().map(|part| net.frame6(A, place, part)).collect()
    };
    let shot = |frames| Shot { from: A, before: Vec::new(), frames };
    let (own, other) = (net.party(A).v6, net.party(B).v6);
    Case::of("3.2", format!("UDP in fragments to {place}"), place, shot(parts(own, CUT)))
        .but_shot("3.2", "from another guest", shot(parts(other, CUT)))
        .but_shot(
            "3.2 unfinished",
            "the second half of another guest's",
            shot(parts(other, CUT).split_off(1)),
        )
}

/// Of other protocols than UDP and ICMPv6 a first fragment has nothing to show.
fn fragments_of_gre(net: &Net) -> Case {
    let parts = |source: Ipv6Addr| {
        let header = Ipv6 { source, ..net.ipv6(A, B, GRE) };
        let parts = header.in_fragments(u32::from(net.port()), &[b'x'; 1400], &[CUT]);
        let frames = parts.iter().map(|part| net.frame6(A, B, part)).collect();
        Shot { from: A, before: Vec::new(), frames }
    };
    Case::of("3.2", "GRE in fragments", B, parts(net.party(A).v6)).but_shot(
        "3.2",
        "from another guest",
        parts(net.party(C).v6),
    )
}

/// Type 0 sends a packet back and forth (RFC 5095); segment routing (type 4) is no business of ours.
fn routing(net: &Net, place: Who) -> Case {
    let through = net.party(Outside).v6;
    let with = |kind: u8, left: u8| {
        let body = [&[kind, left, 0, 0, 0, 0][..], &through.octets()].concat();
        net.udp_in6(A, place, &net.ipv6(A, place, UDP).with(ROUTING, &body), (net.port(), PORT))
    };
    let behind = |first: u8| {
        let header = net.ipv6(A, place, UDP).with(first, &PADDING).routed_through(through, 0);
        net.udp_in6(A, place, &header, (net.port(), PORT))
    };
    Case::new("3.7", format!("UDP behind a routing header to {place}"), A, place, with(4, 0))
        .but("3.7", "of type 0", with(0, 0))
        .but("3.7", "of type 0, with a way to go", with(0, 1))
        .but("3.7", "of type 0, behind hop-by-hop options", behind(HOP_BY_HOP))
        .but("3.7", "of type 0, behind destination options", behind(DESTINATION))
}
