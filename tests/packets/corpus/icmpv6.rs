//! ICMPv6 in transit and to the host: 5.1, 5.3, 7.1, by RFC 4890.

use guestnet_lab::craft::icmp::{ICMPV6, icmpv6};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, C, Host, Outside};

/// All of them. C has no access list, so what passes does so for being ICMPv6.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases: Vec<Case> =
        [(C, Outside), (Outside, C), (C, Host)].map(|(from, to)| between(net, from, to)).to_vec();
    cases.push(fragments(net));
    for (from, to) in [(C, Outside), (Outside, C), (C, Host)] {
        let mut right: Vec<(u8, u8)> = vec![(2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (129, 0)];
        right.extend((0..=7).map(|code| (1, code)));
        if to != Host {
            // Mobile IPv6 passes through us (RFC 4890 section 4.3.2) and is nothing for us (4.4).
            right.extend((144..=147).map(|kind| (kind, 0)));
        }
        for (kind, code) in right {
            let name = format!("ICMPv6 type {kind} code {code} from {from} to {to}");
            cases.push(Case::new("5.1", name, from, to, say(net, from, to, kind, code)));
        }
    }
    cases
}

/// Where a message is cut: a bridge with connections forwards no smaller fragments.
const CUT: usize = 1280 - 48 + 8;

/// Types on both sides of neighbour discovery, whose first fragments show them (4.1).
fn fragments(net: &Net) -> Case {
    let parts = |kind| {
        let header = net.ipv6(C, Outside, ICMPV6);
        let message = icmpv6(header.source, header.destination, kind, 0, &[b'x'; 1400]);
        let parts = header.in_fragments(u32::from(net.port()), &message, &[CUT]);
        let frames = parts.iter().map(|part| net.frame6(C, Outside, part)).collect();
        Shot { from: C, before: Vec::new(), frames }
    };
    Case::of("5.1", "C asks for an agent of mobility, in fragments", Outside, parts(144))
        .but_shot("4.1 4.3", "redirects", parts(137))
        .but_shot("4.1", "asks for routers", parts(133))
        .but_shot("5.3 6.1 6.2", "asks for what a node is", parts(139))
}

fn say(net: &Net, from: Who, to: Who, kind: u8, code: u8) -> Vec<u8> {
    let quoted = [&[0, 0, 5, 0][..], &net.ipv6(to, from, 17).carrying(&[0, 7, 0, 7, 0, 8, 0, 0])].concat();
    // An identifier of its own, so that no echo belongs to another's.
    let other = [&net.port().to_be_bytes()[..], b"\0\x02data", &[0; 40]].concat();
    net.icmp6(from, to, kind, code, if kind < 128 { &quoted } else { &other })
}

fn between(net: &Net, from: Who, to: Who) -> Case {
    let mut case = Case::new(
        "5.1",
        format!("{from} asks {to} for an echo of IPv6"),
        from,
        to,
        say(net, from, to, 128, 0),
    );
    let mut wrong: Vec<(u8, u8)> = Vec::new();
    // Errors that nobody has defined, and the ends of their range.
    wrong.extend([(0, 0), (5, 0), (99, 0), (100, 0), (101, 0), (127, 0)]);
    // What means something on a link only (RFC 4890 section 4.3.3), though it is addressed beyond it.
    wrong.extend([
        (130, 0),
        (134, 0),
        (137, 0),
        (141, 0),
        (142, 0),
        (148, 0),
        (149, 0),
        (151, 0),
        (152, 0),
        (153, 0),
    ]);
    // Renumbering, node information, experiments, and what is yet to come (4.3.4, 4.3.5).
    wrong.extend([
        (138, 0),
        (139, 0),
        (140, 0),
        (150, 0),
        (154, 0),
        (155, 0),
        (160, 0),
        (200, 0),
        (201, 0),
        (254, 0),
        (255, 0),
    ]);
    // Codes that the types of errors do not have.
    wrong.extend([(3, 2), (3, 255), (4, 3), (4, 255)]);
    if to == Host {
        // Mobile IPv6 is nothing for the host, and what an error says more closely it may hear.
        wrong.extend([(144, 0), (145, 0), (146, 0), (147, 0)]);
        wrong.retain(|(kind, _)| ![3, 4].contains(kind));
    }
    if net.is_bridged() && from == Outside {
        // The routers of a segment say them (6.5).
        wrong.retain(|(kind, _)| ![130, 134].contains(kind));
    }
    for (kind, code) in wrong {
        let paragraph = if from == C && kind >= 128 { "4.3 6.1 6.2 7.1" } else { "5.3 6.1 6.2 7.1" };
        case = case.but(
            paragraph,
            format!("sends ICMPv6 type {kind} code {code}"),
            say(net, from, to, kind, code),
        );
    }
    case
}
