//! Packets that errors of a guest quote: 3.10. A packet that was sent to it, as it has its addresses, and nobody else's.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_lab::craft::icmp::{ICMP, ICMPV6, icmp, icmpv6};
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::{DESTINATION, Ipv6, PADDING};
use guestnet_lab::craft::transport::UDP;

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, D, Host, Outside};

/// Errors of ICMP that pass by 5.2.
const IPV4: [(u8, u8); 6] = [(3, 0), (3, 3), (3, 4), (3, 13), (11, 0), (12, 0)];
/// Errors of ICMPv6 that pass by 5.1.
const IPV6: [(u8, u8); 7] = [(1, 0), (1, 4), (2, 0), (3, 0), (4, 0), (4, 1), (4, 2)];
/// Errors of ICMPv6 that may be about a packet to a group (RFC 4443 section 2.4 (e.3)).
const ABOUT_GROUPS: [(u8, u8); 2] = [(2, 0), (4, 2)];

const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    // From one without entries, and from one whose packets are looked up each by itself.
    let ends = [(C, Outside), (C, Host), (A, Outside), (A, B)];
    let mut cases = Vec::new();
    for (from, to) in ends {
        cases.extend(IPV4.map(|error| ipv4(net, from, to, error)));
        cases.extend(IPV6.map(|error| ipv6(net, from, to, error)));
        cases.extend(others(net, from, to));
    }
    cases.extend([options4(net), options6(net), fragments4(net), fragments6(net)]);
    cases
}

/// An error of ICMP about UDP from `to` to `quoted`.
fn message4(net: &Net, to: Who, (kind, code): (u8, u8), quoted: Ipv4Addr) -> Vec<u8> {
    let about = Ipv4::new(net.party(to).v4, quoted, UDP).carrying(&[0, 7, 0, 7, 0, 8, 0, 0]);
    icmp(kind, code, &[&[0; 4][..], &about].concat())
}

/// An error of ICMPv6 with the header `header` about UDP from `to` to `quoted`.
fn message6(net: &Net, to: Who, header: &Ipv6, (kind, code): (u8, u8), quoted: Ipv6Addr) -> Vec<u8> {
    let about = Ipv6::new(net.party(to).v6, quoted, UDP).carrying(&[0, 7, 0, 7, 0, 8, 0, 0]);
    icmpv6(header.source, header.destination, kind, code, &[&[0, 0, 5, 0][..], &about].concat())
}

/// Somebody whom neither end of the packet is.
fn another(from: Who) -> Who {
    if from == A { D } else { B }
}

fn ipv4(net: &Net, from: Who, to: Who, error: (u8, u8)) -> Case {
    let frame = |message: &[u8]| net.frame4(from, to, &net.ipv4(from, to, ICMP).carrying(message));
    let about = |quoted| frame(&message4(net, to, error, quoted));
    let (own, other) = (net.party(from), another(from));
    let name = format!("{from} tells {to} by ICMP {error:?} of what came to it");
    let mut case = Case::new("5.2", name, from, to, about(own.v4))
        .but("3.10", "of what came to another guest", about(net.party(other).v4))
        .but("3.3 3.10", "of what came to its router", about(net.party(Host).v4))
        .but("3.10", "of what came to the host's own address", about(Ipv4Addr::new(198, 51, 100, 2)))
        .but("3.3 3.10", "of what came to who is told", about(net.party(to).v4))
        .but("3.10", "of what came to a group", about(GROUP4))
        .but("3.10", "of what came to everybody", about(Ipv4Addr::BROADCAST))
        .but("3.10", "of what came to nobody", about(Ipv4Addr::UNSPECIFIED))
        .but("3.10", "without saying of what", frame(&message4(net, to, error, own.v4)[..8]))
        .but("3.10", "of half a header", frame(&message4(net, to, error, own.v4)[..8 + 18]));
    if let Some(public) = own.public {
        // As it is to others.
        case = case.but("3.10", "of what came to its public address", about(public));
    }
    if let Some(public) = net.party(other).public {
        case = case.but("3.10", "of what came to another guest's public address", about(public));
    }
    case
}

fn ipv6(net: &Net, from: Who, to: Who, error: (u8, u8)) -> Case {
    let header = net.ipv6(from, to, ICMPV6);
    let frame = |message: &[u8]| net.frame6(from, to, &header.carrying(message));
    let message = |quoted| message6(net, to, &header, error, quoted);
    let about = |quoted| frame(&message(quoted));
    let (own, other) = (net.party(from), net.party(another(from)));
    let name = format!("{from} tells {to} by ICMPv6 {error:?} of what came to it");
    let case = Case::new("5.1", name, from, to, about(own.v6))
        .but("3.10", "of what came to another guest", about(other.v6))
        .but("3.10", "of what came to another guest's prefix", about(other.delegated))
        .but("3.10", "of what came to another guest on its link", about(other.local()))
        .but(
            "3.10",
            "of what came to the host's own address",
            about(Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 2)),
        )
        .but("3.10", "of what came to somebody outside", about(net.party(Outside).v6))
        .but("3.3 3.10", "of what came to its router", about(net.at6(from, Host)))
        .but("3.10", "of what came to nobody", about(Ipv6Addr::UNSPECIFIED))
        .but("3.10", "without saying of what", frame(&message(own.v6)[..8]))
        .but("3.10", "of half a header", frame(&message(own.v6)[..8 + 38]));
    if ABOUT_GROUPS.contains(&error) {
        case
    } else {
        case.but("3.10", "of what came to a group", about(GROUP6))
    }
}

