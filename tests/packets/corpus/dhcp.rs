//! DHCP: 3.4 to 3.6.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_lab::Mac;
use guestnet_lab::craft::dhcp::{dhcpv4, dhcpv6};
use guestnet_lab::craft::ethernet::frame;
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::{DESTINATION, HOP_BY_HOP, Ipv6, PADDING};
use guestnet_lab::craft::transport::{UDP, udp};
use guestnet_lab::frame::IPV4;

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let clients: &[Who] = if net.is_bridged() { &[Host, Outside] } else { &[Host] };
    let mut cases: Vec<Case> = clients
        .iter()
        .flat_map(|place| [discover(net, *place), renew(net, *place), solicit(net, *place)])
        .collect();
    for place in [B, Outside, Host] {
        cases.extend([server4(net, place), server6(net, place)]);
    }
    if net.is_bridged() {
        cases.extend([offer(net), reply(net)]);
    }
    cases
}

/// To everybody.
fn broadcast(net: &Net, from: Who, source: Ipv4Addr, ports: (u16, u16), message: &[u8]) -> Vec<u8> {
    let everybody = Ipv4Addr::BROADCAST;
    let datagram = udp(source.into(), everybody.into(), ports, message);
    frame(Mac::BROADCAST, net.party(from).mac, IPV4, &Ipv4::new(source, everybody, UDP).carrying(&datagram))
}

fn discover(net: &Net, place: Who) -> Case {
    let (own, other) = (net.party(A), net.party(B));
    let nobody = Ipv4Addr::UNSPECIFIED;
    let say = |source, ports, message: Vec<u8>| broadcast(net, A, source, ports, &message);
    let right = || dhcpv4(1, own.mac, 1);
    let unicast = {
        let header = Ipv4 { source: nobody, ..net.ipv4(A, place, UDP) };
        let datagram = udp(nobody.into(), header.destination.into(), (68, 67), &right());
        net.frame4(A, place, &header.carrying(&datagram))
    };
    let in_front = {
        let header = Ipv4 { options: vec![1, 1, 1, 1], ..Ipv4::new(nobody, Ipv4Addr::BROADCAST, UDP) };
        let datagram = udp(nobody.into(), header.destination.into(), (68, 67), &dhcpv4(1, other.mac, 1));
        frame(Mac::BROADCAST, own.mac, IPV4, &header.carrying(&datagram))
    };
    Case::new("3.6", format!("asks {place} for an address"), A, place, say(nobody, (68, 67), right()))
        .never_at(&[B, C])
        .but("3.6", "for another guest", say(nobody, (68, 67), dhcpv4(1, other.mac, 1)))
        .but("3.6", "for another guest, behind options", in_front)
        .but("3.6", "for one of hardware of another kind", {
            let mut message = right();
            message[1] = 6;
            say(nobody, (68, 67), message)
        })
        .but("3.6", "for one of a longer address", {
            let mut message = right();
            message[2] = 16;
            say(nobody, (68, 67), message)
        })
        .but("3.6", "as an answer", say(nobody, (68, 67), dhcpv4(2, own.mac, 2)))
        .but("3.1 3.2 3.6", "in the name of another guest", say(other.v4, (68, 67), right()))
        .but("3.4 3.6", "from another port", say(nobody, (1068, 67), right()))
        .but("3.4 3.1", "to another port", say(nobody, (68, 69), right()))
        .but("3.5", "as a server", say(nobody, (67, 68), dhcpv4(2, own.mac, 2)))
        .but("3.5", "as a server, from its address", say(own.v4, (67, 68), dhcpv4(2, own.mac, 2)))
        .but("3.4 3.6", "of one alone", unicast)
        .unseen_if(place == Host, "a martian source")
}

/// To the server that gave the address.
fn renew(net: &Net, place: Who) -> Case {
    let (own, other) = (net.party(A), net.party(B));
    let say_as = |who, ports, message: &[u8]| {
        let header = net.ipv4(who, place, UDP);
        net.frame4(
            A,
            place,
            &header.carrying(&udp(header.source.into(), header.destination.into(), ports, message)),
        )
    };
    let say = |ports, message: &[u8]| say_as(A, ports, message);
    Case::new(
        "3.6",
        format!("renews its address at {place}"),
        A,
        place,
        say((68, 67), &dhcpv4(1, own.mac, 3)),
    )
    .but("3.6", "another guest's", say((68, 67), &dhcpv4(1, other.mac, 3)))
    .but("3.6", "as an answer", say((68, 67), &dhcpv4(2, own.mac, 5)))
    .but("3.6", "in a short message", say((68, 67), &[1, 1, 6, 0]))
    .but("3.5", "as a server", say((67, 67), &dhcpv4(1, own.mac, 3)))
    .but("3.6", "through a relay agent", {
        let mut message = dhcpv4(1, own.mac, 3);
        message[24..28].copy_from_slice(&own.v4.octets());
        say((68, 67), &message)
    })
    .but("3.3 3.6", "in the name of its router", say_as(Host, (68, 67), &dhcpv4(1, own.mac, 3)))
    .but("3.6", "in the name of another guest", say_as(B, (68, 67), &dhcpv4(1, own.mac, 3)))
}

