//! What the host itself sends to guests: 1.5; on a bridge, and to a guest in its namespace, 6.6.

use std::net::IpAddr;

use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::transport::UDP;

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, C, E, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    [true, false].into_iter().flat_map(|is_ipv4| of_family(net, is_ipv4)).collect()
}

/// From an address that the host has for itself: those of routers are those of the guests' links.
fn source(net: &Net, is_ipv4: bool) -> IpAddr {
    if is_ipv4 { net.at4(Outside, Host).into() } else { net.at6(Outside, Host).into() }
}

fn of_family(net: &Net, is_ipv4: bool) -> Vec<Case> {
    let say = |to: Who, port| {
        let ports = (net.port(), port);
        let frame = match source(net, is_ipv4) {
            IpAddr::V4(source) => net.udp_in4(Host, to, &Ipv4 { source, ..net.ipv4(Host, to, UDP) }, ports),
            IpAddr::V6(source) => net.udp_in6(Host, to, &Ipv6 { source, ..net.ipv6(Host, to, UDP) }, ports),
        };
        Shot::new(Host, frame)
    };
    if !net.is_bridged() && !net.is_own() {
        let name = format!("UDP from the host to a guest that gets nothing else, IPv4: {is_ipv4}");
        return vec![Case::of("1.5", name, C, say(C, 4000)).never_at(&[A, E])];
    }
    vec![
        Case::of("6.6", format!("UDP from the host to a guest, IPv4: {is_ipv4}"), A, say(A, 4000))
            .never_at(&[C, E])
            .but_shot("6.1 6.2", "that gets nothing", say(C, 4000))
            .seen_at(C),
        Case::of("6.6", format!("UDP from the host to a port of a group, IPv4: {is_ipv4}"), E, say(E, 7001))
            .but_shot("6.1", "to another port", say(E, 7003)),
    ]
}
