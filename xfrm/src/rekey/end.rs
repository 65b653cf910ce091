//! What a host has of a tunnel, as its kernel remembers it.

use std::collections::BTreeMap;

use guestnet_core::{Object, Observed, Set};

use super::document::{Held, Order, Refused, Standing};
use crate::policy::{Direction, Policy, PolicyKey};
use crate::state::{State, StateKey};
use crate::tunnel::TunnelSpec;

/// The states and policies of one namespace, found by the tunnel that they belong to.
#[derive(Clone, Debug, Default)]
pub struct Found {
    states: Observed<State>,
    policies: Observed<Policy>,
    states_of: BTreeMap<u32, Vec<StateKey>>,
    policies_of: BTreeMap<u32, Vec<PolicyKey>>,
}

/// What there is of one tunnel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// Its states, of whatever generation.
    pub states: Set<State>,
    /// Its policies.
    pub policies: Set<Policy>,
}

impl Found {
    /// What was observed in a namespace.
    pub fn new(states: Observed<State>, policies: Observed<Policy>) -> Self {
        let mut states_of: BTreeMap<u32, Vec<StateKey>> = BTreeMap::new();
        for state in &states.ours {
            states_of.entry(state.reqid).or_default().push(state.key());
        }
        let mut policies_of: BTreeMap<u32, Vec<PolicyKey>> = BTreeMap::new();
        for policy in &policies.ours {
            for template in &policy.templates {
                policies_of.entry(template.reqid).or_default().push(policy.key());
            }
        }
        Self { states, policies, states_of, policies_of }
    }

    /// What is there of `tunnel`: states by reqid and outer addresses, policies by those of their templates.
    pub fn end(&self, tunnel: &TunnelSpec) -> End {
        let reqid = tunnel.reqid();
        let joins = |src, dst| is_out(tunnel, src, dst) || is_out(tunnel, dst, src);
        let states = self.states_of.get(&reqid).into_iter().flatten();
        let states = states.filter_map(|key| self.states.ours.get(key));
        let policies = self.policies_of.get(&reqid).into_iter().flatten();
        let policies = policies.filter_map(|key| self.policies.ours.get(key));
        let of_it =
            |policy: &&Policy| policy.templates.iter().any(|t| t.reqid == reqid && joins(t.src, t.dst));
        End {
            states: states.filter(|state| joins(state.src, state.dst)).cloned().collect(),
            policies: policies.filter(of_it).cloned().collect(),
        }
    }

    /// Whether the SPI is taken by a state that is not of `end`.
    pub(super) fn is_taken(&self, key: &StateKey, end: &End) -> bool {
        let elsewhere = self.states.ours.contains(key) || self.states.foreign.contains_key(key);
        elsewhere && !end.states.contains(key)
    }

    /// What stands in the place of a policy that is not of `end` and not `policy` itself.
    pub(super) fn in_the_way(&self, policy: &Policy, end: &End) -> bool {
        let key = policy.key();
        let other = self.policies.ours.get(&key).is_some_and(|found| found != policy);
        let foreign = self.policies.foreign.get(&key).is_some_and(|foreign| !foreign.satisfies);
        (other || foreign) && !end.policies.contains(&key)
    }
}

fn is_out(tunnel: &TunnelSpec, src: std::net::IpAddr, dst: std::net::IpAddr) -> bool {
    (tunnel.local, tunnel.remote) == (src, dst)
}

impl End {
    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.policies.is_empty()
    }

    /// The states by which `tunnel` encrypts (`out`) or decrypts.
    pub(super) fn side<'a>(&'a self, tunnel: &'a TunnelSpec, out: bool) -> impl Iterator<Item = &'a State> {
        self.states.iter().filter(move |state| is_out(tunnel, state.src, state.dst) == out)
    }

    /// The newest generation of any state.
    pub(super) fn newest(&self) -> Option<u32> {
        self.states.iter().map(|state| state.generation).max()
    }

    /// Whether a policy of the way out sends packets by `state`.
    pub(super) fn uses(&self, state: &State) -> bool {
        let takes = |policy: &Policy| {
            policy.templates.iter().any(|t| {
                (t.reqid, t.src, t.dst) == (state.reqid, state.src, state.dst)
                    && t.spi.is_none_or(|spi| spi == state.spi)
            })
        };
        self.outward().any(takes)
    }

    /// The policies of the way out.
    pub(super) fn outward(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(|policy| policy.direction == Direction::Out)
    }

    /// As the other end and the control plane are told.
    pub fn standing(&self, order: &Order, refused: Option<Refused>) -> Standing {
        let tunnel = &order.tunnel;
        Standing {
            namespace: order.namespace.clone(),
            local: tunnel.local,
            remote: tunnel.remote,
            id: tunnel.id,
            generation: tunnel.generation,
            refused,
            inbound: self.held(tunnel, false),
            outbound: self.held(tunnel, true),
        }
    }

    fn held(&self, tunnel: &TunnelSpec, out: bool) -> Vec<Held> {
        let hold = |state: &State| {
            let hard = state.lifetimes.hard.seconds;
            Some(Held {
                generation: state.generation,
                spi: state.spi,
                // Always known of what was found.
                fingerprint: state.key.fingerprint()?,
                used: out && self.uses(state),
                until: hard.map(|hard| state.counters.added.saturating_add(hard.get())),
            })
        };
        let mut held: Vec<Held> = self.side(tunnel, out).filter_map(hold).collect();
        held.sort_by_key(|held| (held.generation, held.spi));
        held
    }
}
