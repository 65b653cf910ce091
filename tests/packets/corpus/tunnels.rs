//! Tunnels that end at the host, or in the namespace of a guest: 7.2.

use std::net::IpAddr;

use guestnet::firewall::TunnelEnds;
use guestnet_lab::craft::ipv4::Ipv4;
use guestnet_lab::craft::ipv6::Ipv6;
use guestnet_lab::craft::transport::{UDP, udp};

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{Host, Outside};

/// ESP, and an authentication header.
const ESP: u8 = 50;
const AH: u8 = 51;

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    net.tunnels().into_iter().flat_map(|ends| [plain(net, ends), in_udp(net, ends)]).collect()
}

/// `payload` of `protocol` from `source`, which is beyond the outside, to `ends.local`.
fn frame(net: &Net, ends: TunnelEnds, source: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, ends.local) {
        (IpAddr::V4(source), IpAddr::V4(local)) => {
            net.frame4(Outside, Host, &Ipv4::new(source, local, protocol).carrying(payload))
        }
        (IpAddr::V6(source), IpAddr::V6(local)) => {
            net.frame6(Outside, Host, &Ipv6::new(source, local, protocol).carrying(payload))
        }
        _ => unreachable!("a tunnel has ends of one family"),
    }
}

/// Somebody else out there.
fn another(net: &Net, ends: TunnelEnds) -> IpAddr {
    let outside = net.party(Outside);
    if ends.local.is_ipv4() { outside.v4.into() } else { outside.v6.into() }
}

/// An SPI and a number, for which there is no state: the kernel has to take it first.
const SEALED: [u8; 40] = [7; 40];

fn plain(net: &Net, ends: TunnelEnds) -> Case {
    let say = |source, protocol| frame(net, ends, source, protocol, &SEALED);
    Case::new(
        "7.2",
        format!("ESP from the other end of a tunnel to {}", ends.local),
        Outside,
        Host,
        say(ends.remote, ESP),
    )
    .but("7.2", "from somebody else", say(another(net, ends), ESP))
    .but("7.2", "that is authenticated only", say(ends.remote, AH))
    .but("7.2", "that is GRE", say(ends.remote, 47))
}

/// RFC 3948.
fn in_udp(net: &Net, ends: TunnelEnds) -> Case {
    let say = |source, port| {
        let datagram = udp(source, ends.local, (4500, port), &SEALED);
        frame(net, ends, source, UDP, &datagram)
    };
    let name = format!("ESP in UDP from the other end of a tunnel to {}", ends.local);
    Case::new("7.2", name, Outside, Host, say(ends.remote, 4500))
        .but("7.2", "from somebody else", say(another(net, ends), 4500))
        .but("7.2", "to another port", say(ends.remote, 4501))
        .but("7.2", "to the port of IKE", say(ends.remote, 500))
}
