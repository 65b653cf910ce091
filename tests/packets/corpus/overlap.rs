//! Fragments that overlap (RFC 5722), and that say two things of one packet: 6.1, 6.2. Who puts them together drops them all; who
//! looks at each by itself, as a bridge without connections does, drops the one that no list lets pass.

use guestnet_lab::craft::ipv4::MORE;
use guestnet_lab::craft::transport::{UDP, udp};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, A, B, D, Outside};

/// Beside the paragraph: the kernel drops the fragments as it puts them together.
const OVERLAPPING: &str = "6.1 unfinished";

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases = vec![ports6(net)];
    if !net.is_bridged() || net.connections {
        cases.extend([ipv4(net), ipv6(net), ports4(net)]);
    }
    cases
}

/// How long fragments are at least that a bridge with connections forwards.
const LEAST: usize = 1280 - 48;

fn shot(from: Who, frames: Vec<Vec<u8>>) -> Shot {
    Shot { from, before: Vec::new(), frames }
}

/// A fragment of IPv4: `part` of a datagram, from `at` on.
fn part4(net: &Net, (from, to): (Who, Who), at: usize, more: bool, part: &[u8]) -> Vec<u8> {
    let mut header = net.ipv4(from, to, UDP);
    header.fragment = (at / 8) as u16 | if more { MORE } else { 0 };
    net.frame4(from, to, &header.carrying(part))
}

/// A fragment of IPv6, of the packet `identification`.
fn part6(
    net: &Net,
    (from, to): (Who, Who),
    identification: u32,
    at: usize,
    more: bool,
    part: &[u8],
) -> Vec<u8> {
    let header = net.ipv6(from, to, UDP).fragment_of(identification, at, more);
    net.frame6(from, to, &header.carrying(part))
}

fn ipv4(net: &Net) -> Case {
    let ends = (A, B);
    let header = net.ipv4(A, B, UDP);
    let datagram = udp(header.source.into(), header.destination.into(), (net.port(), 4000), &[b'x'; 64]);
    let parts = |cut: usize, again: usize| {
        shot(
            A,
            vec![
                part4(net, ends, 0, true, &datagram[..cut]),
                part4(net, ends, again, false, &datagram[again..]),
            ],
        )
    };
    Case::of("6.1", "UDP in two fragments", B, parts(32, 32))
        .but_shot("unfinished", "of which the second begins in the first", parts(32, 24))
        .but_shot("unfinished", "of which the second begins behind the ports", parts(32, 8))
}

fn ipv6(net: &Net) -> Case {
    let ends = (A, B);
    let header = net.ipv6(A, B, UDP);
    let datagram = udp(header.source.into(), header.destination.into(), (net.port(), 4000), &[b'x'; 1400]);
    let parts = |again: usize| {
        let identification = u32::from(net.port());
        shot(
            A,
            vec![
                part6(net, ends, identification, 0, true, &datagram[..LEAST]),
                part6(net, ends, identification, again, false, &datagram[again..]),
            ],
        )
    };
    Case::of("6.1", "UDP of IPv6 in two fragments", B, parts(LEAST))
        .but_shot("unfinished", "of which the second begins in the first", parts(LEAST - 8))
        .but_shot("unfinished", "of which the second begins behind the ports", parts(8))
}

/// The first fragment comes twice, with two ports.
fn ports4(net: &Net) -> Case {
    let ends = (D, Outside);
    let header = net.ipv4(D, Outside, UDP);
    let to = |source, port| udp(header.source.into(), header.destination.into(), (source, port), &[b'x'; 64]);
    let parts = |ports: &[u16]| {
        let source = net.port();
        let firsts = ports.iter().map(|port| part4(net, ends, 0, true, &to(source, *port)[..32]));
        let last = part4(net, ends, 32, false, &to(source, ports[0])[32..]);
        shot(D, firsts.chain([last]).collect())
    };
    Case::of("6.3", "UDP in fragments to a port of D's list", Outside, parts(&[53]))
        .but_shot("6.1", "to another port", parts(&[54]))
        // Of two first ones of one length the kernel keeps the one that came first.
        .but_shot(OVERLAPPING, "that say another port before", parts(&[54, 53]))
}

fn ports6(net: &Net) -> Case {
    let ends = (D, Outside);
    let header = net.ipv6(D, Outside, UDP);
    let first = |identification, source, port| {
        let datagram = udp(header.source.into(), header.destination.into(), (source, port), &[b'x'; 1400]);
        part6(net, ends, identification, 0, true, &datagram[..LEAST])
    };
    let last = |identification| part6(net, ends, identification, LEAST, false, &[b'x'; 1400 + 8 - LEAST]);
    let parts = |port| {
        let (identification, source) = (u32::from(net.port()), net.port());
        shot(D, vec![first(identification, source, port), last(identification)])
    };
    // The number that is looked for is in the flow label: what was said before has another.
    let again = |port| {
        let (identification, source) = (u32::from(net.port()), net.port());
        shot(D, vec![first(identification, source, port), last(identification)])
            .after(vec![(D, first(identification, source, 53))])
    };
    Case::of("6.3", "UDP of IPv6 in fragments to a port of D's list", Outside, parts(53))
        .but_shot("6.1", "to another port", parts(54))
        .but_shot(OVERLAPPING, "that say another port as well", again(54))
}
