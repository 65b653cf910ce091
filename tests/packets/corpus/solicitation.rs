//! Neighbour solicitations: 4.1, 4.2, 4.4.

use std::net::Ipv6Addr;
use std::slice::from_ref;

use guestnet_lab::craft::icmp::{ICMPV6, icmpv6};
use guestnet_lab::craft::ipv6::{Ipv6, solicited_node};
use guestnet_lab::craft::ndp::{self, SOLICITATION, nonce, source_mac, target_mac};

use super::layout::{self, Said};
use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, B, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let places: &[Who] = if net.is_bridged() { &[B, Outside, Host] } else { &[Host] };
    let of = |place: &Who| {
        [question(net, *place), without_option(net, *place), to_one(net, *place), duplicate(net, *place)]
    };
    places.iter().flat_map(of).collect()
}

/// A solicitation by A from `source` to the group of `target`.
fn ask(net: &Net, source: Ipv6Addr, target: Ipv6Addr, options: &[Vec<u8>]) -> Vec<u8> {
    let header = Ipv6::new(source, solicited_node(target), ICMPV6).hops(255);
    let body = ndp::body(0, target, options);
    net.multicast6(A, &header.carrying(&icmpv6(source, header.destination, SOLICITATION, 0, &body)))
}

fn question(net: &Net, place: Who) -> Case {
    let (own, other, target) = (net.party(A), net.party(B), net.party(place).v6);
    let with = |options: &[Vec<u8>]| ask(net, own.v6, target, options);
    let mac = source_mac(own.mac);
    let header = Ipv6::new(own.v6, solicited_node(target), ICMPV6);
    let said = Said { header, kind: SOLICITATION, body: ndp::body(0, target, from_ref(&mac)) };
    let case =
        Case::new("4.4", format!("asks for {place}, with its MAC address"), A, place, with(from_ref(&mac)))
            .but("3.2", "in the name of another guest", ask(net, other.v6, target, from_ref(&mac)))
            .but(
                "3.2 4.4",
                "in the name of another guest, with that one's MAC address",
                ask(net, other.v6, target, &[source_mac(other.mac)]),
            )
            .but(
                "3.3 3.2",
                "in the name of its router",
                ask(net, net.party(Host).v6, target, from_ref(&mac)),
            );
    let case = layout::macs(net, case, "4.4", &mac, source_mac, &with);
    let case = case
        .but("4.4", "with the target's MAC address", with(&[target_mac(own.mac)]))
        .but("4.4", "with its MAC address and then a target's", with(&[mac.clone(), target_mac(other.mac)]))
        .but("4.4", "with a nonce and its MAC address", with(&[nonce(), mac.clone()]));
    layout::headers(net, case, &said)
}

fn without_option(net: &Net, place: Who) -> Case {
    let (own, other, target) = (net.party(A), net.party(B), net.party(place).v6);
    let local = |source| ask(net, source, target, &[]);
    Case::new("4.4", format!("asks for {place} from its link-local address"), A, place, local(own.local()))
        .but("3.2", "in the name of another guest", local(other.local()))
        .but("3.3 3.2", "in the name of its router", local(net.party(Host).local()))
}

/// Whether a neighbour is still there is asked of itself (RFC 4861 section 7.3).
fn to_one(net: &Net, place: Who) -> Case {
    let (own, other, target) = (net.party(A), net.party(B), net.party(place).v6);
    let ask = |options: &[Vec<u8>]| {
        let header = Ipv6::new(own.v6, target, ICMPV6).hops(255);
        net.icmp_in6(A, place, &header, SOLICITATION, 0, &ndp::body(0, target, options))
    };
    Case::new("4.4", format!("asks {place} itself"), A, place, ask(&[source_mac(own.mac)])).but(
        "4.4",
        "with another guest's MAC address",
        ask(&[source_mac(other.mac)]),
    )
}

/// Duplicate address detection (RFC 4862 section 5.4), with the nonce of RFC 7527.
fn duplicate(net: &Net, place: Who) -> Case {
    let (own, other, router) = (net.party(A), net.party(B), net.party(Host));
    // In the group of its own address, whatever it asks for: that one the host listens to here.
    let claim = |target: Ipv6Addr, options: &[Vec<u8>]| {
        let group = solicited_node(own.v6);
        let header = Ipv6::new(Ipv6Addr::UNSPECIFIED, group, ICMPV6).hops(255);
        let body = ndp::body(0, target, options);
        net.multicast6(A, &header.carrying(&icmpv6(header.source, group, SOLICITATION, 0, &body)))
    };
    Case::new("4.4", format!("claims its address before {place}"), A, place, claim(own.v6, &[]))
        .but("4.4", "another guest's", claim(other.v6, &[]))
        .but("4.4", "another guest's link-local one", claim(other.local(), &[]))
        .but("3.3 4.4", "its router's", claim(router.v6, &[]))
        .but("4.4 3.3", "its router's link-local one", claim(router.local(), &[]))
        .but("4.4", "someone's outside", claim(net.party(Outside).v6, &[]))
        .but("4.4", "with its MAC address, as nobody may", claim(own.v6, &[source_mac(own.mac)]))
        .but("4.4", "with another guest's MAC address", claim(own.v6, &[source_mac(other.mac)]))
        .but("4.4", "with a nonce and a MAC address", claim(own.v6, &[nonce(), source_mac(other.mac)]))
}
