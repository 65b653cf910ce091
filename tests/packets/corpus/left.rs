//! Guest A has left: its addresses are nobody's, and so anybody's, and nobody knows it by them: 1.1, 3.8, 6.1, 6.7.

use guestnet_lab::craft::ethernet::from;
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::transport::UDP;

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, D, E, Far, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases: Vec<Case> = [true, false]
        .into_iter()
        .flat_map(|is_ipv4| {
            [to_it(net, is_ipv4), from_guests(net, is_ipv4), as_it(net, is_ipv4), member(net, is_ipv4)]
        })
        .collect();
    if net.is_bridged() {
        cases.push(station(net));
    }
    cases
}

/// UDP from `from` to `to`, with the source of `as_who`.
fn say(net: &Net, from: Who, to: Who, as_who: Who, is_ipv4: bool, port: u16) -> Shot {
    let ports = (net.port(), port);
    let frame = if is_ipv4 {
        let own = net.party(from).v4;
        let source = if as_who == from { own } else { net.known4(as_who) };
        net.udp_in4(from, to, &Ipv4 { source, ..net.ipv4(from, to, UDP) }, ports)
    } else {
        net.udp_in6(from, to, &Ipv6 { source: net.party(as_who).v6, ..net.ipv6(from, to, UDP) }, ports)
    };
    Shot::new(from, frame)
}

fn to_it(net: &Net, is_ipv4: bool) -> Case {
    let to = |from, to| say(net, from, to, from, is_ipv4, 4000);
    Case::of("6.1", format!("UDP to one who is there, IPv4: {is_ipv4}"), B, to(Outside, B))
        .but_shot("1.1 6.7", "to the one who has left", to(Outside, A))
        .but_shot("1.1", "to the one who has left, from another network", to(Far, A))
        .but_shot("6.1", "from one that may send nothing", to(C, B))
        .but_shot("6.1", "to the one who has left, from one that may send nothing", to(C, A))
}

/// It is sent to where all is sent that nobody here has.
fn from_guests(net: &Net, is_ipv4: bool) -> Case {
    let to = |from, to| say(net, from, to, from, is_ipv4, 4000);
    Case::of("6.1", format!("UDP to the one who has left, IPv4: {is_ipv4}"), Outside, to(B, A))
        .never_at(&[C, D, E, Host])
        .but_shot("6.1", "from one that may send nothing", to(C, A))
        .but_shot("6.1", "from the one who has left", to(A, Outside))
        .unseen_if(true, "its link is gone")
}

fn as_it(net: &Net, is_ipv4: bool) -> Case {
    let as_who = |who| say(net, Outside, B, who, is_ipv4, 4000);
    let own = if is_ipv4 { "3.1" } else { "3.2" };
    Case::of("3.8", format!("UDP from the address of the one who has left, IPv4: {is_ipv4}"), B, as_who(A))
        .but_shot("3.8", "of one who is there", as_who(C))
        .but_shot(own, "by a guest", say(net, D, B, A, is_ipv4, 53))
}

/// A was in the group that D's entry is about.
fn member(net: &Net, is_ipv4: bool) -> Case {
    let as_a = |to, port| say(net, Outside, to, A, is_ipv4, port);
    Case::of(
        "6.1",
        format!("UDP from the address of a member who has left, IPv4: {is_ipv4}"),
        B,
        as_a(B, 5353),
    )
    .but_shot("6.1", "to a guest that only members may speak to", as_a(D, 5353))
    .seen_at(D)
}

fn station(net: &Net) -> Case {
    let as_who = |who: Who| from(&net.udp4(Outside, B, 4000), net.party(who).mac);
    Case::new("3.8", "UDP from the MAC address of the one who has left", Outside, B, as_who(A)).but(
        "3.8",
        "of one who is there",
        as_who(C),
    )
}
