//! What can be wrong with a tunnel, and with tunnels beside each other.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use guestnet_core::problem::{Path, Problems};

use super::lower::Way;
use super::{GivenStates, Pair, TunnelSpec};
use crate::derive::Inner;
use crate::policy::PolicyKey;
use crate::secret::Fingerprint;
use crate::selector::{check_prefix, is_ipv4};
use crate::source::SecretSource;
use crate::state::{StateKey, check_key, check_outer, check_reqid, check_window};

impl TunnelSpec {
    /// Notes what is wrong with it. `reqids` are those by which the namespace knows what is ours:
    /// [`guestnet_core::owner::REQIDS`] where guestnet shares it, `0..=u32::MAX` where guestnet made it.
    pub fn check(&self, reqids: &RangeInclusive<u32>, path: &Path, problems: &mut Problems) {
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
        check_reqid(self.reqid(), reqids, &path.field("reqid"), problems);
        check_clashes(&[(path.clone(), self)], |_, _| true, problems);
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

    /// The states that are there or follow, each with the path of what it comes from.
    fn planned(&self, path: &Path) -> Vec<Planned> {
        let mut planned = Vec::new();
        let prk = self.prk();
        for (way, name, src, dst) in
            [(Way::Out, "out", self.local, self.remote), (Way::In, "in", self.remote, self.local)]
        {
            for inner in self.inners() {
                let Ok((spi, key)) = self.spi_and_key(way, inner, prk.as_ref()) else { continue };
                let place = match self.states {
                    Some(_) => path.field("states").field(name).field(inner.name()),
                    None => path.field("secret"),
                };
                let given = self.states.is_some();
                planned.push(Planned {
                    what: format!("src {src} dst {dst} spi {spi}"),
                    key: StateKey { dst, spi, mark: self.state_mark(way) },
                    spi_at: if given { place.field("spi") } else { place.clone() },
                    fingerprint: key.fingerprint(),
                    key_at: if given { place.field("key") } else { place },
                });
            }
        }
        planned
    }
}

struct Planned {
    what: String,
    key: StateKey,
    spi_at: Path,
    fingerprint: Option<Fingerprint>,
    key_at: Path,
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

/// Notes where tunnels of one namespace are in each other's way: one SPI for two states of a destination, one key
/// for two states, one pair of prefixes twice. What is wrong with each of them alone, [`TunnelSpec::check`] says.
pub fn check_together<'a>(
    tunnels: impl IntoIterator<Item = (Path, &'a TunnelSpec)>,
    problems: &mut Problems,
) {
    check_clashes(&tunnels.into_iter().collect::<Vec<_>>(), |one, other| one != other, problems);
}

/// Notes the clashes between tunnels (by position) that `counts`.
fn check_clashes(
    tunnels: &[(Path, &TunnelSpec)],
    counts: impl Fn(usize, usize) -> bool,
    problems: &mut Problems,
) {
    let mut spis: BTreeMap<StateKey, (usize, Path)> = BTreeMap::new();
    let mut keys: BTreeMap<Fingerprint, (usize, String, bool)> = BTreeMap::new();
    let mut pairs: BTreeMap<PolicyKey, (usize, Path)> = BTreeMap::new();
    for (n, (path, tunnel)) in tunnels.iter().enumerate() {
        for state in tunnel.planned(path) {
            if let Some((first, at)) = spis.get(&state.key) {
                if counts(*first, n) {
                    let words = format!("{} is taken by the state at {at}", state.key);
                    problems
                        .at(&state.spi_at, format!("{words}; give another SPI, or another id or generation"));
                }
                continue;
            }
            spis.insert(state.key, (n, state.spi_at));
            let Some(fingerprint) = state.fingerprint else { continue };
            match keys.get(&fingerprint) {
                Some((_, _, true)) if tunnel.allow_shared_key => {}
                Some((first, what, _)) if counts(*first, n) => problems.at(
                    &state.key_at,
                    format!(
                        "the state {what} has the same key, which risks a nonce that is used twice (RFC 4106); give \
                         each state a key of its own, or say allow_shared_key"
                    ),
                ),
                Some(_) => {}
                None => {
                    keys.insert(fingerprint, (n, state.what, tunnel.allow_shared_key));
                }
            }
        }
        for (i, pair) in tunnel.pairs.iter().enumerate() {
            let at = path.field("pairs").index(i);
            let selector = crate::Selector::new(pair.local.trunc(), pair.remote.trunc());
            let (mark, if_id) = (tunnel.marks.outbound, tunnel.if_id);
            let key = PolicyKey { direction: crate::Direction::Out, selector, mark, if_id };
            match pairs.get(&key) {
                Some((first, other)) if counts(*first, n) => {
                    problems.at(&at, format!("the same pair of prefixes as {other}"));
                }
                Some(_) => {}
                None => {
                    pairs.insert(key, (n, at));
                }
            }
        }
    }
}
