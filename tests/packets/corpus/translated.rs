//! Addresses that are translated: 3.1, 3.8, 6.1, 6.4. Where guests are routed to in one namespace E has a public address, where
//! each has its own all have one.

use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::transport::UDP;

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, D, E, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let Some(public) = net.party(E).public else { return Vec::new() };
    let to = |from, port| {
        let header = Ipv4 { destination: public, ..net.ipv4(from, E, UDP) };
        net.udp_in4(from, E, &header, (net.port(), port))
    };
    let from = |who: Who, place: Who, source, port| {
        let header = Ipv4 { source, ..net.ipv4(who, place, UDP) };
        net.udp_in4(who, place, &header, (net.port(), port))
    };
    let own = net.party(E).v4;
    vec![
        Case::new("6.1", "UDP to the public address of E", Outside, E, to(Outside, 7001)).but(
            "6.1",
            "to a port of no list",
            to(Outside, 7003),
        ),
        // A tier is about public addresses, too.
        Case::new("6.4", "UDP by a tier to the public address of E", D, E, to(D, 5432)).but(
            "6.1",
            "to another port",
            to(D, 5433),
        ),
        Case::new("3.1", "UDP from the private address of E", E, Outside, from(E, Outside, own, 7011))
            .but("3.1", "from its public one, which is not for it to say", from(E, Outside, public, 7011))
            .but("6.1", "to a port of no list", from(E, Outside, own, 7013)),
        Case::new("6.1", "UDP from outside", Outside, A, from(Outside, A, net.party(Outside).v4, 4000)).but(
            "3.8",
            "from the public address of E",
            from(Outside, A, public, 4000),
        ),
    ]
}
