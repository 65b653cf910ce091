//! What can be wrong with a tunnel, and with tunnels beside each other.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use guestnet_core::problem::{Path, Problems};

use super::keyed::KeyedState;
use super::lower::Way;
use super::{GivenStates, Keyed, Pair, TunnelSpec};
use crate::derive::Inner;
use crate::policy::PolicyKey;
use crate::secret::Fingerprint;
use crate::selector::{check_prefix, is_ipv4};
use crate::source::SecretSource;
use crate::state::{StateKey, check_key, check_outer, check_reqid, check_window};

impl TunnelSpec {
    /// Notes what is wrong with it, if it is the only one of its namespace. `reqids` are as for [`check_tunnels`].
    pub fn check(&self, reqids: &RangeInclusive<u32>, path: &Path, problems: &mut Problems) {
        check_tunnels(&[(path.clone(), &self.keyed())], reqids, problems);
    }

    fn check_alone(&self, path: &Path, problems: &mut Problems) {
        check_outer(self.local, self.remote, &path.field("remote"), problems);
        let pairs = path.field("pairs");
        if self.pairs.is_empty() {
            problems.at(&pairs, "a tunnel without pairs of prefixes carries nothing");
        }
        for (n, pair) in self.pairs.iter().enumerate() {
            check_pair(pair, &pairs.index(n), problems);
        }
        match (&self.secret, &self.states) {
            (Some(_), Some(_)) => problems.at(&path.field("states"), "given beside a secret: one of the two"),
            (None, None) => {
                problems.at(&path.field("secret"), "missing: a secret to derive keys from, or states")
            }
            (Some(secret), None) => check_secret(secret, &path.field("secret"), problems),
            (None, Some(states)) => self.check_states(states, &path.field("states"), problems),
        }
        check_window(self.replay_window, &path.field("replay_window"), problems);
        if self.esn && self.replay_window == 0 {
            let words = "extended sequence numbers need a replay window, of 1 at least";
            problems.at(&path.field("replay_window"), words);
        }
        self.lifetimes.check(&path.field("lifetimes"), problems);
        self.marks.check(&path.field("marks"), problems);
        self.check_path_mtu(&path.field("path_mtu"), problems);
        if let Some(udp) = self.udp {
            udp.check(self.local, &path.field("udp"), problems);
        }
    }

    fn check_states(&self, states: &GivenStates, path: &Path, problems: &mut Problems) {
        let wanted = self.inners();
        for (name, direction) in [("out", &states.outbound), ("in", &states.inbound)] {
            for inner in [Inner::Both, Inner::Ipv4, Inner::Ipv6] {
                let path = path.field(name).field(inner.name());
                match direction.get(inner) {
                    None if wanted.contains(&inner) => {
                        problems.at(&path, "missing: the shape and the pairs of the tunnel need this state");
                    }
                    Some(_) if !wanted.contains(&inner) => {
                        problems
                            .at(&path, "the shape and the pairs of the tunnel have no use for this state");
                    }
                    Some(state) => check_key(&state.key, self.algorithm, &path.field("key"), problems),
                    None => {}
                }
            }
        }
    }
}

/// A state of a tunnel, and the path of the tunnel.
#[derive(Clone, Copy)]
struct Planned<'a> {
    path: &'a Path,
    tunnel: &'a TunnelSpec,
    state: &'a KeyedState,
}

impl Planned<'_> {
    fn key(&self) -> StateKey {
        let (_, dst) = self.tunnel.ends(self.state.way);
        StateKey { dst, spi: self.state.spi, mark: self.tunnel.state_mark(self.state.way) }
    }

    /// The path of what its SPI (or its `key`) comes from.
    fn place(&self, field: &str) -> Path {
        if self.tunnel.states.is_none() {
            return self.path.field("secret");
        }
        let way = if self.state.way == Way::Out { "out" } else { "in" };
        self.path.field("states").field(way).field(self.state.inner.name()).field(field)
    }
}

