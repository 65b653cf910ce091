//! Access lists, connections, groups, tiers: 1.1, 6. D's lists are in `World::spec`.

use std::net::Ipv4Addr;

use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::transport::{ACK, RST, SYN, UDP};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, C, D, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases = denied(net);
    for is_ipv4 in [true, false] {
        cases.extend([ports(net, is_ipv4), outward(net, is_ipv4)]);
        if net.connections {
            cases.extend([answers(net, is_ipv4), back(net, is_ipv4)]);
        }
        cases.push(members(net, is_ipv4));
    }
    cases.push(prefixes(net));
    cases.push(types(net));
    cases
}

fn udp(net: &Net, from: Who, to: Who, is_ipv4: bool, ports: (u16, u16)) -> Vec<u8> {
    if is_ipv4 {
        net.udp_in4(from, to, &net.ipv4(from, to, UDP), ports)
    } else {
        net.udp_in6(from, to, &net.ipv6(from, to, UDP), ports)
    }
}

/// Nobody speaks to whom no list lets, and who has none speaks to nobody.
fn denied(net: &Net) -> Vec<Case> {
    let mut cases = Vec::new();
    for is_ipv4 in [true, false] {
        let say = |from, to| Shot::new(from, udp(net, from, to, is_ipv4, (net.port(), 53)));
        let family = if is_ipv4 { "IPv4" } else { "IPv6" };
        cases.push(
            Case::of("6.1", format!("UDP over {family} between two that may"), B, say(A, B))
                .never_at(&[C, D])
                .but_shot("6.1 6.2", "to one that gets nothing", say(A, C))
                .seen_at(C)
                .but_shot("6.1", "from one that may send nothing", say(C, B)),
        );
        cases.push(Case::of("6.1", format!("UDP over {family} outward"), Outside, say(A, Outside)).but_shot(
            "6.1",
            "from one that may send nothing",
            say(C, Outside),
        ));
        cases.push(
            Case::of("6.1", format!("UDP over {family} from the outside"), A, say(Outside, A))
                .but_shot("6.1 6.2", "to one that gets nothing", say(Outside, C))
                .seen_at(C),
        );
        let protocol = |from: Who, to: Who, number: u8| {
            let frame = if is_ipv4 {
                net.frame4(from, to, &net.ipv4(from, to, number).carrying(&[0; 40]))
            } else {
                net.frame6(from, to, &net.ipv6(from, to, number).carrying(&[0; 40]))
            };
            Shot::new(from, frame)
        };
        for (name, number) in
            [("GRE", 47), ("ESP", 50), ("SCTP", 132), ("IPv6 in it", 41), ("what nobody knows", 253)]
        {
            cases.push(
                Case::of(
                    "6.1",
                    format!("{name} over {family} between two that may"),
                    B,
                    protocol(A, B, number),
                )
                .but_shot("6.1 6.2", "to one that gets nothing", protocol(A, C, number))
                .seen_at(C)
                .but_shot("6.1 6.2", "to one that gets something else", protocol(A, D, number))
                .seen_at(D),
            );
        }
    }
    cases
}

fn syn(net: &Net, from: Who, to: Who, is_ipv4: bool, port: u16) -> Shot {
    Shot::new(from, net.tcp(from, to, is_ipv4, (net.port(), port), SYN, (1, 0)))
}

/// D gets TCP to the ports 80, 8000 to 8100 and 8050 to 8200.
fn ports(net: &Net, is_ipv4: bool) -> Case {
    let to = |port| syn(net, Outside, D, is_ipv4, port);
    let mut case = Case::of("6.3", format!("TCP to a port of D's, IPv4: {is_ipv4}"), D, to(80));
    for port in [0, 22, 79, 81, 443, 7999, 8201, 65535] {
        case = case.but_shot("6.1", format!("to the port {port}"), to(port));
    }
    case.but_shot("6.1", "with UDP", Shot::new(Outside, udp(net, Outside, D, is_ipv4, (net.port(), 80))))
}

