//! From a tunnel to its states and policies. Pure.

use std::net::IpAddr;

use guestnet_core::{Error, Result};
use ipnet::IpNet;

use super::keyed::KeyedState;
use super::{Keyed, PinSpi, TunnelSpec};
use crate::policy::{Direction, Policy, Template};
use crate::selector::{Mark, Selector};
use crate::spi::Spi;
use crate::state::State;

/// Whether a state encrypts or decrypts at this end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

impl Keyed<'_> {
    /// The states and policies of this end.
    ///
    /// # Errors
    /// `Malformed` for a tunnel that [`TunnelSpec::check`] has something to say about, above all one whose secrets
    /// were not read.
    pub fn lower(&self) -> Result<(Vec<State>, Vec<Policy>)> {
        let tunnel = self.tunnel;
        if self.states.len() < tunnel.ways().count() {
            let lacks = if tunnel.states.is_some() {
                "a state is not given"
            } else {
                "its secret is missing or was not read"
            };
            let what = format!("the tunnel from {} to {}", tunnel.local, tunnel.remote);
            return Err(Error::malformed(what, lacks));
        }
        let policy = |way, direction, from: &IpNet, to: &IpNet| {
            let inner = tunnel.inner_of(from);
            let state = self.states.iter().find(|state| (state.way, state.inner) == (way, inner));
            tunnel.policy(way, direction, Selector::new(*from, *to), self.reqid, state.map(|state| state.spi))
        };
        let mut policies = Vec::new();
        for pair in &tunnel.pairs {
            let (local, remote) = (&pair.local, &pair.remote);
            policies.push(policy(Way::Out, Direction::Out, local, remote));
            policies.push(policy(Way::In, Direction::Fwd, remote, local));
            if pair.host {
                policies.push(policy(Way::In, Direction::In, remote, local));
            }
        }
        Ok((self.states.iter().map(|state| tunnel.state(state, self.reqid)).collect(), policies))
    }
}

impl TunnelSpec {
    /// The states and policies of this end.
    ///
    /// # Errors
    /// As [`Keyed::lower`].
    pub fn lower(&self) -> Result<(Vec<State>, Vec<Policy>)> {
        self.keyed().lower()
    }

    fn state(&self, KeyedState { way, inner, spi, key }: &KeyedState, reqid: u32) -> State {
        let way = *way;
        let (src, dst) = self.ends(way);
        State {
            reqid,
            generation: self.generation,
            icv: self.icv,
            // Only the receiver keeps a window, but the kernel wants one of every state with extended sequence
            // numbers: the smallest, then.
            replay_window: if way == Way::In { self.replay_window } else { self.esn.into() },
            esn: self.esn,
            selector: inner.selector(),
            lifetimes: self.lifetimes,
            mark: self.state_mark(way),
            set_mark: if way == Way::Out { self.marks.set_outbound } else { self.marks.set_inbound },
            if_id: self.if_id,
            encap: self.udp.map(|udp| if way == Way::Out { udp.outbound() } else { udp.inbound() }),
            ..State::new(src, dst, *spi, self.algorithm, key.clone())
        }
    }

    fn policy(
        &self,
        way: Way,
        direction: Direction,
        selector: Selector,
        reqid: u32,
        spi: Option<Spi>,
    ) -> Policy {
        let (src, dst) = self.ends(way);
        let pinned = way == Way::Out || self.pin_spi == PinSpi::All;
        let template = Template { spi: spi.filter(|_| pinned), ..Template::tunnel(src, dst, reqid) };
        let policy = Policy::through(selector, direction, template);
        let mark = if way == Way::Out { self.marks.outbound } else { self.marks.inbound };
        Policy { priority: self.priority, mark, if_id: self.if_id, ..policy }
    }

    /// The mark by which a state is found. What comes is found by its SPI: the packet has no mark yet.
    pub(super) fn state_mark(&self, way: Way) -> Option<Mark> {
        self.marks.outbound.filter(|_| way == Way::Out)
    }

    /// The outer source and destination.
    pub(super) fn ends(&self, way: Way) -> (IpAddr, IpAddr) {
        match way {
            Way::Out => (self.local, self.remote),
            Way::In => (self.remote, self.local),
        }
    }
}
