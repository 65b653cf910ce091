//! How long a state may be used.

use std::fmt;
use std::num::NonZeroU64;

use guestnet_core::problem::{Path, Problems};
use serde::{Deserialize, Serialize};

/// When a state has served: at a soft limit the kernel tells whoever listens (`XFRM_MSG_EXPIRE`), at a hard one
/// it deletes the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lifetimes {
    /// When to say that it is time for the next.
    #[serde(default, skip_serializing_if = "Limits::are_none")]
    pub soft: Limits,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Limits::are_none")]
    pub hard: Limits,
}

/// Limits of use; what is left out is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of inner packets (`limit byte-soft`, `byte-hard`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<NonZeroU64>,
    /// Packets (`limit packet-soft`, `packet-hard`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<NonZeroU64>,
    /// Seconds since the state was added (`limit time-soft`, `time-hard`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<NonZeroU64>,
}

impl Limits {
    pub(crate) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    fn each(&self) -> [(&'static str, &'static str, Option<NonZeroU64>); 3] {
        [
            ("bytes", "byte", self.bytes),
            ("packets", "packet", self.packets),
            ("seconds", "time", self.seconds),
        ]
    }
}

impl Lifetimes {
    pub(crate) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Notes soft limits behind the hard ones, which would never be heard of, and limits that are none.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for (end, limits) in [("soft", self.soft), ("hard", self.hard)] {
            for (name, _, limit) in limits.each() {
                if limit == Some(NonZeroU64::MAX) {
                    problems
                        .at(&path.field(end).field(name), "the kernel takes this for no limit; leave it out");
                }
            }
        }
        for ((name, _, soft), (_, _, hard)) in self.soft.each().into_iter().zip(self.hard.each()) {
            if let (Some(soft), Some(hard)) = (soft, hard)
                && soft > hard
            {
                let words = format!("the soft limit, {soft}, is behind the hard one, {hard}");
                problems.at(&path.field("soft").field(name), words);
            }
        }
    }
}

impl fmt::Display for Lifetimes {
    /// As `ip xfrm state add` takes them, each with a space before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (end, limits) in [("soft", self.soft), ("hard", self.hard)] {
            for (_, unit, limit) in limits.each() {
                if let Some(limit) = limit {
                    write!(f, " limit {unit}-{end} {limit}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soft_limit_stands_before_the_hard_one() {
        let json =
            r#"{"soft": {"bytes": 9, "seconds": 5}, "hard": {"bytes": 8, "packets": 7, "seconds": 5}}"#;
        let lifetimes: Lifetimes = serde_json::from_str(json).unwrap();
        let mut problems = Problems::new();
        lifetimes.check(&Path::root().field("lifetimes"), &mut problems);
        let said: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(said, ["lifetimes.soft.bytes"]);
        let line =
            " limit byte-soft 9 limit time-soft 5 limit byte-hard 8 limit packet-hard 7 limit time-hard 5";
        assert_eq!(lifetimes.to_string(), line);
        let endless: Lifetimes =
            serde_json::from_str(r#"{"hard": {"packets": 18446744073709551615}}"#).unwrap();
        endless.check(&Path::root(), &mut problems);
        assert_eq!(problems.iter().last().unwrap().path.as_str(), "hard.packets");
        assert!(serde_json::from_str::<Limits>(r#"{"bytes": 0}"#).is_err(), "nothing could be sent");
    }
}
