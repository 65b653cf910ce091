//! A guest with a namespace of its own: the host is a router between its uplink and a veth.

use guestnet_core::Mac;
use guestnet_nft::evaluate::Conntrack;

use super::tunnels::carrier;
use super::{Class, Draft, Need, Sample, World, public4, public6};
use crate::resolve::Ends;
use crate::spec::Guest;

impl World<'_> {
    /// A guest with a namespace of its own: the host is a router between its uplink and a veth.
    pub(super) fn own(&self, guest: &Guest) -> Vec<Sample> {
        let Ok(ends) = Ends::of(guest) else { return Vec::new() };
        let (who, link) = (self.who(guest), ends.host_link.as_str());
        let end = |mac: Mac| (mac, mac.link_local());
        let mut samples = self.discovery(&who, link, Class::Own, end(ends.host_mac), end(ends.guest_mac));
        if let Some(address) = public4(guest) {
            samples.extend(self.both_ways(&who, Class::Own, link, address.into(), None));
        }
        if let Some(address) = public6(guest) {
            samples.extend(self.both_ways(&who, Class::Own, link, address.into(), None));
        }
        for tunnel in &guest.tunnels {
            let udp = tunnel.udp.is_some();
            let Some(out) = self.out_of(tunnel.remote) else { continue };
            let (protocol, payload) = carrier(udp);
            let draft = |what, from, to| Draft {
                need: Need::Forwarding,
                class: Class::Own,
                what: format!("{} {what} {who}", if udp { "ESP in UDP" } else { "ESP" }),
                from,
                to,
                protocol,
                payload: &payload,
                conntrack: Conntrack::NEW,
            };
            samples.push(self.forwarded(
                draft("to", tunnel.remote, tunnel.local),
                [Some(out), Some(link)],
                None,
            ));
            samples.push(self.forwarded(
                draft("from", tunnel.local, tunnel.remote),
                [Some(link), Some(out)],
                None,
            ));
        }
        samples
    }
}
