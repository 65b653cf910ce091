//! Tunnels that end on the host, and what carries any.

use guestnet_nft::evaluate::Conntrack;

use super::super::frames::{self, ESP, UDP};
use super::{Class, Draft, Need, ROUTER_MAC, Sample, World};
use crate::spec::Guest;

impl World<'_> {
    /// Tunnels of a guest in the host's namespace end on the host.
    pub(super) fn tunnels_of_host(&self, guest: &Guest) -> Vec<Sample> {
        let mut samples = Vec::new();
        for tunnel in &guest.tunnels {
            let Some(out) = self.out_of(tunnel.remote) else { continue };
            let udp = tunnel.udp.is_some();
            let (protocol, payload) = carrier(udp);
            let draft = |what, from, to| Draft {
                need: Need::Tunnel,
                class: Class::Uplink,
                what: format!(
                    "{} {what} the tunnel of {}",
                    if udp { "ESP in UDP" } else { "ESP" },
                    self.who(guest)
                ),
                from,
                to,
                protocol,
                payload: &payload,
                conntrack: Conntrack::NEW,
            };
            samples.push(self.taken(
                draft("into", tunnel.remote, tunnel.local),
                out,
                (ROUTER_MAC, ROUTER_MAC),
            ));
            samples.push(self.sent(draft("out of", tunnel.local, tunnel.remote), out));
        }
        samples
    }
}

/// What carries a tunnel.
pub(super) fn carrier(udp: bool) -> (u8, Vec<u8>) {
    /// An SPI and a sequence number, and some of what is encrypted.
    const ESP_HEADER: [u8; 16] = [0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    if udp { (UDP, frames::udp((4500, 4500), &ESP_HEADER)) } else { (ESP, ESP_HEADER.to_vec()) }
}
