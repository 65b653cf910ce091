//! Matches of xtables.

use super::Matched;
use super::packet::Packet;
use crate::ruleset::Match;

const TCP: u8 = 6;

/// Whether `packet` matches.
pub(super) fn matches(packet: &Packet, found: &Match) -> Matched {
    let unknown = || Matched::Perhaps(format!("match {}", found.name()));
    let known = |answer: Option<bool>| match answer {
        Some(true) => Matched::Yes,
        Some(false) => Matched::No,
        None => unknown(),
    };
    match found {
        Match::Always(_) => Matched::Yes,
        Match::State { states, invert } => {
            known(packet.conntrack.map(|connection| (connection.state & states != 0) != *invert))
        }
        Match::AddressType { source, destination, invert_source, invert_destination } => {
            let side = |asked: u16, kind: Option<u8>, invert: bool| match (asked, kind) {
                (0, _) => Some(true),
                (_, None) => None,
                (asked, Some(kind)) => Some((asked & (1 << kind) != 0) != invert),
            };
            let source = side(*source, packet.source_type, *invert_source);
            known(both(source, side(*destination, packet.destination_type, *invert_destination)))
        }
        Match::Ports { protocol, source, destination, either, invert_source, invert_destination, flags } => {
            let Some((is, at)) = packet.transport() else { return Matched::No };
            if protocol.is_some_and(|protocol| protocol != is) {
                return Matched::No;
            }
            let port = |offset: usize| {
                let bytes = packet.network.get(at + offset..at + offset + 2)?;
                Some(u16::from_be_bytes(bytes.try_into().ok()?))
            };
            let (Some(from), Some(to)) = (port(0), port(2)) else { return Matched::No };
            let fits = |ranges: &Option<Vec<(u16, u16)>>, port: u16| {
                ranges.as_ref().map(|ranges| ranges.iter().any(|(a, b)| (*a..=*b).contains(&port)))
            };
            let (source, destination) = (fits(source, from), fits(destination, to));
            let ports = if *either {
                (source == Some(true) || destination == Some(true)) != *invert_source
            } else {
                source.is_none_or(|fits| fits != *invert_source)
                    && destination.is_none_or(|fits| fits != *invert_destination)
            };
            let (mask, set, invert) = flags;
            let of_tcp = packet.network.get(at + 13).copied().unwrap_or(0);
            let flags =
                is != TCP || (*mask, *set, *invert) == (0, 0, false) || (of_tcp & mask == *set) != *invert;
            known(Some(ports && flags))
        }
        Match::Icmp { protocol, kind, codes, invert } => {
            /// Of IPv4 this type is any.
            const ANY: u8 = 255;
            let Some((is, at)) = packet.transport() else { return Matched::No };
            let (of, code) = (packet.network.get(at), packet.network.get(at + 1));
            let (Some(of), Some(code)) = (of, code) else { return Matched::No };
            let any = *kind == ANY && *protocol == 1;
            let fits = any || (kind == of && (codes.0..=codes.1).contains(code));
            known(Some(is == *protocol && fits != *invert))
        }
        Match::Mark { of_connection, value, mask, invert } => {
            let mark = match of_connection {
                true => packet.conntrack.and_then(|connection| connection.mark),
                false => packet.mark,
            };
            known(mark.map(|mark| (mark & mask == *value) != *invert))
        }
        Match::HopLimit { mode, value } => {
            let at = if packet.family() == 2 { 8 } else { 7 };
            let hops = packet.network.get(at);
            known(hops.and_then(|hops| match mode {
                0 => Some(hops == value),
                1 => Some(hops != value),
                2 => Some(hops < value),
                3 => Some(hops > value),
                _ => None,
            }))
        }
        Match::PacketType { kind, invert } => {
            known(packet.packet_type.map(|is| (u32::from(is) == *kind) != *invert))
        }
        Match::ReversePath { invert } => known(packet.reverse_path.map(|right| right != *invert)),
        // Routed packets have no ports, and those that are made here no routing header.
        Match::BridgePort { plain } if *plain && packet.bridges.0.is_none() => Matched::No,
        Match::RoutingHeader { plain } if *plain && packet.is_plain() => Matched::No,
        Match::BridgePort { .. } | Match::RoutingHeader { .. } | Match::Unknown(_) => unknown(),
    }
}

/// Both, in three values.
fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}
