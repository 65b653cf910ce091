//! Neighbour advertisements: 4.1, 4.2, 4.5.

use std::net::Ipv6Addr;
use std::slice::from_ref;

use guestnet_lab::craft::icmp::{ICMPV6, icmpv6};
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::ndp::{self, ADVERTISEMENT, SOLICITED, source_mac, target_mac};

use super::layout::{self, Said};
use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, B, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let places: &[Who] = if net.is_bridged() { &[B, Outside, Host] } else { &[Host] };
    places.iter().flat_map(|place| [answer(net, *place), announcement(net, *place)]).collect()
}

fn answer(net: &Net, place: Who) -> Case {
    let (own, other, router) = (net.party(A), net.party(B), net.party(Host));
    let header = Ipv6::new(own.v6, net.party(place).v6, ICMPV6);
    let say = |source, target: Ipv6Addr, options: &[Vec<u8>]| {
        let header = Ipv6 { source, ..header.clone() }.hops(255);
        net.icmp_in6(A, place, &header, ADVERTISEMENT, 0, &ndp::body(SOLICITED, target, options))
    };
    let mac = target_mac(own.mac);
    let with = |options: &[Vec<u8>]| say(own.v6, own.v6, options);
    let for_target = |target| say(own.v6, target, from_ref(&mac));
    let said = Said {
        header: header.clone(),
        kind: ADVERTISEMENT,
        body: ndp::body(SOLICITED, own.v6, from_ref(&mac)),
    };
    let case =
        Case::new("4.5", format!("answers {place} with its MAC address"), A, place, with(from_ref(&mac)))
            .but("4.5", "for another guest", for_target(other.v6))
            .but("4.5", "for another guest's link-local address", for_target(other.local()))
            .but("4.5", "for what is routed to another guest", for_target(other.delegated))
            .but("3.3 4.5", "for its router", for_target(router.v6))
            .but("4.5 3.3", "for its router's link-local address", for_target(router.local()))
            .but("4.5", "for someone outside", for_target(net.party(Outside).v6))
            .but("4.5", "for nobody", for_target(Ipv6Addr::UNSPECIFIED))
            .but("4.5", "for a group", for_target("ff02::1".parse().expect("a group")))
            .but("3.2", "in the name of another guest", say(other.v6, own.v6, from_ref(&mac)))
            .but(
                "3.2 4.5",
                "in the name of another guest, for that one",
                say(other.v6, other.v6, from_ref(&mac)),
            );
    let case = layout::macs(net, case, "4.5", &mac, target_mac, &with)
        .but("4.5", "with a source's MAC address", with(&[source_mac(own.mac)]))
        .but("4.5", "with its MAC address and a source's", with(&[mac.clone(), source_mac(other.mac)]));
    layout::headers(net, case, &said)
}

/// Unsolicited, to all nodes: RFC 4861 section 7.2.6.
fn announcement(net: &Net, place: Who) -> Case {
    let (own, other, router) = (net.party(A), net.party(B), net.party(Host));
    let say = |target: Ipv6Addr, options: &[Vec<u8>]| {
        let header = Ipv6::new(own.local(), "ff02::1".parse().expect("a group"), ICMPV6).hops(255);
        let body = ndp::body(0x2000_0000, target, options);
        net.multicast6(
            A,
            &header.carrying(&icmpv6(header.source, header.destination, ADVERTISEMENT, 0, &body)),
        )
    };
    Case::new(
        "4.5",
        format!("announces its address to all, {place} among them"),
        A,
        place,
        say(own.v6, &[target_mac(own.mac)]),
    )
    .but("4.5", "another guest's", say(other.v6, &[target_mac(own.mac)]))
    .but("3.3 4.5", "its router's", say(router.v6, &[target_mac(own.mac)]))
    .but("4.5 3.3", "its router's link-local one", say(router.local(), &[target_mac(own.mac)]))
    .but("4.5", "with another guest's MAC address", say(own.v6, &[target_mac(other.mac)]))
    .but("4.5", "another guest's, with that one's MAC address", say(other.v6, &[target_mac(other.mac)]))
    .but("4.5", "another guest's, without an option", say(other.v6, &[]))
}
