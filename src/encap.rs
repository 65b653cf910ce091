//! The sockets that tunnels over UDP need as long as they shall receive (RFC 3948).
//!
//! States and policies live in the kernel and need no process. A socket lives as long as the process that has opened it:
//! the one part of a tunnel that somebody has to keep. `guestnet encap` is such a process; a control plane that stays can
//! hold [`EncapSockets`] itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use guestnet_core::{Error as CoreError, Netns};
use guestnet_xfrm::rekey::RekeyLimits;
use guestnet_xfrm::{EncapSocket, StateDirection};

use crate::host::Host;
use crate::report::Error;
use crate::tunnels::Tunnels;

/// Where a socket is needed, and to whom packets leave from it.
type Needs = BTreeMap<(Netns, SocketAddr), BTreeSet<SocketAddr>>;

/// The open sockets of a host. They close when it is dropped.
#[derive(Debug, Default)]
pub struct EncapSockets {
    sockets: BTreeMap<(Netns, SocketAddr), EncapSocket>,
    needs: Needs,
}

impl EncapSockets {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the sockets that the states on the host need, and closes those that none needs any more. To be called again
    /// whenever tunnels may have changed. What could not be opened is returned, and tried again the next time.
    ///
    /// # Errors
    /// When the host cannot be read.
    pub fn refresh(&mut self, host: &mut Host) -> Result<Vec<CoreError>, Error> {
        self.needs = needs(&Tunnels::of(&host.observe()?, &RekeyLimits::default(), 0));
        self.sockets.retain(|place, _| self.needs.contains_key(place));
        let mut failed = Vec::new();
        for place @ (netns, address) in self.needs.keys() {
            if self.sockets.contains_key(place) {
                continue;
            }
            let Some(namespace) = host.namespace(netns) else { continue };
            match EncapSocket::open(namespace, *address) {
                Ok(socket) => drop(self.sockets.insert(place.clone(), socket)),
                Err(error) => failed.push(error),
            }
        }
        Ok(failed)
    }

    /// Keeps the mappings of NATs on the way; to be called every 20 seconds (RFC 3948 section 4). What could not be sent is
    /// returned.
    pub fn keep_alive(&self) -> Vec<CoreError> {
        let all = self.needs.iter().flat_map(|(place, peers)| peers.iter().map(move |peer| (place, peer)));
        let sent = all.filter_map(|(place, peer)| Some(self.sockets.get(place)?.keep_alive(*peer)));
        sent.filter_map(Result::err).collect()
    }

    /// Where sockets are open.
    pub fn open(&self) -> impl Iterator<Item = (&Netns, SocketAddr)> {
        self.sockets.keys().map(|(netns, address)| (netns, *address))
    }
}

fn needs(tunnels: &Tunnels) -> Needs {
    let mut needs = Needs::new();
    for tunnel in &tunnels.tunnels {
        let name = tunnel.namespace.as_ref().and_then(|name| name.parse().ok());
        let netns = name.map_or(Netns::Host, Netns::Named);
        for (encap, state) in tunnel.states.iter().filter_map(|state| Some((state.encap?, state))) {
            let decrypts = state.direction == StateDirection::In;
            let here = SocketAddr::new(tunnel.local, if decrypts { encap.dport } else { encap.sport });
            let peers = needs.entry((netns.clone(), here)).or_default();
            peers.extend((!decrypts).then_some(SocketAddr::new(tunnel.remote, encap.dport)));
        }
    }
    needs
}
