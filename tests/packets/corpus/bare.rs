//! Packets that pass in forms that are seldom seen, and those that the host takes from others than guests: 4.4 to 4.6, 5, 7.2, 7.3.

use std::net::Ipv6Addr;

use guestnet_lab::craft::dhcp::dhcpv6;
use guestnet_lab::craft::icmp::{ICMPV6, icmpv6, mld1};
use guestnet_lab::craft::ipv6::{HOP_BY_HOP, Ipv6, ROUTER_ALERT, solicited_node};
use guestnet_lab::craft::ndp::{self, ADVERTISEMENT, ROUTER_SOLICITATION, SOLICITATION, SOLICITED, nonce};
use guestnet_lab::craft::transport::{UDP, udp};

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, B, Far, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases = vec![router_solicitation(net), duplicates(net)];
    cases.extend(advertisements(net));
    for who in [Outside, Far] {
        cases.extend([echo4(net, who), echo6(net, who), neighbour(net, who), listener(net, who)]);
    }
    cases.push(dhcpv6_forwarded(net));
    cases
}

/// Without options, for each of its addresses.
fn advertisements(net: &Net) -> Vec<Case> {
    let (own, other) = (net.party(A), net.party(B));
    let say = |source, target| {
        let header = Ipv6::new(source, net.party(Host).v6, ICMPV6).hops(255);
        net.icmp_in6(A, Host, &header, ADVERTISEMENT, 0, &ndp::body(SOLICITED, target, &[]))
    };
    [own.v6, own.local(), own.delegated]
        .into_iter()
        .map(|target| {
            Case::new(
                "4.5",
                format!("answers for {target}, without its MAC address"),
                A,
                Host,
                say(own.v6, target),
            )
            .but("4.5", "for another guest", say(own.v6, other.v6))
            .but("3.2", "in the name of another guest", say(other.v6, target))
        })
        .collect()
}

fn router_solicitation(net: &Net) -> Case {
    let (own, other) = (net.party(A), net.party(B));
    let say = |source: Ipv6Addr| {
        let header = Ipv6::new(source, "ff02::2".parse().expect("a group"), ICMPV6).hops(255);
        let body = ndp::router_solicitation(&[]);
        net.multicast6(
            A,
            &header.carrying(&icmpv6(source, header.destination, ROUTER_SOLICITATION, 0, &body)),
        )
    };
    Case::new("4.6", "asks for routers, without its MAC address", A, Host, say(own.local())).but(
        "3.2",
        "in the name of another guest",
        say(other.local()),
    )
}

/// RFC 7527: the nonce tells its own question from another's.
fn duplicates(net: &Net) -> Case {
    let (own, other) = (net.party(A), net.party(B));
    let ask = |target: Ipv6Addr, options: &[Vec<u8>]| {
        let header = Ipv6::new(Ipv6Addr::UNSPECIFIED, solicited_node(net.party(A).v6), ICMPV6).hops(255);
        let message =
            icmpv6(header.source, header.destination, SOLICITATION, 0, &ndp::body(0, target, options));
        net.multicast6(A, &header.carrying(&message))
    };
    Case::new("4.4", "asks whether its address is another's, with a nonce", A, Host, ask(own.v6, &[nonce()]))
        .but("4.4", "about another guest's", ask(other.v6, &[nonce()]))
        .but("4.4", "with two nonces", ask(own.v6, &[nonce(), nonce()]))
}

const ECHO: &[u8] = b"\0\x01\0\x02echodata";

fn echo4(net: &Net, who: Who) -> Case {
    Case::new("5.2", format!("{who} asks the host for an echo"), who, Host, net.icmp4(who, Host, 8, 0, ECHO))
        .but("7.2", "for the time", net.icmp4(who, Host, 13, 0, &[0; 16]))
        .but("7.2", "but redirects", net.icmp4(who, Host, 5, 1, &[0; 32]))
}

fn echo6(net: &Net, who: Who) -> Case {
    let say = |kind| net.icmp6(who, Host, kind, 0, ECHO);
    Case::new("7.3", format!("{who} asks the host for an echo of IPv6"), who, Host, say(128))
        .but("7.2", "but redirects", say(137))
        .but("7.2", "but asks for its names", say(139))
        .but("7.2", "but moves", say(146))
}

fn neighbour(net: &Net, who: Who) -> Case {
    let say = |hops| {
        let header = net.ipv6(who, Host, ICMPV6).hops(hops);
        net.icmp_in6(who, Host, &header, SOLICITATION, 0, &ndp::body(0, net.party(Host).v6, &[]))
    };
    Case::new("7.3", format!("{who} asks for the host"), who, Host, say(255)).but(
        "7.2",
        "from afar",
        say(254),
    )
}

fn listener(net: &Net, who: Who) -> Case {
    let say = |source: Ipv6Addr| {
        // A group that the host is in, on all links.
        let group = "ff02::1".parse().expect("a group");
        let header = Ipv6::new(source, group, ICMPV6).hops(1).with(HOP_BY_HOP, &ROUTER_ALERT);
        net.multicast6(who, &header.carrying(&icmpv6(source, group, 131, 0, &mld1(group))))
    };
    let case = Case::new("7.3", format!("{who} reports a group"), who, Host, say(net.party(who).local()));
    // In a bridge it is the guests' to judge.
    let alone = !(net.is_bridged() && who == Outside);
    let twin = "from an address that is not of the link";
    if alone { case.but("7.2", twin, say(net.party(who).v6)) } else { case }
}

/// To one server, which is not on the link.
fn dhcpv6_forwarded(net: &Net) -> Case {
    let own = net.party(A);
    let say = |ports| {
        let header = net.ipv6(A, Far, UDP);
        let message = udp(header.source.into(), header.destination.into(), ports, &dhcpv6(5, own.mac));
        net.frame6(A, Far, &header.carrying(&message))
    };
    Case::new("6.1", "UDP by IPv6 to another network", A, Far, say((4000, 4001))).but(
        "3.6 6.8",
        "as a renewal of its address",
        say((546, 547)),
    )
}