impl fmt::Display for Planned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (src, dst) = self.tunnel.ends(self.state.way);
        write!(f, "src {src} dst {dst} spi {}", self.state.spi)
    }
}

fn check_pair(pair: &Pair, path: &Path, problems: &mut Problems) {
    check_prefix(&pair.local, &path.field("local"), problems);
    check_prefix(&pair.remote, &path.field("remote"), problems);
    if is_ipv4(&pair.local) != is_ipv4(&pair.remote) {
        let words = format!("{} is of another family than local, {}", pair.remote, pair.local);
        problems.at(&path.field("remote"), words);
    }
}

fn check_secret(secret: &SecretSource, path: &Path, problems: &mut Problems) {
    match secret {
        SecretSource::Given(_) => {}
        SecretSource::File(file) => problems.at(path, format!("{} was not read", file.display())),
        SecretSource::Named(name) => problems.at(path, format!("the secret {name} was not given")),
        SecretSource::Kept(_) => problems.at(
            path,
            "a secret cannot be kept: the kernel knows the keys, not what they come from; give the secret itself, as \
             hex digits or as a file",
        ),
    }
}

/// Notes what is wrong with the tunnels of one namespace, each with its path: with each of them, and where they are in each
/// other's way, which is one SPI for two states of a destination, one key for two states, one pair of prefixes twice.
///
/// `reqids` are those by which the namespace knows what is ours: [`guestnet_core::owner::REQIDS`] where guestnet shares it,
/// `0..=u32::MAX` where guestnet made it.
pub fn check_tunnels(tunnels: &[(Path, &Keyed<'_>)], reqids: &RangeInclusive<u32>, problems: &mut Problems) {
    for (path, keyed) in tunnels {
        keyed.tunnel.check_alone(path, problems);
        check_reqid(keyed.reqid, reqids, &path.field("reqid"), problems);
    }
    check_clashes(tunnels, problems);
}

fn check_clashes(tunnels: &[(Path, &Keyed<'_>)], problems: &mut Problems) {
    let mut spis: BTreeMap<StateKey, Planned<'_>> = BTreeMap::new();
    let mut keys: BTreeMap<Fingerprint, Planned<'_>> = BTreeMap::new();
    let mut pairs: BTreeMap<PolicyKey, (&Path, usize)> = BTreeMap::new();
    let pair_at = |path: &Path, n| path.field("pairs").index(n);
    for (path, Keyed { tunnel, states, .. }) in tunnels {
        for state in states {
            let state = Planned { path, tunnel, state };
            let key = state.key();
            if let Some(first) = spis.get(&key) {
                let words = format!("{key} is taken by the state at {}", first.place("spi"));
                let words = format!("{words}; give another SPI, or another id or generation");
                problems.at(&state.place("spi"), words);
                continue;
            }
            spis.insert(key, state);
            let Some(fingerprint) = state.state.key.fingerprint() else { continue };
            match keys.get(&fingerprint) {
                Some(first) if first.tunnel.allow_shared_key && tunnel.allow_shared_key => {}
                Some(first) => problems.at(
                    &state.place("key"),
                    format!(
                        "the state {first} has the same key, which risks a nonce that is used twice (RFC 4106); give \
                         each state a key of its own, or say allow_shared_key"
                    ),
                ),
                None => drop(keys.insert(fingerprint, state)),
            }
        }
        for (n, pair) in tunnel.pairs.iter().enumerate() {
            let selector = crate::Selector::new(pair.local.trunc(), pair.remote.trunc());
            let (mark, if_id) = (tunnel.marks.outbound, tunnel.if_id);
            let key = PolicyKey { direction: crate::Direction::Out, selector, mark, if_id };
            match pairs.get(&key) {
                Some((other, m)) => {
                    let words = format!("the same pair of prefixes as {}", pair_at(other, *m));
                    problems.at(&pair_at(path, n), words);
                }
                None => drop(pairs.insert(key, (path, n))),
            }
        }
    }
}