fn solicit(net: &Net, place: Who) -> Case {
    let (own, other) = (net.party(A), net.party(B));
    let servers: Ipv6Addr = "ff02::1:2".parse().expect("a group");
    let say = |source: Ipv6Addr, ports, kind| {
        let header = Ipv6::new(source, servers, UDP).hops(1);
        net.multicast6(
            A,
            &header.carrying(&udp(source.into(), servers.into(), ports, &dhcpv6(kind, own.mac))),
        )
    };
    Case::new(
        "3.6",
        format!("asks {place} for an address of IPv6"),
        A,
        place,
        say(own.local(), (546, 547), 1),
    )
    .never_at(&[B, C])
    .but("3.1 3.2 3.6", "in the name of another guest", say(other.local(), (546, 547), 1))
    .but("3.4 3.6", "in the name of nobody", say(Ipv6Addr::UNSPECIFIED, (546, 547), 1))
    .but("3.5", "as a server", say(own.local(), (547, 546), 2))
    .but("3.5", "as a relay", say(own.local(), (547, 547), 12))
    .but("3.6", "as a relay, from a client's port", say(own.local(), (546, 547), 12))
    .but("3.6", "as a relay's answer", say(own.local(), (546, 547), 13))
}

/// No UDP from a server's port, and none to a client's.
fn server4(net: &Net, place: Who) -> Case {
    let say = |options: &[u8], ports| {
        let header = Ipv4 { options: options.to_vec(), ..net.ipv4(A, place, UDP) };
        let datagram =
            udp(header.source.into(), header.destination.into(), ports, &dhcpv4(2, net.party(place).mac, 5));
        net.frame4(A, place, &header.carrying(&datagram))
    };
    let in_fragments = |ports| {
        let header = net.ipv4(A, place, UDP);
        let datagram =
            udp(header.source.into(), header.destination.into(), ports, &dhcpv4(2, net.party(place).mac, 5));
        let parts = header.in_fragments(&datagram, &[8]);
        let frames = parts.iter().map(|part| net.frame4(A, place, part)).collect();
        Shot { from: A, before: Vec::new(), frames }
    };
    let other = if place == Host { (1067, 53) } else { (1067, 1068) };
    Case::new("6.1", format!("what looks like DHCP, to other ports of {place}"), A, place, say(&[], other))
        .but("3.5", "an offer", say(&[], (67, 68)))
        .but("3.5", "from the server's port", say(&[], (67, other.1)))
        .but("3.5", "to the client's port", say(&[], (1067, 68)))
        .but("3.5", "an offer behind options", say(&[1, 1, 1, 1], (67, 68)))
        .but("3.5", "an offer behind all options that fit", say(&[1; 40], (67, 68)))
        .but_shot("3.5", "an offer in fragments", in_fragments((67, 68)))
}

fn server6(net: &Net, place: Who) -> Case {
    let say = |header: Ipv6, ports| {
        let message = dhcpv6(2, net.party(place).mac);
        net.frame6(
            A,
            place,
            &header.carrying(&udp(header.source.into(), header.destination.into(), ports, &message)),
        )
    };
    let plain = || net.ipv6(A, place, UDP);
    let other = if place == Host { (1547, 53) } else { (1547, 1546) };
    Case::new(
        "6.1",
        format!("what looks like DHCPv6, to other ports of {place}"),
        A,
        place,
        say(plain(), other),
    )
    .but("3.5", "an answer", say(plain(), (547, 546)))
    .but("3.5", "from the server's port", say(plain(), (547, other.1)))
    .but("3.5", "to the client's port", say(plain(), (1547, 546)))
    .but("3.5", "an answer behind hop-by-hop options", say(plain().with(HOP_BY_HOP, &PADDING), (547, 546)))
    .but("3.5", "an answer behind destination options", say(plain().with(DESTINATION, &PADDING), (547, 546)))
    .but("3.5", "an answer in a fragment", say(plain().fragment(0, false), (547, 546)))
    .but_shot("3.5", "an answer in fragments, the first without its ports", hidden6(net, place))
}

/// An answer of a server, of which the first fragment has options only, and the second the ports (RFC 7112).
fn hidden6(net: &Net, place: Who) -> Shot {
    let identification = u32::from(net.port());
    let header = net.ipv6(A, place, UDP);
    let (from, to) = (header.source.into(), header.destination.into());
    let datagram = udp(from, to, (547, 546), &dhcpv6(2, net.party(place).mac));
    let options = [&[UDP, 0][..], &PADDING].concat();
    let first = Ipv6 { protocol: DESTINATION, ..header.clone().fragment_of(identification, 0, true) };
    let second = Ipv6 { protocol: DESTINATION, ..header.fragment_of(identification, options.len(), false) };
    let frames = vec![
        net.frame6(A, place, &first.carrying(&options)),
        net.frame6(A, place, &second.carrying(&datagram)),
    ];
    Shot { from: A, before: Vec::new(), frames }
}

/// Servers of the segment are behind ports that are no guest's.
fn offer(net: &Net) -> Case {
    let say = |who: Who| {
        let message = dhcpv4(2, net.party(A).mac, 2);
        Shot::new(who, broadcast(net, who, net.party(who).v4, (67, 68), &message))
    };
    Case::of("6.5", "the outside offers an address", A, say(Outside)).but_shot(
        "3.5",
        "it is a guest that does",
        say(B),
    )
}

fn reply(net: &Net) -> Case {
    let say = |who: Who| {
        let header = Ipv6::new(net.party(who).local(), net.party(A).local(), UDP);
        let message = dhcpv6(2, net.party(A).mac);
        let datagram = udp(header.source.into(), header.destination.into(), (547, 546), &message);
        Shot::new(who, net.frame6(who, A, &header.carrying(&datagram)))
    };
    Case::of("6.5", "the outside offers an address of IPv6", A, say(Outside)).but_shot(
        "3.5",
        "it is a guest that does",
        say(B),
    )
}
