//! ICMP in transit and to the host: 5.2, 5.3.

use guestnet_lab::craft::ipv4::Ipv4;

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, C, Host, Outside};

/// All of them. C has no access list, so what passes does so for being ICMP.
pub fn cases(net: &Net) -> Vec<Case> {
    [Outside, Host]
        .into_iter()
        .flat_map(|place| [between(net, C, place)])
        .chain([between(net, Outside, C)])
        .collect()
}

/// The quoted packet of an error: UDP that the other side would have sent, as it came to `from`.
fn quote(net: &Net, from: Who, to: Who) -> Vec<u8> {
    let mut body = vec![0; 4];
    let header = Ipv4 { destination: net.party(from).v4, ..net.ipv4(to, from, 17) };
    body.extend(header.carrying(&[0, 7, 0, 7, 0, 8, 0, 0]));
    body
}

fn between(net: &Net, from: Who, to: Who) -> Case {
    let quoted = quote(net, from, to);
    let say = |kind, code| {
        let body = if [3, 4, 5, 11, 12].contains(&kind) {
            quoted.clone()
        } else {
            // An identifier of its own, so that no echo belongs to another's.
            [&net.port().to_be_bytes()[..], b"\0\x02data\0\0\0\0\0\0\0\0"].concat()
        };
        net.icmp4(from, to, kind, code, &body)
    };
    let mut case = Case::new("5.2", format!("{from} asks {to} for an echo"), from, to, say(8, 0));
    for (detail, kind) in [
        ("says source quench", 4),
        ("redirects", 5),
        ("gives another address", 6),
        ("says that it is a router", 9),
        ("asks for routers", 10),
        ("asks for the time", 13),
        ("says the time", 14),
        ("asks for information", 15),
        ("gives information", 16),
        ("asks for the mask", 17),
        ("gives the mask", 18),
        ("traces a route", 30),
        ("speaks of security", 40),
        ("asks for an extended echo", 42),
        ("gives an extended echo", 43),
        ("says what nobody knows", 255),
    ] {
        case = case.but("4.3 5.3 6.1 6.2 7.1", detail, say(kind, 0));
    }
    case
}

/// What else passes, each by itself.
pub fn others(net: &Net) -> Vec<Case> {
    let mut cases = Vec::new();
    for (from, to) in [(C, Outside), (Outside, C), (C, Host)] {
        let quoted = quote(net, from, to);
        for (kind, code) in
            [(0, 0), (3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (12, 1)]
        {
            let body = if kind == 0 { b"\0\x01\0\x02data".to_vec() } else { quoted.clone() };
            let name = format!("ICMP type {kind} code {code} from {from} to {to}");
            cases.push(Case::new("5.2", name, from, to, net.icmp4(from, to, kind, code, &body)));
        }
    }
    cases
}
