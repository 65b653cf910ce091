//! The state machine: from what a host has and a step to what it shall have. Pure.

use std::num::NonZeroU64;

use guestnet_core::diff::diff;
use guestnet_core::{Change, Error, Object, Observed};

use super::document::{Act, Held, Order, Reason, Refused, Standing};
use super::end::{End, Found};
use crate::policy::{Direction, Policy};
use crate::state::State;
use crate::tunnel::Keyed;

/// What an act comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advance {
    /// The changes of states; to be made first.
    pub states: Vec<Change<State>>,
    /// The changes of policies; to be made once all the states have been accepted.
    pub policies: Vec<Change<Policy>>,
    /// What the host will have.
    pub after: End,
}

/// The states and policies of the generation that an order is about.
#[derive(Clone, Debug, Default)]
pub struct Next {
    inbound: Vec<State>,
    outbound: Vec<State>,
    inward: Vec<Policy>,
    outward: Vec<Policy>,
}

impl Next {
    /// What `act` is about for a tunnel; nothing where it only looks.
    ///
    /// # Errors
    /// `Malformed` for a tunnel that [`super::Step::check`] has something to say about.
    pub fn of(act: Act, keyed: &Keyed<'_>) -> Result<Self, Error> {
        if act == Act::Observe {
            return Ok(Self::default());
        }
        let (states, policies) = keyed.lower()?;
        let (outbound, inbound) = states.into_iter().partition(|state| state.src == keyed.tunnel.local);
        let (outward, inward) = policies.into_iter().partition(|policy| policy.direction == Direction::Out);
        Ok(Self { inbound, outbound, inward, outward })
    }

    /// Its states, of both directions.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.inbound.iter().chain(&self.outbound)
    }

    /// Its policies, of all directions.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.inward.iter().chain(&self.outward)
    }
}

impl Found {
    /// What `act` comes to for a tunnel: nothing for one that was done before.
    ///
    /// `next` is what the act is about, [`Next::of`] the same act and tunnel; `now` is in seconds since 1970, `drain` in
    /// seconds.
    ///
    /// # Errors
    /// Why the act is refused.
    pub fn advance(
        &self,
        act: Act,
        order: &Order,
        next: &Next,
        now: u64,
        drain: u32,
    ) -> Result<Advance, Refused> {
        let end = self.end(&order.tunnel);
        let wanted = match act {
            Act::Observe => return Ok(Advance { after: end, ..Advance::default() }),
            Act::Inbound => end.with_inbound(order, next),
            Act::Outbound => end.with_outbound(order, next),
            Act::Drain => end.drained(order, next, now, drain),
        }?;
        self.difference(end, wanted)
    }

    /// The one difference between what is wanted of a tunnel and what there is.
    fn difference(&self, end: End, wanted: End) -> Result<Advance, Refused> {
        if let Some(state) = wanted.states.iter().find(|state| self.is_taken(&state.key(), &end)) {
            let words = format!("{} is the SPI of another state; take another generation", state.key());
            return Err(Refused::new(Reason::Taken, words));
        }
        if let Some(policy) = wanted.policies.iter().find(|policy| self.in_the_way(policy, &end)) {
            return Err(Refused::new(Reason::Taken, format!("another policy has the place of {policy}")));
        }
        let (states, _) = diff(&wanted.states, &Observed { ours: end.states, ..Observed::default() });
        let (policies, _) = diff(&wanted.policies, &Observed { ours: end.policies, ..Observed::default() });
        Ok(Advance { states, policies, after: wanted })
    }
}

impl End {
    /// Decrypts the new generation too: its inbound states, and policies that take any state of the tunnel.
    fn with_inbound(&self, order: &Order, next: &Next) -> Result<Self, Refused> {
        if self.is_empty() {
            let words = "the host has nothing of this tunnel; apply its spec first";
            return Err(Refused::new(Reason::Unknown, words));
        }
        if !self.has(&next.inbound)? {
            self.refuse_old(order)?;
            self.refuse_spent(order, next)?;
        }
        Ok(self.with(&next.inbound, &next.inward))
    }

    /// Encrypts with the new generation: its outbound states, and policies that name them.
    fn with_outbound(&self, order: &Order, next: &Next) -> Result<Self, Refused> {
        let generation = order.tunnel.generation;
        if !self.has(&next.outbound)? {
            self.refuse_old(order)?;
            self.refuse_spent(order, next)?;
        }
        // A newer one is in use, perhaps not yet by all policies: never back.
        let newer = |state: &&State| state.generation > generation;
        if let Some(newer) = self.side(&order.tunnel, true).find(newer) {
            return Err(superseded(order, newer.generation));
        }
        let done = self.with(&next.outbound, &next.outward);
        if done == *self {
            return Ok(done);
        }
        if !self.has(&next.inbound)? {
            let words = format!("generation {generation} is not decrypted here yet: do inbound first");
            return Err(Refused::new(Reason::TooEarly, words));
        }
        let peer = peer_of(order, Act::Inbound)?;
        confirmed(&peer.inbound, &next.outbound, generation, "decrypts")?;
        Ok(done)
    }

