//! What neighbour discovery must not look like, whatever it says: RFC 6980, RFC 4861 section 7.1.

use guestnet_lab::Mac;
use guestnet_lab::craft::icmp::icmpv6;
use guestnet_lab::craft::ipv6::{DESTINATION, HOP_BY_HOP, Ipv6, PADDING, ROUTER_ALERT, ROUTING};
use guestnet_lab::craft::ndp::option;

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{A, B, Host};

/// A message that is right as it is.
pub struct Said {
    /// Its header.
    pub header: Ipv6,
    /// Its type.
    pub kind: u8,
    /// What follows its checksum.
    pub body: Vec<u8>,
}

impl Said {
    fn message(&self, code: u8) -> Vec<u8> {
        icmpv6(self.header.source, self.header.destination, self.kind, code, &self.body)
    }
}

/// The message with one more extension header, in fragments, from afar.
pub fn headers(net: &Net, mut case: Case, said: &Said) -> Case {
    let frame = |packet: Vec<u8>| match said.header.destination.is_multicast() {
        true => net.multicast6(A, &packet),
        false => net.frame6(A, case_to(&said.header, net), &packet),
    };
    let message = said.message(0);
    let near = said.header.clone().hops(255);
    let deep = near.clone().with(HOP_BY_HOP, &PADDING).with(DESTINATION, &PADDING);
    let many = (0..6).fold(near.clone(), |header, _| header.with(DESTINATION, &PADDING));
    let long = near.clone().with(DESTINATION, &[&[1, 252][..], &[0; 252]].concat());
    for (detail, header) in [
        ("behind hop-by-hop options", near.clone().with(HOP_BY_HOP, &PADDING)),
        ("behind a router alert", near.clone().with(HOP_BY_HOP, &ROUTER_ALERT)),
        ("behind destination options", near.clone().with(DESTINATION, &PADDING)),
        ("behind long destination options", long),
        ("behind a routing header", near.clone().with(ROUTING, &[4, 0, 0, 0, 0, 0])),
        ("behind two extension headers", deep),
        ("behind six extension headers", many),
        ("as a fragment that is whole", near.clone().fragment(0, false)),
        (
            "as a whole fragment behind destination options",
            near.clone().with(DESTINATION, &PADDING).fragment(0, false),
        ),
        (
            "as a whole fragment before destination options",
            near.clone().fragment(0, false).with(DESTINATION, &PADDING),
        ),
    ] {
        case = case.but("4.1", detail, frame(header.carrying(&message)));
    }
    for (detail, cut) in [
        ("in two fragments", (message.len() - 1) / 8 * 8),
        ("in fragments, the first with the header only", 8),
    ] {
        let parts = near.in_fragments(u32::from(net.port()), &message, &[cut]);
        let frames = parts.into_iter().map(&frame).collect();
        case = case.but_shot("4.1", detail, Shot { from: A, before: Vec::new(), frames });
    }
    // The type itself is in the second fragment.
    let options = near.clone().fragment_of(u32::from(net.port()), 0, true);
    let first = Ipv6 { protocol: DESTINATION, ..options }.carrying(&[&[58, 0][..], &PADDING].concat());
    let shot = Shot { from: A, before: Vec::new(), frames: vec![frame(first)] };
    case = case.but_shot("4.1", "in fragments, the first without its type", shot);
    case = case.but("4.2", "from afar", frame(said.header.clone().hops(254).carrying(&message)));
    case = case.but("4.2", "from far afar", frame(said.header.clone().hops(64).carrying(&message)));
    case.but("4.2", "with a code", frame(near.carrying(&said.message(1))))
}

fn case_to(header: &Ipv6, net: &Net) -> crate::net::Who {
    let is = |who: &crate::net::Who| {
        let party = net.party(*who);
        [party.v6, party.local()].contains(&header.destination)
    };
    crate::net::ALL.into_iter().find(is).unwrap_or(Host)
}

/// The message with other link-layer options than the one that is right. `make` makes the option, `with` the frame.
pub fn macs(
    net: &Net,
    mut case: Case,
    paragraph: &'static str,
    right: &[u8],
    make: fn(Mac) -> Vec<u8>,
    with: &dyn Fn(&[Vec<u8>]) -> Vec<u8>,
) -> Case {
    let other = make(net.party(B).mac);
    let kind = right[0];
    let unknown = option(200, &[0; 6]);
    for (detail, options) in [
        ("with another guest's MAC address", vec![other.clone()]),
        ("with its router's MAC address", vec![make(net.next_hop(A, Host))]),
        ("with everybody's MAC address", vec![make(Mac::BROADCAST)]),
        ("with its own MAC address and then another's", vec![right.to_vec(), other.clone()]),
        ("with another's MAC address and then its own", vec![other.clone(), right.to_vec()]),
        ("with its own twice", vec![right.to_vec(), right.to_vec()]),
        ("with an unknown option before another's", vec![unknown.clone(), other.clone()]),
        ("with an unknown option before its own", vec![unknown.clone(), right.to_vec()]),
        ("with an unknown option behind its own", vec![right.to_vec(), unknown.clone()]),
        ("with an unknown option alone", vec![unknown.clone()]),
        ("with an option of no length", vec![vec![kind, 0, 2, 0, 0x5e, 0, 0x53, 10]]),
        ("with its own and an option of no length", vec![right.to_vec(), vec![kind, 0, 0, 0, 0, 0, 0, 0]]),
        ("with an option that is longer than the message", vec![vec![kind, 2, 2, 0, 0x5e, 0, 0x53, 10]]),
        ("with a MAC address of 14 bytes", vec![option(kind, &[&net.party(A).mac.0[..], &[0; 8]].concat())]),
        ("with half an option", vec![right[..4].to_vec()]),
        ("with a byte behind its own", vec![right.to_vec(), vec![0]]),
    ] {
        case = case.but(paragraph, detail, with(&options));
    }
    case
}
