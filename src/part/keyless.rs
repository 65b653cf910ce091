//! Tunnels of which the secret is not known: what is kept of a host has none. What the kernel has of them stays.

use guestnet_core::{Netns, Object};
use guestnet_xfrm::TunnelSpec;
use guestnet_xfrm::source::Source;

use crate::objects::Objects;
use crate::report::Error;
use crate::snapshot::Snapshot;
use crate::spec::{Guest, HostSpec};

/// Tunnels whose states and policies are what is on the host.
pub(super) struct Keyless<'a>(Vec<(Netns, &'a TunnelSpec)>);

impl<'a> Keyless<'a> {
    /// The guests, which were kept, with what stands for the secrets of their tunnels.
    pub(super) fn guests(guests: Vec<Guest>) -> impl Iterator<Item = Guest> {
        let mut n = 0_u32;
        guests.into_iter().map(move |mut guest| {
            for tunnel in guest.tunnels.iter_mut().filter(|tunnel| tunnel.secret.is_some()) {
                *tunnel = tunnel.keyless(n);
                n = n.wrapping_add(1);
            }
            guest
        })
    }

    /// The tunnels of `whole` that a state is kept for.
    pub(super) fn of(whole: &'a HostSpec) -> Self {
        let of = |guest: &'a Guest| guest.tunnels.iter().map(|tunnel| (guest.netns(), tunnel));
        Self(whole.guests.iter().flat_map(of).filter(|(_, tunnel)| is_keyless(tunnel)).collect())
    }

    /// Puts what is on the host of these tunnels in the place of what they lower to.
    pub(super) fn take_over(self, objects: &mut Objects, found: &Snapshot) -> Result<(), Error> {
        for (netns, tunnel) in self.0 {
            let (states, policies) = tunnel.lower()?;
            let (here, reqid) = (found.in_namespace(&netns), tunnel.reqid());
            let wanted = objects.in_namespace(&netns);
            states.iter().for_each(|state| drop(wanted.states.remove(&state.key())));
            policies.iter().for_each(|policy| drop(wanted.policies.remove(&policy.key())));
            wanted.states.extend(here.states.ours.iter().filter(|state| state.reqid == reqid).cloned());
            let policies = here.policies.ours.iter();
            let through = policies.filter(|policy| policy.templates.iter().any(|by| by.reqid == reqid));
            wanted.policies.extend(through.cloned());
        }
        Ok(())
    }
}

fn is_keyless(tunnel: &TunnelSpec) -> bool {
    let states = tunnel.states.iter().flat_map(|states| [&states.outbound, &states.inbound]);
    let mut states = states.flat_map(|way| [&way.both, &way.ipv4, &way.ipv6]).flatten();
    states.any(|state| matches!(state.key, Source::Kept(_)))
}