    /// Lets older generations end, once neither end encrypts with them.
    fn drained(&self, order: &Order, next: &Next, now: u64, drain: u32) -> Result<Self, Refused> {
        let generation = order.tunnel.generation;
        let older = |state: &State| state.generation < generation;
        let too_early = |words: String| Err(Refused::new(Reason::TooEarly, words));
        if self.newest().is_none_or(|newest| newest <= generation)
            && !(self.has(&next.inbound)? && self.has(&next.outbound)?)
        {
            return too_early(format!(
                "generation {generation} is not there yet: do inbound and outbound first"
            ));
        }
        if let Some(used) = self.side(&order.tunnel, true).find(|state| older(state) && self.uses(state)) {
            let words = format!("packets still leave by generation {}: do outbound first", used.generation);
            return too_early(words);
        }
        let mut drained = self.clone();
        if drain == 0 {
            drained.states.retain(|state| !older(state));
        }
        for (_, state) in drained.states.with_positions_mut().filter(|(_, state)| older(state)) {
            let end = state.counters.age(now).saturating_add(drain.into());
            let hard = &mut state.lifetimes.hard.seconds;
            // What is already to end sooner does; so a repeated step prolongs nothing.
            if hard.is_none_or(|hard| hard.get() > end) {
                *hard = NonZeroU64::new(end);
            }
        }
        if drained == *self {
            return Ok(drained);
        }
        let peer = peer_of(order, Act::Outbound)?;
        let used: Vec<Held> = peer.outbound.iter().filter(|held| held.used).copied().collect();
        if let Some(used) = used.iter().find(|held| held.generation < generation) {
            return too_early(format!("the peer still encrypts with generation {}", used.generation));
        }
        if used.iter().all(|held| held.generation == generation) {
            confirmed(&used, &next.inbound, generation, "encrypts with")?;
        }
        Ok(drained)
    }

    fn with(&self, states: &[State], policies: &[Policy]) -> Self {
        let mut more = self.clone();
        for state in states.iter().filter(|state| !self.states.contains(&state.key())) {
            more.states.insert(state.clone());
        }
        for policy in policies {
            more.policies.insert(policy.clone());
        }
        more
    }

    /// Whether all of `states` are there.
    fn has(&self, states: &[State]) -> Result<bool, Refused> {
        let mut all = true;
        for state in states {
            let of_generation = |found: &&State| {
                (found.generation, found.dst, &found.selector)
                    == (state.generation, state.dst, &state.selector)
            };
            match self.states.get(&state.key()).or_else(|| self.states.iter().find(of_generation)) {
                None => all = false,
                Some(found) if found.spi == state.spi && state.key.accepts(&found.key) => {}
                Some(found) => {
                    let words = format!(
                        "there is a state of generation {} already, {found}, with another SPI or key than this \
                         tunnel's: the secrets differ, or two tunnels have one reqid",
                        found.generation
                    );
                    return Err(Refused::new(Reason::Differs, words));
                }
            }
        }
        Ok(all)
    }

    /// What has been left behind does not come back.
    fn refuse_old(&self, order: &Order) -> Result<(), Refused> {
        match self.newest() {
            Some(newest) if newest > order.tunnel.generation => Err(superseded(order, newest)),
            _ => Ok(()),
        }
    }

    /// Keys whose states are gone are not taken again.
    fn refuse_spent(&self, order: &Order, next: &Next) -> Result<(), Refused> {
        let gone =
            |spi| next.outbound.iter().any(|state| state.spi == spi && !self.states.contains(&state.key()));
        let pins = self.outward().flat_map(|policy| &policy.templates).filter_map(|template| template.spi);
        if pins.into_iter().any(gone) {
            let words = format!(
                "generation {} was in use and its states are gone; with the same keys packets would be counted from \
                 the start again: take a new generation",
                order.tunnel.generation
            );
            return Err(Refused::new(Reason::Spent, words));
        }
        Ok(())
    }
}

fn superseded(order: &Order, newest: u32) -> Refused {
    let generation = order.tunnel.generation;
    Refused::new(Reason::Superseded, format!("generation {generation} is behind: the tunnel is at {newest}"))
}

/// The peer's standing, or what has to be waited for.
fn peer_of(order: &Order, before: Act) -> Result<&Standing, Refused> {
    let too_early = |words: String| Refused::new(Reason::TooEarly, words);
    let peer = order.peer.as_ref();
    peer.ok_or_else(|| too_early(format!("the step does not say how the peer stands after {before}")))
}

/// Whether `held`, what the peer has, are the other ends of `states`: the same SPIs and keys of the same generation.
fn confirmed(held: &[Held], states: &[State], generation: u32, does: &str) -> Result<(), Refused> {
    for state in states {
        let other = held.iter().find(|held| held.generation == generation && held.spi == state.spi);
        match other {
            Some(held) if Some(held.fingerprint) == state.key.fingerprint() => {}
            Some(held) => {
                let words = format!(
                    "the peer {does} generation {generation} under another key, {}, at SPI {}: the secrets differ",
                    held.fingerprint, held.spi
                );
                return Err(Refused::new(Reason::Differs, words));
            }
            None if held.iter().any(|held| held.generation == generation) && states.len() == 1 => {
                let words = format!(
                    "the peer {does} generation {generation} with another SPI than {}: the two ends do not mean the \
                     same tunnel or secret",
                    state.spi
                );
                return Err(Refused::new(Reason::Differs, words));
            }
            None => {
                let words = format!(
                    "the peer has not said that it {does} generation {generation}, SPI {}",
                    state.spi
                );
                return Err(Refused::new(Reason::TooEarly, words));
            }
        }
    }
    Ok(())
}
