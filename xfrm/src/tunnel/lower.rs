//! From a tunnel to its states and policies. Pure.

use std::net::IpAddr;

use guestnet_core::{Error, Result};
use ipnet::IpNet;

use super::{GivenState, PinSpi, TunnelSpec};
use crate::derive::{Inner, Prk, Purpose};
use crate::policy::{Direction, Policy, Template};
use crate::selector::{Mark, Selector};
use crate::source::{KeySource, Source};
use crate::spi::Spi;
use crate::state::State;

/// Whether a state encrypts or decrypts at this end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

impl TunnelSpec {
    /// The states and policies of this end.
    ///
    /// # Errors
    /// `Malformed` for a spec that [`TunnelSpec::check`] has something to say about, above all one whose secrets
    /// were not read.
    pub fn lower(&self) -> Result<(Vec<State>, Vec<Policy>)> {
        let mut states = Vec::new();
        // Derived once: there may be thousands of policies.
        let mut spis = Vec::new();
        let prk = self.prk();
        for way in [Way::Out, Way::In] {
            for inner in self.inners() {
                let state = self.state(way, inner, prk.as_ref())?;
                spis.push((way, inner, state.spi));
                states.push(state);
            }
        }
        let reqid = self.reqid();
        let policy = |way, direction, from: &IpNet, to: &IpNet| {
            let inner = self.inner_of(from);
            let spi = spis.iter().find(|(w, i, _)| (*w, *i) == (way, inner)).map(|(_, _, spi)| *spi);
            self.policy(way, direction, Selector::new(*from, *to), reqid, spi)
        };
        let mut policies = Vec::new();
        for pair in &self.pairs {
            let (local, remote) = (&pair.local, &pair.remote);
            policies.push(policy(Way::Out, Direction::Out, local, remote));
            policies.push(policy(Way::In, Direction::Fwd, remote, local));
            if pair.host {
                policies.push(policy(Way::In, Direction::In, remote, local));
            }
        }
        Ok((states, policies))
    }

    fn state(&self, way: Way, inner: Inner, prk: Option<&Prk>) -> Result<State> {
        let (src, dst) = self.ends(way);
        let (spi, key) = self.spi_and_key(way, inner, prk)?;
        Ok(State {
            reqid: self.reqid(),
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
            ..State::new(src, dst, spi, self.algorithm, key)
        })
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
    fn ends(&self, way: Way) -> (IpAddr, IpAddr) {
        match way {
            Way::Out => (self.local, self.remote),
            Way::In => (self.remote, self.local),
        }
    }

    /// What keys and SPIs are derived from, if they are.
    pub(super) fn prk(&self) -> Option<Prk> {
        self.secret.as_ref().and_then(Source::given).map(Prk::of)
    }

    pub(super) fn spi_and_key(&self, way: Way, inner: Inner, prk: Option<&Prk>) -> Result<(Spi, KeySource)> {
        if let Some(given) = self.given(way, inner)? {
            return Ok((given.spi, given.key.clone()));
        }
        let prk = prk.ok_or_else(|| self.missing("its secret is missing or was not read"))?;
        let purpose = self.purpose(way, inner);
        let spi = purpose.spi(prk);
        Ok((spi, purpose.key(prk, spi, self.algorithm).into()))
    }

    fn given(&self, way: Way, inner: Inner) -> Result<Option<&GivenState>> {
        let Some(states) = &self.states else { return Ok(None) };
        let direction = if way == Way::Out { &states.outbound } else { &states.inbound };
        direction.get(inner).map(Some).ok_or_else(|| self.missing("a state is not given"))
    }

    fn purpose(&self, way: Way, inner: Inner) -> Purpose {
        // Not the outer addresses: behind NAT the ends see different ones.
        let (src, dst) = match way {
            Way::Out => (self.known_as(), self.remote),
            Way::In => (self.remote, self.known_as()),
        };
        Purpose { src, dst, inner, tunnel: self.id, generation: self.generation }
    }

    fn missing(&self, what: &str) -> Error {
        Error::malformed(format!("the tunnel from {} to {}", self.local, self.remote), what)
    }
}
