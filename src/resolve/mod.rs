//! What follows from a spec by itself: looked up, parsed and derived once, for the check, the lowering and whoever explains.

mod ends;
mod firewall;

use std::collections::HashMap;
use std::ops::Deref;

use guestnet_core::{Error, LinkName, Netns};
use guestnet_xfrm::TunnelSpec;
use guestnet_xfrm::tunnel::Keyed;

pub(crate) use ends::{ETHERNET, Ends};

use crate::spec::{Bridge, Guest, HostSpec, Interface, Nat};

/// A spec with what follows from it. In place of each guest there is the guest with what follows for it.
pub(crate) struct Resolved<'a> {
    spec: &'a HostSpec,
    pub(crate) guests: Vec<ResolvedGuest<'a>>,
}

/// A guest, and what follows for it.
pub(crate) struct ResolvedGuest<'a> {
    guest: &'a Guest,
    /// The namespace that its interfaces are in.
    pub(crate) netns: Netns,
    /// The pair to its namespace; `None` for a guest in the host's.
    pub(crate) ends: Option<Ends>,
    /// How its addresses are translated: as it says, or as the host does.
    pub(crate) applied_nat: &'a Nat,
    pub(crate) interfaces: Vec<ResolvedInterface<'a>>,
    /// Its tunnels with their keys.
    pub(crate) keyed: Vec<Keyed<'a>>,
}

/// An interface, and what follows for it.
#[derive(Clone, Copy)]
pub(crate) struct ResolvedInterface<'a> {
    interface: &'a Interface,
    /// The bridge that it is a port of; `None` also where the spec has no such bridge.
    pub(crate) port_of: Option<&'a Bridge>,
}

impl Deref for Resolved<'_> {
    type Target = HostSpec;

    fn deref(&self) -> &HostSpec {
        self.spec
    }
}

impl Deref for ResolvedGuest<'_> {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        self.guest
    }
}

impl Deref for ResolvedInterface<'_> {
    type Target = Interface;

    fn deref(&self) -> &Interface {
        self.interface
    }
}

impl HostSpec {
    /// The spec with what follows from it. It may still be wrong: [`Resolved::checked`] says so.
    ///
    /// # Errors
    /// When a guest has a name from which no name of a link follows.
    pub(crate) fn resolve(&self) -> Result<Resolved<'_>, Error> {
        let bridges: HashMap<&LinkName, &Bridge> =
            self.bridges.iter().rev().map(|bridge| (&bridge.name, bridge)).collect();
        let guests = self.guests.iter().map(|guest| ResolvedGuest::of(guest, self, &bridges));
        Ok(Resolved { spec: self, guests: guests.collect::<Result<_, _>>()? })
    }
}

impl<'a> ResolvedGuest<'a> {
    fn of(
        guest: &'a Guest,
        spec: &'a HostSpec,
        bridges: &HashMap<&LinkName, &'a Bridge>,
    ) -> Result<Self, Error> {
        let on_host = guest.is_on_host();
        let resolve = |interface: &'a Interface| ResolvedInterface {
            interface,
            port_of: interface.bridge.as_ref().and_then(|name| bridges.get(name).copied()),
        };
        Ok(Self {
            guest,
            netns: guest.netns(),
            ends: (!on_host).then(|| Ends::of(guest)).transpose()?,
            applied_nat: guest.nat.as_ref().filter(|_| !on_host).unwrap_or(&spec.nat),
            interfaces: guest.interfaces.iter().map(resolve).collect(),
            keyed: guest.tunnels.iter().map(TunnelSpec::keyed).collect(),
        })
    }
}
