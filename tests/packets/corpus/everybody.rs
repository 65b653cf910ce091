//! Packets for everybody on a link, and for whichever router is there: groups, broadcasts, the address of all routers of a
//! prefix (RFC 4291 section 2.6.1). It is not routed; the host takes it as what is for itself, a bridge carries it: 6.1, 7.1 to 7.3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_lab::Mac;
use guestnet_lab::craft::ethernet::frame;
use guestnet_lab::craft::icmp::{ICMP, ICMPV6, icmp, icmpv6};
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::transport::{UDP, udp};
use guestnet_lab::frame::{IPV4, IPV6};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, D, E, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases = Vec::new();
    for to in
        [to_all4(), Ipv4Addr::BROADCAST.into(), Ipv4Addr::new(192, 0, 2, 255).into(), to_all6(), routers(net)]
    {
        cases.push(from_a_guest(net, to));
        // Over a bridge guests get it, too. And only namespaces of guests have an address in their network.
        let here = !(net.is_bridged() || net.is_own() && to == Ipv4Addr::new(192, 0, 2, 255));
        if here || to == routers(net) {
            cases.push(from_outside(net, to));
        }
        if net.is_bridged() && to != routers(net) {
            cases.push(over_a_bridge(net, to));
        }
    }
    cases
}

fn to_all4() -> IpAddr {
    Ipv4Addr::new(224, 0, 0, 1).into()
}

fn to_all6() -> IpAddr {
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into()
}

/// The subnet-router anycast address of a prefix in which the host has an address, too.
fn routers(net: &Net) -> IpAddr {
    Ipv6Addr::from(u128::from(net.party(Host).v6) >> 64 << 64).into()
}

/// A packet of `from`'s to `to`, which is for everybody, or for the host.
fn packet(
    net: &Net,
    from: Who,
    to: IpAddr,
    protocol: u8,
    carried: impl Fn(IpAddr, IpAddr) -> Vec<u8>,
) -> Vec<u8> {
    let (own, near) = (net.party(from), net.next_hop(from, Host));
    match to {
        IpAddr::V4(to) => {
            let mac = if to.is_multicast() { Mac([1, 0, 0x5e, 0, 0, 1]) } else { Mac::BROADCAST };
            let payload = carried(own.v4.into(), to.into());
            frame(mac, own.mac, IPV4, &Ipv4::new(own.v4, to, protocol).carrying(&payload))
        }
        IpAddr::V6(to) => {
            let mac = if to.is_multicast() { Mac([0x33, 0x33, 0, 0, 0, 1]) } else { near };
            let payload = carried(own.v6.into(), to.into());
            frame(mac, own.mac, IPV6, &Ipv6::new(own.v6, to, protocol).carrying(&payload))
        }
    }
}

fn datagram(net: &Net, from: Who, to: IpAddr, port: u16) -> Vec<u8> {
    packet(net, from, to, UDP, |source, to| udp(source, to, (net.port(), port), b"data"))
}

/// C has no access list; the host takes from it what `guest_services` name.
fn from_a_guest(net: &Net, to: IpAddr) -> Case {
    // Of the prefixes of guests each has its own routers.
    let own = match to {
        all if all == routers(net) && !net.is_bridged() => {
            Ipv6Addr::from(u128::from(net.party(C).v6) >> 64 << 64).into()
        }
        other => other,
    };
    Case::new("7.1", format!("asks {own} for names"), C, Host, datagram(net, C, own, 53))
        .never_at(&[A, B, D, E, Outside])
        .but("7.1 6.1", "for the time", datagram(net, C, own, 123))
        .but("7.1 6.1", "for another name", datagram(net, C, own, 5353))
}

fn from_outside(net: &Net, to: IpAddr) -> Case {
    let echo = packet(net, Outside, to, if to.is_ipv4() { ICMP } else { ICMPV6 }, |source, to| {
        let body = b"\0\x01\0\x02echodata";
        match (source, to) {
            (IpAddr::V6(source), IpAddr::V6(to)) => icmpv6(source, to, 128, 0, body),
            _ => icmp(8, 0, body),
        }
    });
    Case::new("7.2", format!("{to} is asked for an echo from outside"), Outside, Host, echo).but(
        "7.2",
        "for names, as guests may",
        datagram(net, Outside, to, 53),
    )
}

fn over_a_bridge(net: &Net, to: IpAddr) -> Case {
    Case::new("6.1", format!("UDP to {to}"), A, B, datagram(net, A, to, 4000)).never_at(&[C, D, E]).but_shot(
        "6.1 7.1",
        "from one that may send nothing",
        Shot::new(C, datagram(net, C, to, 4000)),
    )
}
