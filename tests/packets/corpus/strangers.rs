//! What is a guest's is nobody else's: 3.8.

use std::net::Ipv6Addr;

use guestnet_lab::Mac;
use guestnet_lab::craft::arp::Arp;
use guestnet_lab::craft::ethernet::frame;
use guestnet_lab::craft::icmp::ICMPV6;
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::ndp::{ADVERTISEMENT, SOLICITED, body, target_mac};
use guestnet_lab::craft::transport::{SYN, TCP, UDP, tcp};
use guestnet_lab::frame::ARP;

use crate::case::Case;
use crate::net::Who::{self, A, B, Far, Host, Outside};
use crate::net::{Net, OWN6};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases: Vec<Case> = [Outside, Far].into_iter().flat_map(|who| sources(net, who)).collect();
    cases.extend([Outside, Far].map(|who| at_the_host(net, who)));
    if net.is_bridged() {
        cases.extend([station(net), arp(net), advertisement(net)]);
    }
    cases
}

fn sources(net: &Net, who: Who) -> [Case; 2] {
    let other = net.party(B);
    let ports = || (net.port(), 4000);
    let udp4 = |source| net.udp_in4(who, A, &Ipv4 { source, ..net.ipv4(who, A, UDP) }, ports());
    let udp6 = |source| net.udp_in6(who, A, &Ipv6 { source, ..net.ipv6(who, A, UDP) }, ports());
    let mut ipv6 = Case::new("6.1", format!("UDP over IPv6 from {who}"), who, A, udp6(net.party(who).v6))
        .but("3.8", "from a guest's address", udp6(other.v6))
        .but("3.8", "from a guest's prefix", udp6(other.delegated))
        .but("3.8", "from the address of the guest it is for", udp6(net.party(A).v6));
    if who == Far || !net.is_bridged() {
        ipv6 = ipv6
            .but("3.8", "from an address of the host on a guest's link", udp6(net.party(Host).v6))
            .but("3.8", "from an address of the host", udp6(OWN6));
    }
    if net.is_bridged() && who == Outside {
        ipv6 = ipv6.but("3.8", "from a guest's link-local address", udp6(other.local()));
    }
    [
        Case::new("6.1", format!("UDP from {who}"), who, A, udp4(net.party(who).v4))
            .but("3.8", "from a guest's address", udp4(net.known4(B)))
            .but("3.8", "from the address of the guest it is for", udp4(net.known4(A))),
        ipv6,
    ]
}

/// The kernel drops such packets of IPv4 by itself, and takes those of IPv6.
fn at_the_host(net: &Net, who: Who) -> Case {
    let shell = |source: Ipv6Addr| {
        let header = Ipv6 { source, ..net.ipv6(who, Host, TCP) };
        let segment = tcp(source.into(), header.destination.into(), (net.port(), 22), SYN, (1, 0));
        net.frame6(who, Host, &header.carrying(&segment))
    };
    Case::new("7.2", format!("{who} asks the host for a shell"), who, Host, shell(net.party(who).v6)).but(
        "3.8",
        "from an address of the host",
        shell(OWN6),
    )
}

fn station(net: &Net) -> Case {
    let packet = |source: Mac| {
        let packet = net.udp4(Outside, A, 4000);
        frame(net.party(A).mac, source, guestnet_lab::frame::IPV4, &packet[14..])
    };
    Case::new("6.1", "UDP through a port that is nobody's", Outside, A, packet(net.party(Outside).mac)).but(
        "3.8",
        "with a guest's MAC address",
        packet(net.party(B).mac),
    )
}

fn arp(net: &Net) -> Case {
    let (own, to, other) = (net.party(Outside), net.party(A), net.party(B));
    let say = |message: Arp| frame(to.mac, own.mac, ARP, &message.bytes());
    Case::new("6.5", "asks for a guest", Outside, A, say(Arp::request(own.mac, own.v4, to.v4)))
        .but("3.8", "in the name of another guest", say(Arp::request(own.mac, other.v4, to.v4)))
        .but("3.8", "as another guest's answer", say(Arp::reply(own.mac, other.v4, to.mac, to.v4)))
}

fn advertisement(net: &Net) -> Case {
    let (own, other) = (net.party(Outside), net.party(B));
    let say = |target| {
        let header = net.ipv6(Outside, A, ICMPV6).hops(255);
        net.icmp_in6(Outside, A, &header, ADVERTISEMENT, 0, &body(SOLICITED, target, &[target_mac(own.mac)]))
    };
    Case::new("6.5", "says where it is", Outside, A, say(own.v6))
        .but("3.8", "of another guest's address", say(other.v6))
        .but("3.8", "of an address in another guest's prefix", say(other.delegated))
        .but("3.8", "of another guest's link-local address", say(other.local()))
}
