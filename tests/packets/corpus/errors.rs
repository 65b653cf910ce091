//! Errors about connections: 6.2, 3.10. Who sends one has to be an end of the connection.

use guestnet_lab::craft::icmp::{ICMP, ICMPV6, icmp, icmpv6};
use guestnet_lab::craft::transport::{SYN, UDP};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, C, D, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    if net.connections { vec![ipv4(net), ipv6(net), begun4(net), begun6(net)] } else { Vec::new() }
}

/// The packet in `frame` as D gets it, which has translated addresses as they are to it.
fn got(net: &Net, frame: &[u8]) -> Vec<u8> {
    let mut packet = frame[14..].to_vec();
    if packet[0] >> 4 == 4 {
        packet[16..20].copy_from_slice(&net.party(D).v4.octets());
    }
    packet
}

/// The sender of an error, its type and code, about what the outside has begun with D.
fn about(net: &Net, is_ipv4: bool, from: Who, kind: u8, code: u8) -> Shot {
    let begun = net.tcp(Outside, D, is_ipv4, (net.port(), 80), SYN, (1, 0));
    let quoted = got(net, &begun);
    let frame = if is_ipv4 {
        let body = [&[0; 4], &quoted[..28]].concat();
        net.frame4(from, Outside, &net.ipv4(from, Outside, ICMP).carrying(&icmp(kind, code, &body)))
    } else {
        let body = [&[0; 4], &quoted[..48]].concat();
        let header = net.ipv6(from, Outside, ICMPV6);
        let message = icmpv6(header.source, header.destination, kind, code, &body);
        net.frame6(from, Outside, &header.carrying(&message))
    };
    Shot::new(from, frame).after(vec![(Outside, begun.clone())])
}

/// Connections that D has begun itself, and the outside has answered: the answer is what the error quotes.
fn begun(net: &Net, is_ipv4: bool) -> Shot {
    let (own, (from, to)) = (net.port(), (D, Outside));
    let frames = if is_ipv4 {
        let answer = net.udp_in4(to, from, &net.ipv4(to, from, UDP), (53, own));
        [net.udp_in4(from, to, &net.ipv4(from, to, UDP), (own, 53)), answer]
    } else {
        let answer = net.udp_in6(to, from, &net.ipv6(to, from, UDP), (53, own));
        [net.udp_in6(from, to, &net.ipv6(from, to, UDP), (own, 53)), answer]
    };
    let [asked, answer] = frames;
    let quoted = got(net, &answer);
    let frame = if is_ipv4 {
        let body = [&[0; 4], &quoted[..28]].concat();
        net.frame4(D, Outside, &net.ipv4(D, Outside, ICMP).carrying(&icmp(3, 3, &body)))
    } else {
        let body = [&[0; 4], &quoted[..48]].concat();
        let header = net.ipv6(D, Outside, ICMPV6);
        net.frame6(D, Outside, &header.carrying(&icmpv6(header.source, header.destination, 1, 4, &body)))
    };
    Shot::new(D, frame).after(vec![(D, asked), (Outside, answer)])
}

fn begun4(net: &Net) -> Case {
    Case::of("5.2", "D says that the port is closed by which it has asked", Outside, begun(net, true))
}

fn begun6(net: &Net) -> Case {
    Case::of(
        "5.1",
        "D says by IPv6 that the port is closed by which it has asked",
        Outside,
        begun(net, false),
    )
}

fn ipv4(net: &Net) -> Case {
    let about = |from, kind, code| about(net, true, from, kind, code);
    Case::of("5.2", "D says that a port of its is closed", Outside, about(D, 3, 3))
        .but_shot("4.3", "but a shorter way", about(D, 5, 1))
        .but_shot("4.3", "but a shorter way to another", about(C, 5, 1))
        .but_shot("6.2", "but that it is too much", about(D, 4, 0))
        .but_shot("3.10", "about which another guest cannot know", about(C, 3, 3))
        .but_shot("3.10", "about whose time another guest cannot know", about(C, 11, 0))
}

fn ipv6(net: &Net) -> Case {
    let about = |from, kind, code| about(net, false, from, kind, code);
    Case::of("5.1", "D says by IPv6 that a port of its is closed", Outside, about(D, 1, 4))
        .but_shot("6.1 6.2", "but what nobody knows", about(D, 100, 0))
        .but_shot("6.1 6.2", "but what nobody knows, about another", about(C, 100, 0))
        .but_shot("3.10", "about which another guest cannot know", about(C, 1, 4))
        .but_shot("3.10", "about the size of whose packets another guest cannot know", about(C, 2, 0))
}
