//! What `guestnet explain` says of a frame, where its words can say what the frame is.

use std::net::IpAddr;

use guestnet_lab::craft::icmp::{ICMP, ICMPV6};
use guestnet_lab::craft::transport::{SYN, TCP, UDP};
use guestnet_lab::frame::{IPV4, IPV6};
use guestnet_lab::{Frame, Mac};

use crate::case::Shot;
use crate::net::Who::{self, Host, Outside};
use crate::net::{ALL, Net};

/// The frame in the words of `guestnet explain`: one packet that begins a connection, without headers between IP and
/// what it carries, and no message of neighbours.
pub fn words(net: &Net, shot: &Shot) -> Option<String> {
    let [frame] = shot.frames.as_slice() else { return None };
    if !shot.before.is_empty() {
        return None;
    }
    let is_plain = match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
        IPV4 => frame.get(14) == Some(&0x45),
        IPV6 => frame.get(14)? >> 4 == 6 && [TCP, UDP, ICMPV6].contains(frame.get(20)?),
        _ => false,
    };
    let frame = Frame(frame.clone());
    let packet = frame.packet().filter(|_| is_plain)?;
    let port = |at: usize| Some(u16::from_be_bytes(packet.payload.get(at..at + 2)?.try_into().ok()?));
    let agents = [67, 68, 546, 547];
    let carried = match packet.protocol {
        UDP if !agents.contains(&port(0)?) && !agents.contains(&port(2)?) => format!("udp {}", port(2)?),
        TCP if *packet.payload.get(13)? == SYN => format!("tcp {}", port(2)?),
        ICMP => format!("icmp {} {}", packet.payload.first()?, packet.payload.get(1)?),
        ICMPV6 if !(130..=137).contains(packet.payload.first()?) => {
            format!("icmpv6 {} {}", packet.payload.first()?, packet.payload.get(1)?)
        }
        _ => return None,
    };
    let to = ALL.into_iter().find(|who| {
        let party = net.party(*who);
        [IpAddr::from(party.v4), party.v6.into()].contains(&packet.destination)
    })?;
    if frame.destination() != Some(net.next_hop(shot.from, to)) {
        return None;
    }
    let end = |who: Who, address: IpAddr| match who {
        Host => "host".to_owned(),
        Outside => address.to_string(),
        guest => format!("guest {}", format!("{guest:?}").to_lowercase()),
    };
    let one = |mac: Mac| mac.0[0] & 1 == 0 && mac != Mac([0; 6]);
    let source = frame.source().filter(|mac| one(*mac))?;
    let mut words = format!("from {} to {}", end(shot.from, packet.source), end(to, packet.destination));
    if shot.from != Outside {
        words += &format!(" source {} mac {}", packet.source, source);
    }
    Some(format!("{words} {carried}"))
}
