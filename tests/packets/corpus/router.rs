//! Router discovery and redirects: 4.3, 4.6, 6.5.

use std::net::Ipv6Addr;
use std::slice::from_ref;

use guestnet_lab::craft::icmp::{ICMPV6, icmpv6};
use guestnet_lab::craft::ipv6::{DESTINATION, HOP_BY_HOP, Ipv6, PADDING};
use guestnet_lab::craft::ndp::{
    REDIRECT, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, redirect, router_advertisement, router_solicitation,
    source_mac, target_mac,
};

use super::layout::{self, Said};
use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let places: &[Who] = if net.is_bridged() { &[B, Outside, Host] } else { &[Host] };
    let mut cases: Vec<Case> =
        places.iter().flat_map(|place| [solicitation(net, *place), from_nobody(net, *place)]).collect();
    if net.is_bridged() {
        cases.push(advertisement_of_a_router(net));
    }
    cases
}

fn routers() -> Ipv6Addr {
    "ff02::2".parse().expect("a group")
}

fn nodes() -> Ipv6Addr {
    "ff02::1".parse().expect("a group")
}

fn say(net: &Net, from: Who, header: &Ipv6, kind: u8, body: &[u8]) -> Vec<u8> {
    net.multicast6(from, &header.carrying(&icmpv6(header.source, header.destination, kind, 0, body)))
}

fn solicitation(net: &Net, place: Who) -> Case {
    let (own, other, router) = (net.party(A), net.party(B), net.party(Host));
    let header = |source, to| Ipv6::new(source, to, ICMPV6).hops(255);
    let mac = source_mac(own.mac);
    let with = |options: &[Vec<u8>]| {
        say(net, A, &header(own.local(), routers()), ROUTER_SOLICITATION, &router_solicitation(options))
    };
    let prefix = "2001:db8:bad::".parse().expect("a prefix");
    let advertisement = |source, header: &dyn Fn(Ipv6) -> Ipv6, options: &[Vec<u8>]| {
        let header = header(Ipv6::new(source, nodes(), ICMPV6).hops(255));
        say(net, A, &header, ROUTER_ADVERTISEMENT, &router_advertisement(prefix, options))
    };
    let same = |header: Ipv6| header;
    let case =
        Case::new("4.6", format!("asks for routers, {place} among them"), A, place, with(from_ref(&mac)))
            .but("3.2", "in the name of another guest", {
                say(
                    net,
                    A,
                    &header(other.local(), routers()),
                    ROUTER_SOLICITATION,
                    &router_solicitation(from_ref(&mac)),
                )
            })
            .but("4.3", "but says that it is one", advertisement(own.local(), &same, from_ref(&mac)))
            .but("3.2 4.3", "but says that it is another", advertisement(router.local(), &same, &[]))
            .but("4.3", "but says so without an option", advertisement(own.local(), &same, &[]))
            .but("4.3", "but says so from afar", advertisement(own.local(), &|header| header.hops(64), &[]))
            .but(
                "4.1 4.3",
                "but says so behind hop-by-hop options",
                advertisement(own.local(), &|header| header.with(HOP_BY_HOP, &PADDING), &[]),
            )
            .but(
                "4.1 4.3",
                "but says so behind destination options",
                advertisement(own.local(), &|header| header.with(DESTINATION, &PADDING), &[]),
            )
            .but(
                "4.1 4.3",
                "but says so in a fragment",
                advertisement(own.local(), &|header| header.fragment(0, false), &[]),
            );
    let case = {
        let header = header(own.local(), nodes());
        let message = icmpv6(
            header.source,
            header.destination,
            ROUTER_ADVERTISEMENT,
            0,
            &router_advertisement(prefix, &[]),
        );
        let parts = header.in_fragments(u32::from(net.port()), &message, &[8]);
        let frames = parts.iter().map(|part| net.multicast6(A, part)).collect();
        case.but_shot("4.1", "but says so in two fragments", Shot { from: A, before: Vec::new(), frames })
    };
    let case = case.but("4.3", "but redirects", {
        let body = [redirect(own.local(), net.party(Outside).v6), target_mac(own.mac)].concat();
        say(net, A, &header(own.local(), nodes()), REDIRECT, &body)
    });
    let case = layout::macs(net, case, "4.6", &mac, source_mac, &with);
    let said = Said {
        header: header(own.local(), routers()),
        kind: ROUTER_SOLICITATION,
        body: router_solicitation(&[mac]),
    };
    layout::headers(net, case, &said)
}

fn from_nobody(net: &Net, place: Who) -> Case {
    let ask = |options: &[Vec<u8>]| {
        let header = Ipv6::new(Ipv6Addr::UNSPECIFIED, routers(), ICMPV6).hops(255);
        say(net, A, &header, ROUTER_SOLICITATION, &router_solicitation(options))
    };
    Case::new(
        "4.6",
        format!("asks for routers before it has an address, {place} among them"),
        A,
        place,
        ask(&[]),
    )
    .but("4.6 3.2", "with its MAC address, as nobody may", ask(&[source_mac(net.party(A).mac)]))
    .but("4.6", "with another guest's MAC address", ask(&[source_mac(net.party(B).mac)]))
}

/// The routers of the segment are behind ports that are no guest's.
fn advertisement_of_a_router(net: &Net) -> Case {
    let say = |who: Who| {
        let header = Ipv6::new(net.party(who).local(), nodes(), ICMPV6).hops(255);
        let body = router_advertisement(
            "2001:db8:5::".parse().expect("a prefix"),
            &[source_mac(net.party(who).mac)],
        );
        Shot::new(who, say(net, who, &header, ROUTER_ADVERTISEMENT, &body))
    };
    Case::of("6.5", "the outside says that it is a router", A, say(Outside)).but_shot(
        "4.3",
        "it is a guest that says so",
        say(B),
    )
}
