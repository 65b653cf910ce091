//! From which lengths of prefixes on the kernel finds policies by a hash.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use guestnet_core::problem::{Path, Problems};
use guestnet_core::{
    Change, Context, Foreign, Kind, Namespace, Object, Observed, Outbox, Phase, Protocol, Result, Ripple, Set,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::policy::{Direction, Policy};
use crate::selector::is_ipv4;
use crate::spd::{self, Spd};

/// `ip xfrm policy set hthresh6 LOCAL REMOTE`: policies whose prefixes are at least so long are found by a hash. Shorter
/// ones stand in lists, where a change costs the more the more there are.
///
/// It changes nothing but speed, and the kernel does not say who has set it. So in a namespace that guestnet shares it
/// stays when guestnet's policies go, and one that somebody else has set stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HashThreshold {
    /// Of which packets.
    pub family: Family,
    /// Bits of the prefix at this end: 0 to 32 or 128.
    pub local: u8,
    /// Bits of the prefix at the other end.
    pub remote: u8,
}

/// The family of inner packets.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "InnerFamily")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    fn bits(self) -> u8 {
        if self == Self::Ipv4 { 32 } else { 128 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Ipv4 { "hthresh4" } else { "hthresh6" })
    }
}

impl fmt::Display for HashThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.local, self.remote)
    }
}

/// As many policies a list may hold as nobody notices.
const FEW: usize = 16;

impl HashThreshold {
    /// The kernel's own: single addresses.
    pub fn default_of(family: Family) -> Self {
        Self { family, local: family.bits(), remote: family.bits() }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default_of(self.family)
    }

    /// The one under which the policies of `family` are found soonest, if it makes a difference: of those that have the
    /// lengths of a policy, the one with the shortest list and the least full bucket together.
    pub fn fitting<'a>(family: Family, policies: impl IntoIterator<Item = &'a Policy>) -> Option<Self> {
        let ends: Vec<(IpNet, IpNet)> = policies.into_iter().map(ends).collect();
        let ends: Vec<_> = ends.into_iter().filter(|(l, _)| is_ipv4(l) == (family == Family::Ipv4)).collect();
        let cost = |threshold: Self| threshold.longest_search(&ends);
        let default = Self::default_of(family);
        let lengths: BTreeSet<_> = ends.iter().map(|(l, r)| (l.prefix_len(), r.prefix_len())).collect();
        let candidates = lengths.into_iter().map(|(local, remote)| Self { family, local, remote });
        let best = candidates.min_by_key(|threshold| cost(*threshold))?;
        (cost(best).saturating_add(FEW) < cost(default)).then_some(best)
    }

    /// How many policies the longest search passes: the list, and the fullest bucket.
    fn longest_search(self, ends: &[(IpNet, IpNet)]) -> usize {
        let mut buckets: HashMap<(IpNet, IpNet), usize> = HashMap::new();
        let mut list = 0;
        for (local, remote) in ends {
            match (cut(local, self.local), cut(remote, self.remote)) {
                (Some(local), Some(remote)) => *buckets.entry((local, remote)).or_default() += 1,
                _ => list += 1,
            }
        }
        list + buckets.into_values().max().unwrap_or(0)
    }

    /// Notes lengths that no prefix has.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for (name, length) in [("local", self.local), ("remote", self.remote)] {
            if length > self.family.bits() {
                problems.at(&path.field(name), format!("{length} is more than {} bits", self.family.bits()));
            }
        }
    }
}

/// The prefixes of a policy at this end and at the other.
fn ends(policy: &Policy) -> (IpNet, IpNet) {
    match policy.direction {
        Direction::Out => (policy.selector.src, policy.selector.dst),
        Direction::In | Direction::Fwd => (policy.selector.dst, policy.selector.src),
    }
}

/// The first `length` bits of a prefix that has as many.
fn cut(net: &IpNet, length: u8) -> Option<IpNet> {
    IpNet::new(net.network(), length).ok().filter(|_| net.prefix_len() >= length).map(|net| net.trunc())
}

impl Object for HashThreshold {
    type Key = Family;
    const KIND: &'static str = "xfrm policy";

    fn key(&self) -> Family {
        self.family
    }

    /// What policies of others need as well.
    fn less(&self, _gone: &Self) -> Option<Self> {
        Some(*self)
    }
}

impl Kind for HashThreshold {
    /// Before policies are loaded: with many of them the change is slow.
    const PHASES: &'static [Phase] = &[Phase::Settings];

    /// Not asked for where none is wanted. In a namespace of ours it is ours, elsewhere somebody else's.
    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        if wanted.is_empty() {
            return Ok(observed);
        }
        let is_ours = namespace.is_ours();
        for found in Spd::read(namespace)?.unwrap_or_default().thresholds {
            if is_ours {
                observed.ours.insert(found);
            } else if wanted.contains(&found.family) {
                observed.foreign.insert(found.family, Foreign { what: found.to_string(), satisfies: true });
            }
        }
        Ok(observed)
    }

    fn ripple(_: &Change<Self>) -> Ripple {
        Ripple::None
    }

    fn encode(change: &Change<Self>, _: Phase, _: &Context, out: &mut Outbox) -> Result<()> {
        let threshold = match change {
            Change::Create(new) | Change::Replace { new, .. } => *new,
            Change::Delete(old) => Self::default_of(old.family),
        };
        out.send(Protocol::Xfrm, spd::set(threshold));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Template;
    use crate::selector::Selector;

    fn policies(ends: impl Iterator<Item = (String, String)>) -> Vec<Policy> {
        let outer = |n: u8| std::net::Ipv4Addr::new(192, 0, 2, n).into();
        let both = ends.flat_map(|(local, remote)| {
            let out = Selector::new(local.parse().unwrap(), remote.parse().unwrap());
            let back = out.reversed();
            [
                Policy::through(out, Direction::Out, Template::tunnel(outer(1), outer(2), 1)),
                Policy::through(back, Direction::Fwd, Template::tunnel(outer(2), outer(1), 1)),
            ]
        });
        both.collect()
    }

    #[test]
    fn the_lengths_in_use_are_taken_and_few_wide_ones_stay_in_the_list() {
        let pair = |n: usize| (format!("fd00:1:{n:x}::/64"), format!("fd00:2:{n:x}::/56"));
        let many = policies((0..100).map(pair));
        let fitting = |policies: &[Policy]| HashThreshold::fitting(Family::Ipv6, policies);
        assert_eq!(fitting(&many), Some(HashThreshold { family: Family::Ipv6, local: 64, remote: 56 }));
        // One for everything would put all others into one bucket, if it set the threshold.
        let wide = policies(std::iter::once(("fd00::/8".into(), "::/0".into())));
        assert_eq!(fitting(&[many.clone(), wide].concat()), fitting(&many));
        assert_eq!(fitting(&many[..8]), None, "a list of a few does no harm");
        assert_eq!(HashThreshold::fitting(Family::Ipv4, &many), None);
        let single = |n: usize| (format!("10.0.0.{n}/32"), format!("10.1.0.{n}/32"));
        assert_eq!(HashThreshold::fitting(Family::Ipv4, &policies((0..100).map(single))), None, "as it is");
    }

    #[test]
    fn no_prefix_is_longer_than_an_address() {
        let mut problems = Problems::new();
        let threshold = HashThreshold { family: Family::Ipv4, local: 33, remote: 32 };
        threshold.check(&Path::root(), &mut problems);
        assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["local"]);
    }
}
