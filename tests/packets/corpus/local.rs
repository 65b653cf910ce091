//! Link-local addresses that a guest makes by itself (RFC 7217): B may have any. 3.2, 3.3, 3.8, 4.4, 4.5.

use std::net::Ipv6Addr;

use guestnet_lab::craft::icmp::{ICMPV6, icmpv6};
use guestnet_lab::craft::ipv6::{Ipv6, solicited_node};
use guestnet_lab::craft::ndp::{self, ADVERTISEMENT, SOLICITATION, SOLICITED, source_mac, target_mac};
use guestnet_lab::craft::transport::{SYN, TCP, UDP, tcp, udp};

use crate::case::{Case, Shot};
use crate::net::Who::{self, A, B, C, Host};
use crate::net::{Net, Placement};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    if net.placement == Placement::Bridged {
        return Vec::new();
    }
    let places: &[Who] = if net.is_bridged() { &[A, Host] } else { &[Host] };
    let mut cases: Vec<Case> = places.iter().map(|place| asks(net, *place)).collect();
    cases.extend([answers(net), names(net)]);
    if net.is_bridged() {
        // Elsewhere the host listens to this group on A's link alone.
        cases.push(duplicates(net));
    }
    cases
}

fn made() -> Ipv6Addr {
    "fe80::1234:5678:9abc:def1".parse().expect("an address")
}

fn asks(net: &Net, place: Who) -> Case {
    let target = net.party(place).v6;
    let ask = |who: Who, source| {
        let header = Ipv6::new(source, solicited_node(target), ICMPV6).hops(255);
        let body = ndp::body(0, target, &[source_mac(net.party(who).mac)]);
        let message = icmpv6(source, header.destination, SOLICITATION, 0, &body);
        Shot::new(who, net.multicast6(who, &header.carrying(&message)))
    };
    let mut case =
        Case::of("4.4", format!("asks for {place} from an address it has made"), place, ask(B, made()))
            .but_shot("3.2", "but C may not", ask(C, made()))
            .but_shot("3.2", "but it is not of the link", ask(B, "fec0::1".parse().expect("an address")));
    // On a routed link it would take it from nobody but itself.
    if net.is_bridged() {
        let router = net.party(Host).local();
        case = case.but_shot("3.2 3.3 3.8", "but it is the router's", ask(B, router));
    }
    if net.is_bridged() {
        case = case.but_shot("3.8", "but it is A's", ask(B, net.party(A).local()));
    }
    case
}

fn answers(net: &Net) -> Case {
    let (own, other) = (net.party(B), net.party(A));
    let say = |source, target| {
        let header = Ipv6::new(source, net.at6(B, Host), ICMPV6).hops(255);
        let body = ndp::body(SOLICITED, target, &[target_mac(own.mac)]);
        net.icmp_in6(B, Host, &header, ADVERTISEMENT, 0, &body)
    };
    let case = Case::new("4.5", "answers for an address it has made", B, Host, say(made(), made())).but(
        "4.5 3.3",
        "for its router's",
        say(made(), net.at6(B, Host)),
    );
    if net.is_bridged() { case.but("3.8", "for another guest's", say(made(), other.local())) } else { case }
}

fn duplicates(net: &Net) -> Case {
    let ask = |target: Ipv6Addr| {
        // To the group of A's own address, which the lab's host is in.
        let header = Ipv6::new(Ipv6Addr::UNSPECIFIED, solicited_node(net.party(A).v6), ICMPV6).hops(255);
        let message = icmpv6(header.source, header.destination, SOLICITATION, 0, &ndp::body(0, target, &[]));
        net.multicast6(B, &header.carrying(&message))
    };
    Case::new("4.4", "asks whether it may make an address", B, Host, ask(made())).but(
        "3.8",
        "and it is A's",
        ask(net.party(A).local()),
    )
}

/// At the host it is the guest, whatever address it has made.
fn names(net: &Net) -> Case {
    let to = net.at6(B, Host);
    let udp = |port| {
        let message = udp(made().into(), to.into(), (net.port(), port), b"data");
        Shot::new(B, net.frame6(B, Host, &Ipv6::new(made(), to, UDP).carrying(&message)))
    };
    let shell = |who: Who, source: Ipv6Addr| {
        let segment = tcp(source.into(), to.into(), (net.port(), 22), SYN, (1, 0));
        Shot::new(who, net.frame6(who, Host, &Ipv6::new(source, to, TCP).carrying(&segment)))
    };
    Case::of("7.1", "asks the host for names from an address it has made", Host, udp(53))
        .but_shot("7.1 6.1", "for the time", udp(123))
        .but_shot("7.1", "for a shell", shell(B, made()))
}
