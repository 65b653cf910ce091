//! Tunnels that refuse what the other end sends, told by two looks: `verify` looks a second time, for two seconds at most,
//! and only where something was refused at all. What the counters mean stands in [`super::trouble`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use guestnet_core::{Error as CoreError, Kind, Namespace, Netns, Set};
use guestnet_xfrm::rekey::RekeyLimits;
use guestnet_xfrm::{Policy, Spi, State, StateDirection, stat};

use super::trouble::MANY;
use super::{StateStatus, TunnelStatus, Tunnels, now};
use crate::host::Host;
use crate::objects::{NamespaceObjects, Objects};
use crate::warning::Warning;

/// How long a second look takes at most, and how long it waits between two readings.
const LONGEST: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// Counts of packets that an inbound state, or all of them, have taken and refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    taken: u64,
    refused: u64,
}

/// The tunnels of a namespace as they were seen at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) tunnels: Vec<TunnelStatus>,
    /// Packets for SPIs that no state has (`XfrmInNoStates`), since the namespace was made.
    pub(super) unknown: u64,
}

impl Look {
    pub(super) fn at(namespace: &mut Namespace) -> Result<Self, CoreError> {
        let objects = NamespaceObjects {
            states: State::observe(namespace, &Set::new())?.ours,
            policies: Policy::observe(namespace, &Set::new())?.ours,
            ..NamespaceObjects::default()
        };
        let tunnels = Tunnels::in_namespace(namespace.netns(), &objects, &RekeyLimits::default(), now());
        let [text] = namespace.texts_of(["/proc/thread-self/net/xfrm_stat"])?;
        let counts = stat::parse(&text.unwrap_or_default());
        let unknown =
            counts.iter().find(|count| count.name == "XfrmInNoStates").map_or(0, |count| count.packets);
        Ok(Self { tunnels, unknown })
    }

    /// The counts of the newest inbound states.
    fn counts(&self) -> BTreeMap<(std::net::IpAddr, Spi), (&TunnelStatus, &StateStatus, Count)> {
        let of = |tunnel: &'_ TunnelStatus| tunnel.local;
        let mut counts = BTreeMap::new();
        for tunnel in &self.tunnels {
            for state in tunnel.newest(StateDirection::In) {
                let count = Count { taken: state.counters.packets, refused: state.counters.refused() };
                counts.insert((of(tunnel), state.spi), (tunnel, state, count));
            }
        }
        counts
    }

    /// Whether it is worth a second look.
    fn is_suspicious(&self) -> bool {
        self.unknown >= MANY || self.counts().values().any(|(_, _, count)| count.refused >= MANY)
    }

    /// Compares with what is seen `later`, after `took`: packets that are refused now.
    fn refuses(&self, later: &Self, on_host: bool, took: Duration) -> Refusals {
        let mut found = Refusals::default();
        let before = self.counts();
        let mut taken = 0;
        for (key, (tunnel, state, now)) in later.counts() {
            let Some((_, _, then)) = before.get(&key) else { continue };
            taken += now.taken.saturating_sub(then.taken);
            let refused = now.refused.saturating_sub(then.refused);
            if now.taken > then.taken || then.refused < MANY {
                continue;
            }
            if refused == 0 {
                found.undecided = true;
                continue;
            }
            found.refusing.push(Warning::new(
                "tunnel-refuses",
                format!(
                    "{}: refuses packets: {refused} in {:.1} s, and took none; {}",
                    tunnel.title(),
                    took.as_secs_f32(),
                    state.has_refused()
                ),
                state.cause(),
                state.remedy(),
            ));
        }
        let unknown = later.unknown.saturating_sub(self.unknown);
        if self.unknown >= MANY && taken == 0 && !on_host {
            found.undecided |= unknown == 0;
            if let Some(tunnel) = later.tunnels.first().filter(|_| unknown > 0) {
                found.refusing.push(Warning::new(
                    "tunnel-unknown-spi",
                    format!(
                        "{}: {unknown} packets came in {:.1} s for an SPI that no state here has, and no other",
                        tunnel.title(),
                        took.as_secs_f32()
                    ),
                    "the other end encrypts with a generation that is not here",
                    "take the tunnel to a new generation (docs/rekey.md, \"What may happen\")",
                ));
            }
        }
        found
    }
}

/// The findings of a second look.
#[derive(Clone, Debug, Default)]
struct Refusals {
    refusing: Vec<Warning>,
    /// Whether nothing has come of which something was refused before.
    undecided: bool,
}

impl Host {
    /// The tunnels of `wanted` that refuse what the other end sends, as far as can be seen in two looks.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub(crate) fn refusing(&mut self, wanted: &Objects) -> Result<Vec<Warning>, CoreError> {
        let mut suspicious: BTreeMap<Netns, Look> = BTreeMap::new();
        for (netns, _) in wanted.iter().filter(|(_, objects)| !objects.states.is_empty()) {
            let Some(namespace) = self.namespaces.open.get_mut(&netns) else { continue };
            let look = Look::at(namespace)?;
            if look.is_suspicious() {
                suspicious.insert(netns, look);
            }
        }
        let mut all = Vec::new();
        let began = Instant::now();
        while !suspicious.is_empty() {
            std::thread::sleep(PAUSE);
            let is_last = began.elapsed() >= LONGEST;
            let mut undecided = BTreeMap::new();
            for (netns, first) in suspicious {
                let Some(namespace) = self.namespaces.open.get_mut(&netns) else { continue };
                let found = first.refuses(&Look::at(namespace)?, netns == Netns::Host, began.elapsed());
                // One packet that is taken may follow one that is refused.
                if is_last {
                    all.extend(found.refusing);
                } else if found.undecided || !found.refusing.is_empty() {
                    undecided.insert(netns, first);
                }
            }
            suspicious = undecided;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::trouble::tests::{Case, ids, look};
    use super::*;

    #[test]
    fn two_looks_tell_what_is_refused_now() {
        let first = Case { taken: 50, late: 10, received: 60, ..Case::default() };
        let seen = |unknown: u64, later: Case, then: u64, on_host: bool| {
            let found = look(first, unknown).refuses(&look(later, then), on_host, Duration::from_secs(2));
            (ids(&found.refusing).join(" "), found.undecided)
        };
        let refuses = Case { late: 12, ..first };
        assert_eq!(seen(0, refuses, 0, false), ("tunnel-refuses".into(), false));
        // What is taken besides makes it no failure, and where nothing comes nothing is known.
        assert_eq!(seen(0, Case { taken: 51, ..refuses }, 0, false), (String::new(), false));
        assert_eq!(seen(0, first, 0, false), (String::new(), true));
        // Anybody can send what no state is for to a host.
        assert_eq!(seen(20, first, 25, false).0, "tunnel-unknown-spi");
        assert_eq!(seen(20, first, 25, true).0, "");
        assert_eq!(seen(20, Case { taken: 60, ..first }, 25, false).0, "");
        assert!(look(first, 0).is_suspicious() && look(Case::default(), 10).is_suspicious());
        assert!(!look(Case { late: 9, ..first }, 9).is_suspicious());
    }
}