/// What D answers belongs to the connection; what it would begin does not.
fn answers(net: &Net, is_ipv4: bool) -> Case {
    let opened = |port: u16| {
        let client = net.port();
        let begin = net.tcp(Outside, D, is_ipv4, (client, port), SYN, (1, 0));
        (client, vec![(Outside, begin)])
    };
    let (client, before) = opened(80);
    let answer = net.tcp(D, Outside, is_ipv4, (80, client), SYN | ACK, (1, 2));
    let (other, refused) = opened(81);
    let alone = net.port();
    Case::of("6.2", format!("D answers TCP, IPv4: {is_ipv4}"), Outside, Shot::new(D, answer).after(before))
        .but_shot("6.2", "that nobody has begun", {
            Shot::new(D, net.tcp(D, Outside, is_ipv4, (80, alone), SYN | ACK, (1, 2)))
        })
        .but_shot("6.2", "that was not let in", {
            Shot::new(D, net.tcp(D, Outside, is_ipv4, (81, other), SYN | ACK, (1, 2))).after(refused)
        })
        .but_shot("6.1", "but begins it", syn(net, D, Outside, is_ipv4, net.port()))
        .but_shot("6.2", "but breaks what nobody has begun", {
            Shot::new(D, net.tcp(D, Outside, is_ipv4, (80, net.port()), RST, (1, 2)))
        })
}

/// D may send UDP to the port 53, and gets the answer.
fn outward(net: &Net, is_ipv4: bool) -> Case {
    let to = |port| Shot::new(D, udp(net, D, Outside, is_ipv4, (net.port(), port)));
    let mut case =
        Case::of("6.3", format!("D asks the outside, IPv4: {is_ipv4}"), Outside, to(53)).never_at(&[A, B, C]);
    for port in [52, 54, 123] {
        case = case.but_shot("6.1", format!("at the port {port}"), to(port));
    }
    case.but_shot("6.1", "with TCP", syn(net, D, Outside, is_ipv4, 53))
}

fn back(net: &Net, is_ipv4: bool) -> Case {
    let own = net.port();
    let before = vec![(D, udp(net, D, Outside, is_ipv4, (own, 53)))];
    let answer = |port| Shot::new(Outside, udp(net, Outside, D, is_ipv4, (53, port)));
    let from = |port| Shot::new(Outside, udp(net, Outside, D, is_ipv4, (port, own)));
    Case::of("6.2", format!("the outside answers D, IPv4: {is_ipv4}"), D, answer(own).after(before.clone()))
        .but_shot("6.1", "at another port", answer(net.port()).after(before.clone()))
        .but_shot("6.1", "from another port", from(54).after(before))
        .but_shot("6.1", "without having been asked", answer(net.port()))
}

/// D gets UDP to the port 5353 from the members of a group, of which A is one and B is not.
fn members(net: &Net, is_ipv4: bool) -> Case {
    let from = |who| Shot::new(who, udp(net, who, D, is_ipv4, (net.port(), 5353)));
    Case::of("6.3", format!("UDP from a member of the group, IPv4: {is_ipv4}"), D, from(A))
        .but_shot("6.1", "who is not a member", from(B))
        .but_shot("6.1", "who is outside", from(Outside))
}

/// D gets UDP to the port 6000 from 203.0.113.0/25 and 203.0.113.0/24 but for what is beside them.
fn prefixes(net: &Net) -> Case {
    let from = |a, b, c, d| {
        let header = Ipv4 { source: Ipv4Addr::new(a, b, c, d), ..net.ipv4(Outside, D, UDP) };
        Shot::new(Outside, net.udp_in4(Outside, D, &header, (net.port(), 6000)))
    };
    Case::of("6.3", "UDP from a prefix", D, from(203, 0, 113, 200))
        .but_shot("6.1", "from before it", from(203, 0, 112, 255))
        .but_shot("6.1", "from behind it", from(203, 0, 114, 0))
}

/// D gets ICMP of type 13.
fn types(net: &Net) -> Case {
    let say = |kind| Shot::new(Outside, net.icmp4(Outside, D, kind, 0, &[0; 16]));
    Case::of("6.3", "ICMP that a list names", D, say(13))
        .but_shot("5.3 6.1 6.2", "of the type after it", say(14))
        .but_shot("5.3 6.1 6.2", "of a type that no list names", say(17))
}
