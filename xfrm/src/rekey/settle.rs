//! How a spec lives with rekeying: it asks for a generation at least, and the kernel says which.

use std::collections::BTreeMap;

use guestnet_core::{Object, Result, Set};

use super::end::{End, Found};
use crate::policy::Policy;
use crate::source::KeySource;
use crate::state::State;
use crate::tunnel::{GivenDirection, GivenState, GivenStates, PinSpi, TunnelSpec};

/// A tunnel as it is wanted on a host that may have rekeyed it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// Its states: those of the generation that is in use, and others of the tunnel that may stay.
    pub states: Vec<State>,
    /// Its policies, which name the states in use.
    pub policies: Vec<Policy>,
}

impl TunnelSpec {
    /// Whether there is anything of it in another generation than the spec's.
    pub fn is_rekeyed(&self, found: &Found) -> bool {
        let end = found.end(self);
        self.pin_spi != PinSpi::All && end.states.iter().any(|state| state.generation != self.generation)
    }

    /// What is wanted of this tunnel beside what was `found`.
    ///
    /// The generation in a spec is the least. Where the host has taken the tunnel further, the tunnel is wanted as it
    /// is there: with the newest generation that encrypts. Of other generations, what a rekeying under way needs may
    /// stay: newer ones that are ready to decrypt, older ones as far back as the spec's, and those that drain. States
    /// under keys that do not follow from the secret of the spec are none of the tunnel's, however new they say they are.
    ///
    /// # Errors
    /// As [`TunnelSpec::lower`].
    pub fn settled(&self, found: &Found) -> Result<Settled> {
        if !self.is_rekeyed(found) {
            return self.whole();
        }
        let end = found.end(self);
        let mut newer: Vec<u32> = end.side(self, true).map(|state| state.generation).collect();
        newer.retain(|generation| *generation > self.generation);
        newer.sort_unstable_by(|a, b| b.cmp(a));
        newer.dedup();
        let mut generations = Generations { tunnel: self, end: &end, lowered: BTreeMap::new() };
        let generation = newer.into_iter().find(|generation| generations.is_whole(*generation));
        let generation = generation.unwrap_or(self.generation);
        let mut settled = match generations.of(generation) {
            Some(lowered) => lowered.clone(),
            None => self.whole()?,
        };
        let wanted: Set<State> = settled.states.iter().cloned().collect();
        let others = end.states.iter().filter(|state| !wanted.contains(&state.key()));
        settled.states.extend(others.filter(|state| generations.may_stay(state, generation)).cloned());
        Ok(settled)
    }

    /// The tunnel in the generation of the spec, and nothing else.
    fn whole(&self) -> Result<Settled> {
        let (states, policies) = self.lower()?;
        Ok(Settled { states, policies })
    }

    /// This tunnel at another generation. One whose states are given is taken as it was found: nothing is known of its
    /// keys but what the kernel has. `None` where that is not enough.
    fn at(&self, end: &End, generation: u32) -> Option<Self> {
        let mut at = Self { generation, ..self.clone() };
        if let Some(states) = &self.states
            && generation != self.generation
        {
            let direction = |out: bool, given: &GivenDirection| {
                let mut found = GivenDirection::default();
                for inner in self.inners() {
                    given.get(inner)?;
                    let fits =
                        |state: &&State| state.generation == generation && state.selector == inner.selector();
                    let state = end.side(self, out).find(fits)?;
                    let key = KeySource::Kept(state.key.fingerprint()?);
                    found.set(inner, GivenState { spi: state.spi, key });
                }
                Some(found)
            };
            at.states = Some(GivenStates {
                outbound: direction(true, &states.outbound)?,
                inbound: direction(false, &states.inbound)?,
            });
        }
        Some(at)
    }
}

/// A tunnel in several generations: the keys of each are derived once.
struct Generations<'a> {
    tunnel: &'a TunnelSpec,
    end: &'a End,
    lowered: BTreeMap<u32, Option<Settled>>,
}

impl Generations<'_> {
    fn of(&mut self, generation: u32) -> Option<&Settled> {
        let lower = || self.tunnel.at(self.end, generation)?.whole().ok();
        self.lowered.entry(generation).or_insert_with(lower).as_ref()
    }

    /// Whether the host encrypts with all states of a generation, and they are this tunnel's.
    fn is_whole(&mut self, generation: u32) -> bool {
        let (local, found) = (self.tunnel.local, &self.end.states);
        let Some(own) = self.of(generation) else { return false };
        let mut outbound = own.states.iter().filter(|state| state.src == local);
        outbound.all(|state| found.get(&state.key()).is_some_and(|found| state.key.accepts(&found.key)))
    }

    fn may_stay(&mut self, state: &State, current: u32) -> bool {
        let (spec, hard) = (self.tunnel, state.lifetimes.hard.seconds);
        let drains = hard.is_some() && hard != spec.lifetimes.hard.seconds;
        if state.generation < spec.generation {
            return drains && state.generation < current;
        }
        let Some(own) = self.of(state.generation) else { return false };
        own.states.iter().any(|own| own.key() == state.key() && own.key.accepts(&state.key))
    }
}
