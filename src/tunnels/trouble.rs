//! Tunnels whose packets do not get through: what the counters of their states tell, in one look and in two.
//!
//! An end whose states were made again under the same keys (a reboot) counts its packets from 1. The other end has seen
//! those numbers, and drops them as replayed until they are past the newest that it knows. Nothing of this is a difference
//! from the spec: states, keys and policies are as wanted at both ends.
//!
//! | what is seen | at which end | what follows |
//! |---|---|---|
//! | while it is looked, an inbound state that has refused 10 packets or more refuses more, and takes none | the one that stayed | it *refuses*: [`Host::verify`] fails |
//! | an inbound state has refused 10 packets or more, and one in a hundred of those that came | the one that stayed | a warning |
//! | the sequence number of an inbound state is more than twice the packets that it has taken, and the outbound one began at 1 | the one that came back | a warning |
//! | while it is looked, packets come for an SPI that no state of the namespace has, and no state takes any | either | it refuses; a warning only in the host's own namespace, where anybody can send such packets |
//!
//! Counters only rise, and a state keeps them as long as it lives. So what happened once, as a few packets that came late,
//! is no failure: see [`super::refusing`].

use guestnet_core::{Error as CoreError, Kind, Namespace, Set};
use guestnet_xfrm::rekey::RekeyLimits;
use guestnet_xfrm::{State, StateDirection};

use super::refusing::Look;
use super::{StateStatus, TunnelStatus, Tunnels, now, time};
use crate::again::NEW_GENERATION;
use crate::host::Host;
use crate::objects::{NamespaceObjects, Objects};
use crate::snapshot::Snapshot;
use crate::warning::Warning;

/// Fewer refused packets are nothing to speak of: some come late or twice on any path.
pub(super) const MANY: u64 = 10;

/// Of so many packets that come, one may be refused.
const SHARE: u64 = 100;

/// How many packets the counters of two ends may differ by without anything being wrong.
const SLACK: u64 = 64;

impl TunnelStatus {
    /// The tunnel, as people are told which: `tunnel 2001:db8:1::a - 2001:db8:2::a in web1`.
    pub fn title(&self) -> String {
        let place = self.namespace.as_deref().unwrap_or("the host's namespace");
        format!("tunnel {} - {} in {place}", self.local, self.remote)
    }

    /// The inbound states of the newest generation: older ones only drain.
    pub(super) fn newest(&self, direction: StateDirection) -> impl Iterator<Item = &StateStatus> {
        let of = move |state: &&StateStatus| state.direction == direction;
        let newest = self.states.iter().filter(of).map(|state| state.generation).max();
        self.states.iter().filter(of).filter(move |state| Some(state.generation) == newest)
    }

    /// What one look at its counters tells.
    pub(crate) fn troubles(&self) -> Vec<Warning> {
        let mut all = Vec::new();
        for state in self.newest(StateDirection::In) {
            let refused = state.counters.refused();
            if refused >= MANY && refused * SHARE >= refused.saturating_add(state.counters.packets) {
                all.push(Warning::new(
                    "tunnel-has-refused",
                    format!("{}: {}", self.title(), state.has_refused()),
                    state.cause(),
                    format!("`guestnet verify` says whether it goes on; if so, {}", state.remedy()),
                ));
            }
        }
        all.extend(self.came_back());
        all
    }

    /// Whether this end has begun again while the other went on.
    fn came_back(&self) -> Option<Warning> {
        let inbound =
            self.newest(StateDirection::In).find(|state| is_ahead(state.sequence, state.counters.packets))?;
        // A state that was replaced by another of the same numbers begins its counters again, and not its packets.
        if self.newest(StateDirection::Out).any(|state| is_ahead(state.sequence, state.counters.packets)) {
            return None;
        }
        let StateStatus { sequence, counters, age, .. } = inbound;
        Some(Warning::new(
            "tunnel-came-back",
            format!(
                "{}: the other end counts {sequence} packets, and {} have come in the {} since this end's states were made",
                self.title(),
                counters.packets,
                time(*age)
            ),
            "these states were made again under the same keys and the other end drops what they send, or most packets are \
             lost on the way",
            NEW_GENERATION,
        ))
    }
}

impl StateStatus {
    pub(super) fn has_refused(&self) -> String {
        let guestnet_xfrm::Counters { outside_window, replayed, integrity_failed, packets, .. } =
            self.counters;
        format!(
            "the state {} has refused {} packets ({outside_window} late, {replayed} replayed, {integrity_failed} of failed integrity) and \
             taken {packets} in the {} since it was made",
            self.spi,
            self.counters.refused(),
            time(self.age)
        )
    }

    /// Whether the keys of both ends were never the same. Once some packets were taken they were, and what fails then is
    /// most often numbered from 1 again: with extended sequence numbers a number below the window is taken for one after
    /// the next 2^32, with which the integrity check fails (RFC 4303, appendix A2.2).
    fn is_forged(&self) -> bool {
        self.counters.packets == 0 && u64::from(self.counters.integrity_failed) * 2 > self.counters.refused()
    }

    pub(super) fn cause(&self) -> &'static str {
        if self.is_forged() {
            "the other end has another key, or packets are damaged or forged on the way"
        } else {
            "the other end has begun to count again (its states were made again under the same keys, as after a reboot), or \
             packets are repeated on the way"
        }
    }

    pub(super) fn remedy(&self) -> &'static str {
        if self.is_forged() {
            "compare the secrets of both ends, and apply their specs"
        } else {
            NEW_GENERATION
        }
    }
}

