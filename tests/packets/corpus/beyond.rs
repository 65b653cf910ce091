//! Packets that the host routes for a bridge, and those that it routes for nobody: 1.1, 6.8.

use std::net::Ipv4Addr;

use guestnet_lab::craft::dhcp::dhcpv4;
use guestnet_lab::craft::icmp::{IGMP, icmp};
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ndp::{SOLICITATION, body};
use guestnet_lab::craft::transport::{UDP, udp};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, Far, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases: Vec<Case> = [true, false].into_iter().flat_map(|ipv4| through(net, ipv4)).collect();
    cases.extend([on_link4(net), on_link6(net)]);
    cases
}

/// UDP from `from` to `to`.
fn say(net: &Net, from: Who, to: Who, is_ipv4: bool, port: u16) -> Shot {
    Shot::new(from, if is_ipv4 { net.udp4(from, to, port) } else { net.udp6(from, to, port) })
}

fn through(net: &Net, is_ipv4: bool) -> [Case; 3] {
    let family = if is_ipv4 { "IPv4" } else { "IPv6" };
    let say = |from, to, port| say(net, from, to, is_ipv4, port);
    [
        // Names are what guests may ask the host for.
        Case::of("6.1", format!("UDP over {family} to another network"), Far, say(A, Far, 53))
            .but_shot("6.1 6.8", "from one that may only ask the host", say(C, Far, 53))
            .but_shot("6.1 6.8", "from one that may send nothing", say(C, Far, 123))
            .but_shot("1.1", "from the outside", say(Outside, Far, 53)),
        Case::of("6.1", format!("UDP over {family} from another network"), A, say(Far, A, 4000))
            .but_shot("6.1", "to one that gets nothing", say(Far, C, 4000))
            .seen_at(C)
            .but_shot("1.1", "to the outside", say(Far, Outside, 4000))
            .seen_at(Outside),
        Case::of("6.1", format!("UDP over {family} to another guest, from it"), B, say(Far, B, 53))
            .never_at(&[A]),
    ]
}

/// Packets that stay on their link are not routed, whoever they are for.
fn on_link4(net: &Net) -> Case {
    let own = net.party(A);
    let dhcp = {
        let header = net.ipv4(A, Far, UDP);
        let datagram = udp(header.source.into(), header.destination.into(), (68, 67), &dhcpv4(1, own.mac, 1));
        net.frame4(A, Far, &header.carrying(&datagram))
    };
    let igmp = |ttl| {
        let header = Ipv4 { ttl, ..net.ipv4(A, Far, IGMP) };
        let message = icmp(0x16, 0, &Ipv4Addr::new(233, 252, 0, 1).octets());
        net.frame4(A, Far, &header.carrying(&message))
    };
    Case::of("6.1", "UDP to another network", Far, say(net, A, Far, true, 4000))
        .but("3.6 6.8", "to its DHCP server", dhcp)
        .but("4.7", "as a report of a group", igmp(64))
        .but("4.7", "as a report of a group that hardly gets there", igmp(if net.is_own() { 3 } else { 2 }))
}

fn on_link6(net: &Net) -> Case {
    let header = net.ipv6(A, Far, guestnet_lab::craft::icmp::ICMPV6).hops(255);
    let solicitation = net.icmp_in6(A, Far, &header, SOLICITATION, 0, &body(0, net.party(Far).v6, &[]));
    Case::of("6.1", "UDP over IPv6 to another network", Far, say(net, A, Far, false, 4000)).but(
        "4.3 6.1 6.8",
        "as a neighbour solicitation",
        solicitation,
    )
}
