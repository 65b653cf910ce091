//! Memberships of multicast groups: 4.7. MLD has a hop-by-hop header before it (RFC 2710 section 3).

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_lab::Mac;
use guestnet_lab::craft::ethernet::frame;
use guestnet_lab::craft::icmp::{ICMPV6, IGMP, icmp, icmpv6, mld1, mld2_report};
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::{HOP_BY_HOP, Ipv6, ROUTER_ALERT};
use guestnet_lab::frame::IPV4;

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, B, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let places: &[Who] = if net.is_bridged() { &[B, Outside, Host] } else { &[Host] };
    let cases =
        |place: &Who| [report(net, *place), done(net, *place), igmp(net, *place), unnamed(net, *place)];
    places.iter().flat_map(cases).collect()
}

fn group(text: &str) -> Ipv6Addr {
    text.parse().expect("a group")
}

fn report(net: &Net, place: Who) -> Case {
    let own = net.party(A).local();
    let say = |header: Ipv6, kind, body: &[u8]| {
        let alerted = header.with(HOP_BY_HOP, &ROUTER_ALERT);
        let message = icmpv6(alerted.source, alerted.destination, kind, 0, body);
        net.multicast6(A, &alerted.carrying(&message))
    };
    let header = |source| Ipv6::new(source, group("ff02::16"), ICMPV6).hops(1);
    let body = mld2_report(group("ff02::1:ff00:1"));
    Case::new("4.7", format!("reports a group, {place} hears it"), A, place, say(header(own), 143, &body))
        .but("3.2", "in the name of another guest", say(header(net.party(B).local()), 143, &body))
        .but("4.7", "from an address that is not link-local", say(header(net.party(A).v6), 143, &body))
        .but("4.7", "from afar", say(header(own).hops(64), 143, &body))
        .but("4.7", "with a hop limit of neighbours", say(header(own).hops(255), 143, &body))
        .but("4.3", "but asks, as a router", {
            let query = [&mld1(Ipv6Addr::UNSPECIFIED)[..], &[2, 125, 0, 0]].concat();
            let header = Ipv6 { destination: group("ff02::1"), ..header(own) };
            say(header, 130, &query)
        })
        .but("4.3", "but asks as a router does, of the routers", {
            say(header(own), 130, &mld1(Ipv6Addr::UNSPECIFIED))
        })
        .but("4.3", "but says that it routes groups", say(header(own), 151, &[0; 4]))
        .but("4.3", "but asks who routes groups", say(header(own), 152, &[0; 4]))
}

/// MLDv1, to the routers.
fn done(net: &Net, place: Who) -> Case {
    let say = |source, hops| {
        let header = Ipv6::new(source, group("ff02::2"), ICMPV6).hops(hops).with(HOP_BY_HOP, &ROUTER_ALERT);
        let body = mld1(group("ff02::1:ff00:1"));
        net.multicast6(A, &header.carrying(&icmpv6(source, header.destination, 132, 0, &body)))
    };
    Case::new("4.7", format!("leaves a group, {place} hears it"), A, place, say(net.party(A).local(), 1))
        .but("3.2", "in the name of another guest", say(net.party(B).local(), 1))
        .but("4.7", "from afar", say(net.party(A).local(), 2))
}

/// A message of `protocol` to all hosts, the one group that everybody is in.
fn to_all(net: &Net, source: Ipv4Addr, ttl: u8, protocol: u8, message: &[u8]) -> Vec<u8> {
    let header = Ipv4 {
        ttl,
        options: vec![0x94, 4, 0, 0],
        ..Ipv4::new(source, Ipv4Addr::new(224, 0, 0, 1), protocol)
    };
    frame(Mac([1, 0, 0x5e, 0, 0, 1]), net.party(A).mac, IPV4, &header.carrying(message))
}

fn igmp_message(kind: u8) -> Vec<u8> {
    icmp(kind, 0, &Ipv4Addr::new(233, 252, 0, 1).octets())
}

/// Who has no address yet reports from none (RFC 3376 section 4.2.13).
fn unnamed(net: &Net, place: Who) -> Case {
    let say = |ttl, kind| to_all(net, Ipv4Addr::UNSPECIFIED, ttl, IGMP, &igmp_message(kind));
    Case::new("4.7", format!("reports a group without an address, {place} hears it"), A, place, say(1, 0x22))
        .but("4.7", "from afar", say(2, 0x22))
        .but("4.7", "but asks, as a router", say(1, 0x11))
        .but("3.1", "with what is no report", {
            to_all(net, Ipv4Addr::UNSPECIFIED, 1, guestnet_lab::craft::transport::UDP, &[0; 16])
        })
}

/// Protocol Independent Multicast: what routers of groups say.
const PIM: u8 = 103;

fn igmp(net: &Net, place: Who) -> Case {
    let say = |source, kind| to_all(net, source, 1, IGMP, &igmp_message(kind));
    let own = net.party(A).v4;
    Case::new(
        "4.7",
        format!("reports a group of IPv4, {place} hears it"),
        A,
        place,
        say(net.party(A).v4, 0x16),
    )
    .but("3.1", "in the name of another guest", say(net.party(B).v4, 0x16))
    .but("4.7", "but asks, as a router", say(own, 0x11))
    .but("4.7", "but says that it routes groups", say(own, 0x30))
    .but("4.7", "but traces groups", say(own, 0x1f))
    .but("4.7", "from afar", to_all(net, own, 64, IGMP, &igmp_message(0x16)))
    .but("4.7", "but greets routers", to_all(net, own, 1, PIM, &[0x20, 0, 0xdf, 0xff, 0, 1, 0, 2, 0, 105]))
    .but(
        "4.3",
        "but says that it routes",
        to_all(net, own, 1, 1, &icmp(9, 0, &[1, 2, 7, 8, 192, 0, 2, 10, 0, 0, 0, 0])),
    )
}
