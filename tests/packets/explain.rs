//! What `guestnet explain` says of a frame, where its words can say what the frame is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_lab::craft::icmp::{ICMP, ICMPV6};
use guestnet_lab::craft::transport::{SYN, TCP, UDP};
use guestnet_lab::frame::{IPV4, IPV6, Packet};
use guestnet_lab::{Frame, Mac};
use ipnet::Ipv6Net;

use crate::case::Shot;
use crate::net::Who::{self, Dock, Host, Kin, Outside};
use crate::net::{ALL, GUESTS, Net, OWN6};

/// A frame in the words of `guestnet explain`.
pub struct Words {
    /// The question.
    pub text: String,
    /// What is so in the lab and may be unknown to the spec.
    so: Option<&'static str>,
}

impl Words {
    /// Whether anything of `unknown` is so.
    pub fn is_so(&self, unknown: &[String]) -> bool {
        self.so.is_some_and(|words| unknown.iter().any(|what| what.contains(words)))
    }
}

/// The frame that comes out at `place` if it does: one packet that begins a connection, without headers between IP and what
/// it carries, and no message of neighbours.
pub fn words(net: &Net, shot: &Shot, place: Who) -> Option<Words> {
    let [frame] = shot.frames.as_slice() else { return None };
    if !shot.before.is_empty() {
        return None;
    }
    let is_plain = match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
        IPV4 => {
            let length = u16::from_be_bytes(frame.get(16..18)?.try_into().ok()?);
            frame.get(14) == Some(&0x45) && usize::from(length) + 14 <= frame.len()
        }
        IPV6 => frame.get(14)? >> 4 == 6 && [TCP, UDP, ICMPV6, ESP].contains(frame.get(20)?),
        _ => false,
    };
    let frame = Frame(frame.clone());
    let packet = frame.packet().filter(|_| is_plain)?;
    let carried = carried(&packet)?;
    if GUESTS.contains(&shot.from) && is_about_another(net, shot.from, &packet) {
        return None;
    }
    let to = to(net, shot.from, place, &frame, packet.destination)?;
    let from = match shot.from {
        Host => format!("from host to {to} source {}", packet.source),
        guest if GUESTS.contains(&guest) => {
            let mac = frame.source().filter(|mac| mac.0[0] & 1 == 0 && *mac != Mac([0; 6]))?;
            format!("from guest {} to {to} source {} mac {mac}", crate::spec::name(guest), packet.source)
        }
        other => {
            // A guest's address means that guest, and the host's the host, which a spec knows of bridges of guestnet's.
            let host = net.party(Host);
            let is_host = [IpAddr::from(host.v4), host.v6.into(), OWN6.into()].contains(&packet.source);
            let is_told = is_host || is_a_guests(net, packet.source);
            if frame.source() != Some(net.party(other).mac) || is_told {
                return None;
            }
            format!("from {} to {to}", packet.source)
        }
    };
    let trusted = [shot.from, place].iter().all(|who| [Kin, Dock].contains(who));
    let so = if trusted { Some("\"trusted\"") } else { (place == Host).then_some("an address of the host") };
    Some(Words { text: format!("{from} {carried}"), so })
}

const ESP: u8 = 50;

/// Whether it is an error about what was not sent to `from`: the words have none for what it quotes.
fn is_about_another(net: &Net, from: Who, packet: &Packet<'_>) -> bool {
    let own = net.party(from);
    let own = [IpAddr::from(own.v4), own.v6.into(), own.delegated.into(), own.local().into()];
    let quoted = |at: usize, length: usize| packet.payload.get(at..at + length).unwrap_or_default().to_vec();
    let is_own = |quoted: Vec<u8>| own.iter().any(|own| octets(*own) == quoted);
    match (packet.protocol, packet.payload.first()) {
        (ICMP, Some(3 | 4 | 11 | 12)) => !is_own(quoted(24, 4)),
        (ICMPV6, Some(1..=4)) => !is_own(quoted(32, 16)),
        _ => false,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The protocol with its port, or type and code.
fn carried(packet: &Packet<'_>) -> Option<String> {
    let port = |at: usize| Some(u16::from_be_bytes(packet.payload.get(at..at + 2)?.try_into().ok()?));
    let agents = [67, 68, 546, 547];
    Some(match packet.protocol {
        UDP if !agents.contains(&port(0)?) && !agents.contains(&port(2)?) => format!("udp {}", port(2)?),
        TCP if *packet.payload.get(13)? == SYN => format!("tcp {}", port(2)?),
        ICMP => format!("icmp {} {}", packet.payload.first()?, packet.payload.get(1)?),
        ICMPV6 if !(130..=137).contains(packet.payload.first()?) => {
            format!("icmpv6 {} {}", packet.payload.first()?, packet.payload.get(1)?)
        }
        ESP => "esp".to_owned(),
        _ => return None,
    })
}

/// Whom the frame is for.
fn to(net: &Net, from: Who, place: Who, frame: &Frame, destination: IpAddr) -> Option<String> {
    let goes_to = |who: Who| from == Host || frame.destination() == Some(net.next_hop(from, who));
    let of = |who: &Who| {
        let party = net.party(*who);
        let public = party.public.map(IpAddr::from);
        *who != Host && [Some(party.v4.into()), Some(party.v6.into()), public].contains(&Some(destination))
    };
    if let Some(who) = ALL.into_iter().find(of) {
        let text = if GUESTS.contains(&who) {
            format!("guest {}", crate::spec::name(who))
        } else {
            destination.to_string()
        };
        return goes_to(who).then_some(text);
    }
    let hosts = [IpAddr::from(net.at4(from, Host)), net.at6(from, Host).into()];
    // What guests call the host is, in their own namespaces, the router there.
    if hosts.contains(&destination) && !net.is_own() {
        return goes_to(Host).then(|| "host".to_owned());
    }
    let everybodys = destination.is_multicast()
        || [Ipv4Addr::BROADCAST, Ipv4Addr::new(192, 0, 2, 255)].map(IpAddr::from).contains(&destination);
    match place {
        // Each hears it, and is asked about by itself.
        Host if everybodys && net.is_bridged() => Some("host".to_owned()),
        guest if everybodys && net.is_bridged() => {
            GUESTS.contains(&guest).then(|| format!("guest {}", crate::spec::name(guest)))
        }
        Host if everybodys => Some(destination.to_string()),
        Host | Outside => goes_to(place).then(|| destination.to_string()),
        _ => None,
    }
}

fn is_a_guests(net: &Net, address: IpAddr) -> bool {
    GUESTS.into_iter().any(|who| {
        let party = net.party(who);
        let within = |ip: Ipv6Addr, length| Ipv6Net::new_assert(ip, length).contains(&ip6(address));
        let on_link = if net.is_bridged() { 128 } else { 64 };
        ip4(address).is_some_and(|address| [Some(party.v4), party.public].contains(&Some(address)))
            || within(party.delegated, party.delegated_length)
            || within(party.v6, on_link)
            || address == party.local()
    })
}

fn ip4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn ip6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
