//! What headers hide: 2.6, 3.7, 3.9.

use guestnet_lab::craft::icmp::{ICMPV6, icmpv6};
use guestnet_lab::craft::ipv6::{DESTINATION, HOP_BY_HOP, PADDING, ROUTING};
use guestnet_lab::craft::ndp::{ADVERTISEMENT, SOLICITED, body};
use guestnet_lab::craft::transport::{UDP, udp};

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, B};

/// An authentication header.
const AH: u8 = 51;

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases = vec![authenticated4(net), authenticated6(net), routed(net)];
    if net.is_bridged() {
        cases.push(longer(net));
    }
    cases
}

/// `payload`, which is of `protocol`, behind an authentication header (RFC 4302).
fn behind(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = [protocol, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    [&header[..], &[0; 12], payload].concat()
}

fn datagram(net: &Net, from: Who, to: Who, is_ipv4: bool, ports: (u16, u16)) -> Vec<u8> {
    let (own, other) = (net.party(from), net.party(to));
    if is_ipv4 {
        udp(own.v4.into(), other.v4.into(), ports, b"data")
    } else {
        udp(own.v6.into(), other.v6.into(), ports, b"data")
    }
}

fn authenticated4(net: &Net) -> Case {
    let say =
        |protocol, payload: &[u8]| net.frame4(A, B, &net.ipv4(A, B, AH).carrying(&behind(protocol, payload)));
    Case::new("6.1", "IPv4 in IPv4, authenticated", A, B, say(4, &[0; 40]))
        .but("3.9", "that is DHCP from a server", say(UDP, &datagram(net, A, B, true, (67, 68))))
        .but("3.9", "that is ICMP", say(1, &[5, 0, 0, 0, 0, 0, 0, 0]))
        .but("3.9", "that is IGMP", say(2, &[0x11, 0, 0, 0, 0, 0, 0, 0]))
}

fn authenticated6(net: &Net) -> Case {
    let say =
        |protocol, payload: &[u8]| net.frame6(A, B, &net.ipv6(A, B, AH).carrying(&behind(protocol, payload)));
    let (own, other) = (net.party(A), net.party(B));
    let advertisement = icmpv6(own.v6, other.v6, ADVERTISEMENT, 0, &body(SOLICITED, other.v6, &[]));
    Case::new("6.1", "IPv6 in IPv6, authenticated", A, B, say(41, &[0; 40]))
        .but("3.9", "that is neighbour discovery", say(ICMPV6, &advertisement))
        .but("3.9", "that is DHCPv6 from a server", say(UDP, &datagram(net, A, B, false, (547, 546))))
        .but("3.9", "behind options", {
            say(DESTINATION, &[&[UDP, 0][..], &PADDING, &datagram(net, A, B, false, (547, 546))].concat())
        })
}

/// A segment routing header (RFC 8754) with nothing left to be done is no obstacle.
fn routed(net: &Net) -> Case {
    let (own, other) = (net.party(A), net.party(B));
    let segments = |left: u8| {
        let mut header = vec![4, left, 0, 0, 0, 0];
        header.extend(other.v6.octets());
        header
    };
    let carried = || udp(own.v6.into(), other.v6.into(), (net.port(), 4000), b"data");
    let header = || net.ipv6(A, B, UDP).with(ROUTING, &segments(0));
    let mut case = Case::new(
        "6.1",
        "UDP behind a routing header",
        A,
        B,
        net.frame6(A, B, &header().carrying(&carried())),
    )
    .but("3.7", "and another one of type 0", {
        net.frame6(A, B, &header().routed_through(net.party(Who::Outside).v6, 0).carrying(&carried()))
    })
    .but("3.7", "and options, and one of type 0", {
        let header = header().with(DESTINATION, &PADDING).routed_through(net.party(Who::Outside).v6, 0);
        net.frame6(A, B, &header.carrying(&carried()))
    });
    // Routers put fragments together first.
    if net.is_bridged() {
        let alone = net.frame6(A, B, &header().fragment(0, false).carrying(&carried()));
        case = case.but("3.7", "and a fragment", alone);
    }
    for (detail, kind) in [
        ("hop-by-hop options", HOP_BY_HOP),
        ("ESP", 50),
        ("an authentication header", AH),
        ("options", DESTINATION),
        ("mobility", 135),
        ("HIP", 139),
        ("shim6", 140),
    ] {
        let header = net.ipv6(A, B, kind).with(ROUTING, &segments(0));
        case = case.but(
            "3.7 3.9",
            format!("and {detail}"),
            net.frame6(A, B, &header.carrying(&[59, 0, 1, 4, 0, 0, 0, 0])),
        );
    }
    case
}

/// A packet that says it is longer than its frame: valid where the frame is filled up on its way.
fn longer(net: &Net) -> Case {
    let longer = |mut frame: Vec<u8>| {
        frame[17] += 1;
        // The checksum of the header falls by as much.
        let sum = u16::from_be_bytes([frame[24], frame[25]]).wrapping_sub(1);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let called = net.placement == crate::net::Placement::BridgedCalled;
    let reason = "br_netfilter drops what is malformed";
    let ports = |ports| net.udp_in4(A, B, &net.ipv4(A, B, UDP), ports);
    Case::new("6.1", "UDP of the right length", A, B, ports((net.port(), 4000)))
        .but("2.6", "that says it is a byte longer", longer(ports((net.port(), 4000))))
        .unseen_if(called, reason)
        .but("2.6", "that says so, from a DHCP server", longer(ports((67, 68))))
        .unseen_if(called, reason)
}
