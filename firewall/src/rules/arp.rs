//! ARP from guests.

use std::net::Ipv4Addr;

use guestnet_nft::expr::PayloadBase;
use guestnet_nft::{Chain, Statement, arp, raw};

use crate::Paragraph as P;
use crate::guests::Guests;
use crate::prefixes::Ip;
use crate::words::{chain, deny, is_its_mac, on, pass};

/// The chain that an ARP packet with the right Ethernet source enters.
pub const ENTRY: &str = "arp_layout";

/// From [`ENTRY`] on.
pub fn chains(guests: &Guests<'_>) -> Vec<Chain> {
    let layout = [
        raw(PayloadBase::Network, 0, 4).eq(0x0001_0800_u32),
        raw(PayloadBase::Network, 4, 2).eq(0x0604_u16),
        arp::operation().within(REQUEST, REPLY),
    ];
    let sender = [is_its_mac(arp::saddr_ether())];
    let probe = [arp::operation().eq(REQUEST), arp::saddr_ip().eq(Ipv4Addr::UNSPECIFIED)];
    let probe = |target: Statement| pass(P::ARP_ADDRESS, probe.iter().cloned().chain([target]));
    let probes = guests.is_its_address(Ip::V4, &arp::daddr_ip()).into_iter().map(probe);
    let senders = guests.own(Ip::V4, &arp::saddr_ip(), |sender| pass(P::ARP_ADDRESS, [sender]));
    vec![
        chain(ENTRY, [on(P::ARP_LAYOUT, layout, "arp_sender"), deny(P::ARP_LAYOUT, [])]),
        chain("arp_sender", [on(P::ARP_MAC, sender, "arp_address"), deny(P::ARP_MAC, [])]),
        chain("arp_address", probes.chain(senders).chain([deny(P::ARP_ADDRESS, [])])),
    ]
}

const REQUEST: u16 = 1;
const REPLY: u16 = 2;