/// Packets to another of its addresses, or to everybody.
fn others(net: &Net, from: Who, to: Who) -> Vec<Case> {
    let header = net.ipv6(from, to, ICMPV6);
    let about =
        |error, quoted| net.frame6(from, to, &header.carrying(&message6(net, to, &header, error, quoted)));
    let (own, other) = (net.party(from), net.party(another(from)));
    let case = |what: &str, error, quoted| {
        Case::new("5.1", format!("{from} tells {to} of what came to {what}"), from, to, about(error, quoted))
    };
    let mut cases = vec![
        case("its prefix", (1, 3), own.delegated).but(
            "3.10",
            "to that of another guest",
            about((1, 3), other.delegated),
        ),
        case("its link", (1, 4), own.local()).but(
            "3.10",
            "to that of another guest",
            about((1, 4), other.local()),
        ),
    ];
    let groups = ABOUT_GROUPS.map(|error| {
        case(&format!("a group, {error:?}"), error, GROUP6)
            .but("3.10", "of which it would not have to speak", about((4, 0), GROUP6))
            .but("3.10", "to what only looks so", about(error, Ipv6Addr::new(0xfe02, 0, 0, 0, 0, 0, 0, 0xfb)))
    });
    cases.extend(groups);
    cases
}

/// Options move the header of ICMP.
fn options4(net: &Net) -> Case {
    let about = |quoted, options: &[u8]| {
        let header = Ipv4 { options: options.to_vec(), ..net.ipv4(C, Outside, ICMP) };
        net.frame4(C, Outside, &header.carrying(&message4(net, Outside, (3, 3), quoted)))
    };
    let (own, other) = (net.party(C).v4, net.party(B).v4);
    Case::new("5.2", "C tells behind options of what came to it", C, Outside, about(own, &[1; 4]))
        .but("3.10", "of what came to another guest", about(other, &[1; 4]))
        .but("3.10", "of what came to another guest, behind all options that fit", about(other, &[1; 40]))
}

/// Extension headers do the same.
fn options6(net: &Net) -> Case {
    let about = |quoted| {
        let header = net.ipv6(C, Outside, ICMPV6).with(DESTINATION, &PADDING);
        net.frame6(C, Outside, &header.carrying(&message6(net, Outside, &header, (1, 4), quoted)))
    };
    let (own, other) = (net.party(C).v6, net.party(B).v6);
    Case::new("5.1", "C tells by IPv6 behind options of what came to it", C, Outside, about(own)).but(
        "3.10",
        "of what came to another guest",
        about(other),
    )
}

fn shot(frames: Vec<Vec<u8>>) -> Shot {
    Shot { from: C, before: Vec::new(), frames }
}

/// Whether each fragment is looked at by itself.
fn by_itself(net: &Net) -> bool {
    net.is_bridged() && !net.connections
}

fn fragments4(net: &Net) -> Case {
    let parts = |quoted, cut| {
        let message = [message4(net, Outside, (3, 3), quoted), vec![b'x'; 64]].concat();
        let parts = net.ipv4(C, Outside, ICMP).in_fragments(&icmp(3, 3, &message[4..]), &[cut]);
        shot(parts.iter().map(|part| net.frame4(C, Outside, part)).collect())
    };
    let (own, other) = (net.party(C).v4, net.party(B).v4);
    let case = Case::of("5.2", "C tells in fragments of what came to it", Outside, parts(own, 32))
        .but_shot("3.10", "of what came to another guest", parts(other, 32))
        .but_shot("3.10", "of what came to another guest, cut before it is said", parts(other, 24));
    if by_itself(net) { case.but_shot("3.10", "cut before it is said", parts(own, 24)) } else { case }
}

/// Where fragments of IPv6 are cut: a bridge with connections forwards no smaller ones.
const CUT: usize = 1280 - 48 + 8;

fn fragments6(net: &Net) -> Case {
    let parts = |quoted, cut| {
        let header = net.ipv6(C, Outside, ICMPV6);
        let message = [message6(net, Outside, &header, (1, 4), quoted), vec![b'x'; 1400]].concat();
        let message = icmpv6(header.source, header.destination, 1, 4, &message[4..]);
        let parts = header.in_fragments(u32::from(net.port()), &message, &[cut]);
        shot(parts.iter().map(|part| net.frame6(C, Outside, part)).collect())
    };
    let (own, other) = (net.party(C).v6, net.party(B).v6);
    let case = Case::of("5.1", "C tells by IPv6 in fragments of what came to it", Outside, parts(own, CUT))
        .but_shot("3.10", "of what came to another guest", parts(other, CUT));
    if by_itself(net) { case.but_shot("3.10", "cut before it is said", parts(own, 40)) } else { case }
}
