//! Neighbour discovery: on guests' links, and for what is proxied on the uplink.

use std::net::Ipv6Addr;

use guestnet_core::Mac;
use guestnet_nft::evaluate::Conntrack;

use super::super::frames::{self, ICMPV6};
use super::{Class, Draft, Need, ROUTER_MAC, Sample, World};

/// A router on the uplink.
const NEAR6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

impl World<'_> {
    /// Neighbour discovery of both ends of a link, both ways.
    pub(super) fn discovery(
        &self,
        who: &str,
        link: &str,
        class: Class,
        host: (Mac, Ipv6Addr),
        guest: (Mac, Ipv6Addr),
    ) -> Vec<Sample> {
        let draft = |what: String, from: Ipv6Addr, to: Ipv6Addr, payload| Draft {
            need: Need::Discovery,
            class,
            what,
            from: from.into(),
            to: to.into(),
            protocol: ICMPV6,
            payload,
            conntrack: Conntrack::UNTRACKED,
        };
        let asks = |of: Ipv6Addr, mac| frames::discovery(135, of, 1, mac);
        let says = |of: Ipv6Addr, mac| frames::discovery(136, of, 2, mac);
        let (asked, said) = (asks(host.1, guest.0), says(guest.1, guest.0));
        let (asking, saying) = (asks(guest.1, host.0), says(host.1, host.0));
        let of = |what: &str| format!("neighbour {what} from {who}");
        let to = |what: &str| format!("the host's neighbour {what} to {who}");
        vec![
            self.taken(
                draft(of("solicitations"), guest.1, frames::solicited(host.1), &asked),
                link,
                (guest.0, host.0),
            ),
            self.taken(draft(of("advertisements"), guest.1, host.1, &said), link, (guest.0, host.0)),
            self.sent(draft(to("solicitations"), host.1, frames::solicited(guest.1), &asking), link),
            self.sent(draft(to("advertisements"), host.1, guest.1, &saying), link),
        ]
    }

    /// What the router outside asks for an address that is proxied, and what it is told.
    pub(super) fn proxied(&self, address: Ipv6Addr, uplink: &str) -> Vec<Sample> {
        let draft = |what, from: Ipv6Addr, to: Ipv6Addr, payload| Draft {
            need: Need::Proxied,
            class: Class::Uplink,
            what,
            from: from.into(),
            to: to.into(),
            protocol: ICMPV6,
            payload,
            conntrack: Conntrack::UNTRACKED,
        };
        let host = Mac([2, 0, 0, 0, 0, 1]);
        let asks = frames::discovery(135, address, 1, ROUTER_MAC);
        let says = frames::discovery(136, address, 2, host);
        let (asked, said) = (
            format!("neighbour solicitations on {uplink} for guests' addresses"),
            format!("the host's neighbour advertisements of guests' addresses on {uplink}"),
        );
        let macs = (ROUTER_MAC, host);
        vec![
            self.taken(draft(asked, NEAR6, frames::solicited(address), &asks), uplink, macs),
            self.sent(draft(said, host.link_local(), NEAR6, &says), uplink),
        ]
    }
}
