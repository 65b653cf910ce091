//! Links, or ports, that are trusted by their names, and by how these begin: 1.1, 3.8.

use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::transport::UDP;

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, Dock, Far, Kin, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases: Vec<Case> = [true, false]
        .into_iter()
        .flat_map(|is_ipv4| [(Kin, Dock), (Dock, Kin)].map(|ends| between(net, ends, is_ipv4)))
        .collect();
    cases.push(to_guests(net));
    cases
}

fn say(net: &Net, from: Who, to: Who, is_ipv4: bool) -> Shot {
    Shot::new(from, if is_ipv4 { net.udp4(from, to, 4000) } else { net.udp6(from, to, 4000) })
}

/// By way of the host, which routes it back into the bridge.
fn routed(net: &Net, from: Who, to: Who, is_ipv4: bool) -> Shot {
    let mut shot = say(net, from, to, is_ipv4);
    for frame in &mut shot.frames {
        frame[..6].copy_from_slice(&net.gateways[from as usize].0);
    }
    shot
}

fn between(net: &Net, (from, place): (Who, Who), is_ipv4: bool) -> Case {
    let say = |from, to| say(net, from, to, is_ipv4);
    let name = format!("UDP from {from} to {place}, IPv4: {is_ipv4}");
    let case = Case::of("1.1", name, place, say(from, place)).never_at(&[A, B, C, Outside, Far]);
    // The bridge that they are ports of is not trusted.
    let bridged = |case: Case| {
        let routed = |from, to| routed(net, from, to, is_ipv4);
        case.but_shot("1.1", "by way of the host", routed(from, place))
            .but_shot("1.1", "from outside, by way of the host", routed(Outside, place))
            .but_shot("1.1", "to the outside, by way of the host", routed(from, Outside))
            .seen_at(Outside)
    };
    let case = if net.is_bridged() { bridged(case) } else { case };
    case.but_shot("1.1", "from outside", say(Outside, place))
        .but_shot("1.1", "from another network", say(Far, place))
        .but_shot("1.1", "to the outside", say(from, Outside))
        .seen_at(Outside)
        .but_shot("1.1", "to another network", say(from, Far))
        .seen_at(Far)
}

/// To a guest a trusted link is one like any other.
fn to_guests(net: &Net) -> Case {
    let as_b = {
        let header = Ipv4 { source: net.known4(B), ..net.ipv4(Kin, A, UDP) };
        net.udp_in4(Kin, A, &header, (net.port(), 4000))
    };
    Case::of("6.1", "UDP from the trusted network to a guest", A, say(net, Kin, A, true))
        .but_shot("6.1 6.2", "that gets nothing", say(net, Kin, C, true))
        .seen_at(C)
        .but("3.8", "from a guest's address", as_b)
}
