//! Entries that deny, and codes of ICMP: 6.3, 6.9. The lists are in `World::spec`.

use std::net::Ipv4Addr;

use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::transport::{SYN, UDP};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, D, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases = vec![prefix(net), codes4(net), codes6(net)];
    // Between namespaces guests have their public addresses.
    cases.extend((!net.is_own()).then(|| host(net)));
    for is_ipv4 in [true, false] {
        cases.extend([port(net, is_ipv4), group(net, is_ipv4), into_group(net, is_ipv4)]);
    }
    cases
}

fn udp(net: &Net, from: Who, to: Who, is_ipv4: bool, port: u16) -> Shot {
    let ports = (net.port(), port);
    Shot::new(
        from,
        if is_ipv4 {
            net.udp_in4(from, to, &net.ipv4(from, to, UDP), ports)
        } else {
            net.udp_in6(from, to, &net.ipv6(from, to, UDP), ports)
        },
    )
}

/// D gets TCP to the ports 8000 to 8100 but for 8033.
fn port(net: &Net, is_ipv4: bool) -> Case {
    let to = |port| Shot::new(Outside, net.tcp(Outside, D, is_ipv4, (net.port(), port), SYN, (1, 0)));
    Case::of("6.3", format!("TCP to a port beside one that is denied, IPv4: {is_ipv4}"), D, to(8034))
        .but_shot("6.9", "to the one that is denied", to(8033))
}

/// A member of the group sends everything, but no UDP to the port 4050, whomever it is for.
fn group(net: &Net, is_ipv4: bool) -> Case {
    Case::of("6.1", format!("UDP of a group's member, IPv4: {is_ipv4}"), B, udp(net, A, B, is_ipv4, 4051))
        .but_shot("6.9", "that the group denies", udp(net, A, B, is_ipv4, 4050))
        .but_shot("6.9", "that the group denies, outward", udp(net, A, Outside, is_ipv4, 4050))
        .seen_at(Outside)
}

/// Nor does it get UDP to the port 4060.
fn into_group(net: &Net, is_ipv4: bool) -> Case {
    let to = |port| udp(net, Outside, A, is_ipv4, port);
    Case::of("6.1", format!("UDP to a group's member, IPv4: {is_ipv4}"), A, to(4061)).but_shot(
        "6.9",
        "that the group denies",
        to(4060),
    )
}

/// D gets UDP to the port 6000 from 203.0.113.0/24 but for 203.0.113.64/26.
fn prefix(net: &Net) -> Case {
    let from = |last| {
        let header = Ipv4 { source: Ipv4Addr::new(203, 0, 113, last), ..net.ipv4(Outside, D, UDP) };
        Shot::new(Outside, net.udp_in4(Outside, D, &header, (net.port(), 6000)))
    };
    Case::of("6.3", "UDP from beside a prefix that is denied", D, from(63))
        .but_shot("6.9", "from its first address", from(64))
        .but_shot("6.9", "from its last address", from(127))
}

/// D gets ICMP of type 40 with the code 2.
fn codes4(net: &Net) -> Case {
    let say = |kind, code| Shot::new(Outside, net.icmp4(Outside, D, kind, code, &[0; 16]));
    Case::of("6.3", "ICMP with a code that a list names", D, say(40, 2))
        .but_shot("5.3 6.1 6.2", "with another code", say(40, 3))
        .but_shot("5.3 6.1 6.2", "of another type", say(41, 2))
}

/// The same of ICMPv6.
fn codes6(net: &Net) -> Case {
    let say = |kind, code| Shot::new(Outside, net.icmp6(Outside, D, kind, code, &[0; 16]));
    Case::of("6.3", "ICMPv6 with a code that a list names", D, say(200, 2))
        .but_shot("5.3 6.1 6.2", "with another code", say(200, 3))
        .but_shot("5.3 6.1 6.2", "of another type", say(201, 2))
}

/// D may not ask the port 53 of the host's network for names, but the host serves it.
fn host(net: &Net) -> Case {
    Case::of("7.1", "a service of the host that a list denies", Host, udp(net, D, Host, true, 53))
        .but_shot("6.9", "to a neighbour there", udp(net, D, B, true, 53))
        .seen_at(B)
}
