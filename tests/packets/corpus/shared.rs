//! A source that a guest may have, and others too: B has 10.9.0.0/16 in `sources`. 1.1, 3.1, 7.1, 7.2.

use std::net::Ipv4Addr;

use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::transport::{SYN, TCP, UDP, tcp};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, Far, Host, Outside};

const SHARED: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let udp = |who, source: Ipv4Addr| {
        let header = Ipv4 { source, ..net.ipv4(who, Far, UDP) };
        Shot::new(who, net.udp_in4(who, Far, &header, (net.port(), 4000)))
    };
    vec![
        Case::of("3.1", "B sends what it forwards for others", Far, udp(B, SHARED))
            .but_shot("3.1", "from beside it", udp(B, Ipv4Addr::new(10, 10, 0, 1)))
            .but_shot("3.1", "but it is A", udp(A, SHARED))
            .but_shot("1.1", "but it comes from the outside", udp(Outside, SHARED)),
        Case::of("7.2", "the outside asks for a shell from there", Host, shell(net, Outside)).but_shot(
            "7.1",
            "but it is B",
            shell(net, B),
        ),
    ]
}

fn shell(net: &Net, who: Who) -> Shot {
    let header = Ipv4 { source: SHARED, ..net.ipv4(who, Host, TCP) };
    let segment = tcp(SHARED.into(), header.destination.into(), (net.port(), 22), SYN, (1, 0));
    Shot::new(who, net.frame4(who, Host, &header.carrying(&segment)))
}
