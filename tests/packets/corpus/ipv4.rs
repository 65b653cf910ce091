//! IPv4 sources: 3.1, 3.3, 3.4; also behind options and in fragments.

use std::net::Ipv4Addr;

use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::transport::{UDP, udp};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, D, Host, Outside};

const PORT: u16 = 53;

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    [B, Outside, Host]
        .into_iter()
        .flat_map(|place| [plain(net, place), options(net, place), fragments(net, place)])
        .chain([source_routes(net)])
        .collect()
}

/// Routes that the sender has chosen, to A by way of B.
fn source_routes(net: &Net) -> Case {
    let with = |options: &[u8]| {
        let header = Ipv4 { options: options.to_vec(), ..net.ipv4(A, B, UDP) };
        net.udp_in4(A, B, &header, (net.port(), PORT))
    };
    let route = |kind: u8| {
        let [a, b, c, d] = net.known4(A).octets();
        with(&[kind, 7, 4, a, b, c, d, 0])
    };
    Case::new("6.1", "UDP with options that say nothing", A, B, with(&[1, 1, 1, 1, 1, 1, 1, 0]))
        .but("3.7", "with a loose source route", route(131))
        .but("3.7", "with a loose source route behind others", {
            let [a, b, c, d] = net.known4(A).octets();
            with(&[1, 1, 1, 1, 131, 7, 4, a, b, c, d, 0])
        })
        .but("3.7", "with a strict source route", route(137))
        .unseen_if(!net.is_bridged(), "the next hop is not the one that it names")
}

/// Sources that are not the guest's, the paragraph, and why none comes through without a filter.
fn strangers(net: &Net, place: Who) -> Vec<(&'static str, &'static str, Ipv4Addr, bool)> {
    let routed = !net.is_bridged() || place == Host;
    let at = Ipv4Addr::new;
    vec![
        ("3.1", "from another guest", net.party(B).v4, false),
        ("3.1", "from a guest without access", net.party(C).v4, false),
        ("3.1 3.3", "from its router", net.party(Host).v4, false),
        ("3.1", "from someone outside", net.party(Outside).v4, false),
        ("3.1", "from its neighbour in number", at(192, 0, 2, net.party(A).v4.octets()[3] ^ 1), false),
        ("3.1", "from its network", at(192, 0, 2, 0), false),
        ("3.1", "from everybody in its network", at(192, 0, 2, 255), net.is_own()),
        ("3.1", "from itself", at(127, 0, 0, 1), false),
        ("3.1", "from its link", at(169, 254, 7, 7), false),
        ("3.1", "from a private address", at(10, 0, 0, 1), false),
        ("3.1", "from the reserved range", at(240, 0, 0, 1), false),
        ("3.4 3.1", "from nobody", at(0, 0, 0, 0), routed),
        ("3.1", "from the network 0", at(0, 0, 0, 1), false),
        ("3.1", "from a group", at(224, 0, 0, 1), routed),
        ("3.1", "from everybody", at(255, 255, 255, 255), routed),
    ]
}

fn plain(net: &Net, place: Who) -> Case {
    let from = |source| {
        let header = Ipv4 { source, ..net.ipv4(A, place, UDP) };
        net.udp_in4(A, place, &header, (net.port(), PORT))
    };
    let mut case =
        Case::new("3.1", format!("UDP from its address to {place}"), A, place, from(net.party(A).v4))
            .never_at(&[C, D]);
    for (paragraph, detail, source, martian) in strangers(net, place) {
        case = case.but(paragraph, detail, from(source)).unseen_if(martian, "a martian source");
    }
    case
}

/// Options move what is behind them.
fn options(net: &Net, place: Who) -> Case {
    let from = |source, options: &[u8]| {
        let header = Ipv4 { source, options: options.to_vec(), ..net.ipv4(A, place, UDP) };
        net.udp_in4(A, place, &header, (net.port(), PORT))
    };
    let (own, other) = (net.party(A).v4, net.party(B).v4);
    // No operation; record route, with room for nine.
    let record = [&[7, 39, 4][..], &[0; 36]].concat();
    Case::new("3.1", format!("UDP behind options to {place}"), A, place, from(own, &[1, 1, 1, 1]))
        .but("3.1", "from another guest", from(other, &[1, 1, 1, 1]))
        .but("3.1", "from another guest, with all options that fit", from(other, &[1; 40]))
        .but("3.1", "from another guest, recording its route", from(other, &record))
}

fn fragments(net: &Net, place: Who) -> Case {
    let parts = |source: Ipv4Addr, cut: usize| -> Vec<Vec<u8>> {
        let header = Ipv4 { source, ..net.ipv4(A, place, UDP) };
        let datagram = udp(source.into(), header.destination.into(), (net.port(), PORT), &[b'x'; 64]);
        header.in_fragments(&datagram, &[cut]).iter().map(|part| net.frame4(A, place, part)).collect()
    };
    let shot = |frames| Shot { from: A, before: Vec::new(), frames };
    let (own, other) = (net.party(A).v4, net.party(B).v4);
    Case::of("3.1", format!("UDP in fragments to {place}"), place, shot(parts(own, 32)))
        .but_shot("3.1", "from another guest", shot(parts(other, 32)))
        .but_shot("3.1", "from another guest, cut behind the ports", shot(parts(other, 8)))
        .but_shot("3.1 unfinished", "the second half of another guest's", shot(parts(other, 32).split_off(1)))
        .unseen_if(place == Host, "the host puts fragments together before it looks")
}