/// What one look at the tunnels of `namespace` tells; nothing where they cannot be read.
pub(crate) fn troubles_in(namespace: &mut Namespace) -> Vec<Warning> {
    let look = Look::at(namespace).unwrap_or_default();
    look.tunnels.iter().flat_map(TunnelStatus::troubles).collect()
}

/// Whether the counters of any state are worth being looked at: most often none are.
fn is_telling(state: &State) -> bool {
    state.counters.refused() >= MANY || is_ahead(state.sequence.received, state.counters.packets)
}

/// Whether so many `packets` are not what is counted at `count`.
fn is_ahead(count: u64, packets: u64) -> bool {
    count > packets.saturating_mul(2).saturating_add(SLACK)
}

impl Host {
    /// What one look at the tunnels of `wanted` tells: at what was `found`, or at what there is where that is known to be as
    /// wanted, since then its counters are those of an earlier time.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub(crate) fn troubles(&mut self, wanted: &Objects, found: &Snapshot) -> Result<Vec<Warning>, CoreError> {
        let mut all = Vec::new();
        for (netns, _) in wanted.iter().filter(|(_, objects)| !objects.states.is_empty()) {
            let here = found.in_namespace(&netns);
            let fresh = match self.namespaces.open.get_mut(&netns) {
                Some(namespace) if here.compared().states.is_none() => {
                    Some(State::observe(namespace, &Set::new())?.ours)
                }
                _ => None,
            };
            let states = fresh.as_ref().unwrap_or(&here.states.ours);
            if states.iter().any(is_telling) {
                let (states, policies) = (states.clone(), here.policies.ours.clone());
                let objects = NamespaceObjects { states, policies, ..NamespaceObjects::default() };
                let tunnels = Tunnels::in_namespace(&netns, &objects, &RekeyLimits::default(), now());
                all.extend(tunnels.iter().flat_map(TunnelStatus::troubles));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use guestnet_xfrm::Counters;
    use serde_json::json;

    use super::*;
    use crate::spec::HostSpec;

    /// What has become of the inbound state of a tunnel, and of its outbound one.
    #[derive(Clone, Copy, Default)]
    pub(crate) struct Case {
        pub(crate) taken: u64,
        pub(crate) late: u32,
        pub(crate) forged: u32,
        pub(crate) received: u64,
        pub(crate) sent: u64,
        pub(crate) counted: u64,
    }

    pub(crate) fn look(case: Case, unknown: u64) -> Look {
        let spec = json!({ "version": 1, "guests": [{
            "name": "web1", "endpoint": "2001:db8:1::a", "tunnels": [{
                "local": "2001:db8:1::a", "remote": "2001:db8:2::a",
                "pairs": [{ "local": "192.168.7.2/32", "remote": "192.168.7.3/32" }],
                "secret": "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa",
            }],
        }]});
        let mut objects = HostSpec::from_json(&spec.to_string()).unwrap().objects().unwrap();
        let inside = objects.namespaces.values_mut().next().unwrap();
        for (_, state) in inside.states.with_positions_mut() {
            let inbound = state.src.to_string() == "2001:db8:2::a";
            let (packets, outside_window, integrity_failed) =
                if inbound { (case.taken, case.late, case.forged) } else { (case.sent, 0, 0) };
            state.counters =
                Counters { packets, outside_window, integrity_failed, added: 1000, ..Counters::default() };
            state.sequence.received = if inbound { case.received } else { 0 };
            state.sequence.sent = if inbound { 0 } else { case.counted };
        }
        Look { tunnels: Tunnels::of(&objects, &RekeyLimits::default(), 1060).tunnels, unknown }
    }

    pub(crate) fn ids(warnings: &[Warning]) -> Vec<&str> {
        warnings.iter().map(|warning| warning.id).collect()
    }

    #[test]
    fn one_look_tells_what_is_out_of_proportion() {
        let of = |case: Case| ids(&look(case, 0).tunnels[0].troubles()).join(" ");
        let quiet =
            Case { taken: 1_000_000, late: 9, received: 1_000_009, sent: 7, counted: 7, ..Case::default() };
        assert_eq!(of(Case::default()), "");
        assert_eq!(of(quiet), "");
        // Some came late, long ago.
        assert_eq!(of(Case { late: 500, ..quiet }), "");
        assert_eq!(of(Case { late: 20_000, ..quiet }), "tunnel-has-refused");
        assert_eq!(of(Case { taken: 0, late: 10, ..quiet }).split(' ').next(), Some("tunnel-has-refused"));
        // The other end was there before.
        let back = Case { taken: 5, received: 125, sent: 5, counted: 5, ..Case::default() };
        assert_eq!(of(back), "tunnel-came-back");
        // Half of them are lost.
        assert_eq!(of(Case { taken: 600, received: 1200, ..back }), "");
        // The state was replaced by one that counts on, on both sides.
        assert_eq!(of(Case { counted: 300, ..back }), "");
    }

    #[test]
    fn forged_packets_are_no_replayed_ones() {
        let warning = |case| look(case, 0).tunnels[0].troubles().remove(0);
        let never = warning(Case { forged: 40, ..Case::default() });
        assert!(
            never.meaning.contains("another key") && never.remedy.contains("compare the secrets"),
            "{never}"
        );
        assert!(never.what.contains("in the 1m00s since it was made"), "{never}");
        // The keys were the same once: the other end counts from 1 again, below the window.
        let again = warning(Case { forged: 40, taken: 1000, received: 1000, ..Case::default() });
        assert!(
            again.meaning.contains("begun to count again") && again.remedy.contains("a new generation"),
            "{again}"
        );
    }
}
