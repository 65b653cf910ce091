//! Prefixes whose lengths are no whole bytes, at their first and last addresses: 3.1, 3.2, 3.8, 6.3. B has a /61 and sends from
//! a /19; lists of D are about a /22 and a /45.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::transport::UDP;

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, D, Far, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases = Vec::new();
    let prefix = net.party(B).delegated.segments()[2];
    let at = |third, fourth, low| Ipv6Addr::from([0x2001, 0xdb8, third, fourth, low, low, low, low]);
    for own in [at(prefix, 0, 0), at(prefix, 7, 0xffff)] {
        let beside = [at(prefix - 1, 0xffff, 0xffff), at(prefix, 8, 0)];
        cases.push(sources(net, "3.2", Outside, own.into(), beside.map(IpAddr::from)));
        cases.push(strangers(net, beside[1], own));
    }
    for own in [[10, 9, 0, 0], [10, 9, 31, 255]] {
        let beside = [[10, 8, 255, 255], [10, 9, 32, 0]].map(IpAddr::from);
        cases.push(sources(net, "3.1", Far, own.into(), beside));
    }
    for peer in [[203, 0, 116, 0], [203, 0, 119, 255]] {
        let beside = [[203, 0, 115, 255], [203, 0, 120, 0]].map(IpAddr::from);
        cases.extend(entries(net, peer.into(), beside));
    }
    for peer in [at(0xf0, 0, 0), at(0xf7, 0xffff, 0xffff)] {
        let beside = [at(0xef, 0xffff, 0xffff), at(0xf8, 0, 0)].map(IpAddr::from);
        cases.extend(entries(net, peer.into(), beside));
    }
    cases
}

/// UDP from `from` by way of `to`, with another source or destination.
fn udp(
    net: &Net,
    from: Who,
    to: Who,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    port: u16,
) -> Shot {
    let v4 = |address| match address {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    };
    let v6 = |address| match address {
        Some(IpAddr::V6(address)) => Some(address),
        _ => None,
    };
    let is_ipv4 = v4(source).or(v4(destination)).is_some();
    let frame = if is_ipv4 {
        let header = net.ipv4(from, to, UDP);
        let source: Ipv4Addr = v4(source).unwrap_or(header.source);
        let destination = v4(destination).unwrap_or(header.destination);
        net.udp_in4(from, to, &Ipv4 { source, destination, ..header }, (net.port(), port))
    } else {
        let header = net.ipv6(from, to, UDP);
        let source = v6(source).unwrap_or(header.source);
        let destination = v6(destination).unwrap_or(header.destination);
        net.udp_in6(from, to, &Ipv6 { source, destination, ..header }, (net.port(), port))
    };
    Shot::new(from, frame)
}

fn sources(net: &Net, paragraph: &'static str, place: Who, own: IpAddr, beside: [IpAddr; 2]) -> Case {
    let from = |source| udp(net, B, place, Some(source), None, 4000);
    let case = Case::of(paragraph, format!("UDP from {own}, which B may send from"), place, from(own));
    beside.into_iter().fold(case, |case, other| {
        case.but_shot(paragraph, format!("from {other}, which is beside"), from(other))
    })
}

/// What is beside a guest's prefix is not the guest's.
fn strangers(net: &Net, beside: Ipv6Addr, own: Ipv6Addr) -> Case {
    let from = |source: Ipv6Addr| udp(net, Outside, A, Some(source.into()), None, 4000);
    Case::of("3.8", format!("UDP from outside, from {beside}"), A, from(beside)).but_shot(
        "3.8",
        format!("from {own}, which is B's"),
        from(own),
    )
}

fn entries(net: &Net, peer: IpAddr, beside: [IpAddr; 2]) -> [Case; 2] {
    let from = |source| udp(net, Outside, D, Some(source), None, 6001);
    let to = |destination| udp(net, D, Outside, None, Some(destination), 6001);
    let into = Case::of("6.3", format!("UDP from {peer}, which an entry of D's is about"), D, from(peer));
    let out = Case::of("6.3", format!("UDP to {peer}, which an entry of D's is about"), Outside, to(peer));
    [
        beside.iter().fold(into, |case, other| {
            case.but_shot("6.1", format!("from {other}, which is beside"), from(*other))
        }),
        beside.iter().fold(out, |case, other| {
            case.but_shot("6.1", format!("to {other}, which is beside"), to(*other))
        }),
    ]
}
