//! When a tunnel is due for rekeying. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lifetime::Limits;
use crate::state::State;

/// When the keys of a tunnel have served. What is left out does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RekeyLimits {
    /// Of the oldest state in use: its age in seconds, bytes, packets.
    #[serde(default)]
    pub limits: Limits,
    /// Of the sequence numbers that its keys can count, how many per cent may be used; left out: 75. Past the last one
    /// the kernel sends nothing more: 2^32 packets, with extended sequence numbers (RFC 4304) 2^64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_percent: Option<u8>,
}

/// Whether a state is due, and why or when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// It has reached the limit of its age.
    Age,
    /// It has carried its bytes.
    Bytes,
    /// It has carried its packets.
    Packets,
    /// Its sequence numbers come to their end.
    Sequence,
    /// It will be in so many seconds: by age, or if it goes on to carry as much as it did since it was added.
    In(u64),
    /// Nothing limits it, or nothing goes by it.
    Never,
}

impl Due {
    /// Whether it is due now.
    pub fn is_now(self) -> bool {
        !matches!(self, Self::In(_) | Self::Never)
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age => f.write_str("now, by age"),
            Self::Bytes => f.write_str("now, by bytes"),
            Self::Packets => f.write_str("now, by packets"),
            Self::Sequence => f.write_str("now, by sequence number"),
            Self::In(seconds) => write!(f, "in {seconds} s"),
            Self::Never => f.write_str("never"),
        }
    }
}

/// In seconds. Longer nobody waits.
const A_CENTURY: u64 = 100 * 365 * 86_400;

/// How many per cent of the sequence numbers are used where a limit does not say it.
const SEQUENCE_PERCENT: u8 = 75;

/// Whether `state` is due for rekeying at the time `now`, in seconds since 1970. Of a tunnel the soonest of its newest
/// states counts.
///
/// ```
/// # use guestnet_xfrm::rekey::{Due, RekeyLimits, due};
/// # use guestnet_xfrm::{Algorithm, Key, Spi, State};
/// # let (src, dst) = ("2001:db8::1".parse()?, "2001:db8::2".parse()?);
/// # let key = Key::new((0..36).collect())?;
/// let mut state = State::new(src, dst, Spi::LOWEST, Algorithm::Aes256Gcm, key);
/// state.counters.added = 1_000;
/// let limits: RekeyLimits = serde_json::from_str(r#"{"limits": {"seconds": 86400}}"#)?;
/// assert_eq!(due(&state, &limits, 1_060), Due::In(86_340));
/// assert_eq!(due(&state, &limits, 90_000), Due::Age);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn due(state: &State, limits: &RekeyLimits, now: u64) -> Due {
    let age = state.counters.age(now);
    let last = if state.esn { u64::MAX } else { u32::MAX.into() };
    let percent = limits.sequence_percent.unwrap_or(SEQUENCE_PERCENT);
    let last = u128::from(last) * u128::from(percent) / 100;
    let limit = |limit: Option<std::num::NonZeroU64>| limit.map(|limit| u128::from(limit.get()));
    let sequence = state.sequence.sent.max(state.sequence.received);
    let counts = [
        (Due::Age, u128::from(age), limit(limits.limits.seconds)),
        (Due::Bytes, state.counters.bytes.into(), limit(limits.limits.bytes)),
        (Due::Packets, state.counters.packets.into(), limit(limits.limits.packets)),
        (Due::Sequence, sequence.into(), Some(last)),
    ];
    let mut soonest = None;
    for (due, count, limit) in counts {
        let Some(limit) = limit else { continue };
        if count >= limit {
            return due;
        }
        // At the pace so far; nothing is known of one that has just been added.
        let left = (limit - count).saturating_mul(age.max(1).into()).div_ceil(count.max(1));
        if count > 0 || due == Due::Age {
            let left = if due == Due::Age { limit - count } else { left };
            soonest = Some(soonest.map_or(left, |soonest: u128| soonest.min(left)));
        }
    }
    soonest
        .and_then(|left| u64::try_from(left).ok())
        .filter(|left| *left < A_CENTURY)
        .map_or(Due::Never, Due::In)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Algorithm, Key, Spi};

    fn state(age: u64, bytes: u64, packets: u64, sent: u64) -> State {
        let (src, dst) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let key = Key::new((0..36).collect()).unwrap();
        let mut state = State::new(src, dst, Spi::LOWEST, Algorithm::Aes256Gcm, key);
        (state.counters.added, state.counters.bytes, state.counters.packets) = (1000 - age, bytes, packets);
        state.sequence.sent = sent;
        state
    }

    fn limits(json: &str) -> RekeyLimits {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_limit_is_a_reason() {
        let limits = limits(r#"{"limits": {"seconds": 100, "bytes": 1000, "packets": 10}}"#);
        assert_eq!(due(&state(100, 0, 0, 0), &limits, 1000), Due::Age);
        assert_eq!(due(&state(50, 1000, 0, 0), &limits, 1000), Due::Bytes);
        assert_eq!(due(&state(50, 0, 10, 0), &limits, 1000), Due::Packets);
        assert_eq!(due(&state(50, 0, 0, 3 << 30), &limits, 1000), Due::Sequence);
        assert_eq!(due(&state(50, 900, 0, 0), &limits, 1000), Due::In(6), "100 bytes at 18 a second");
        assert_eq!(due(&state(50, 0, 0, 0), &RekeyLimits::default(), 1000), Due::Never);
        let extended = State { esn: true, ..state(50, 0, 0, 3 << 30) };
        assert_eq!(due(&extended, &RekeyLimits::default(), 1000), Due::Never, "in 2^62 more");
    }

    proptest! {
        #[test]
        fn what_is_said_to_be_due_later_is_due_then(
            age in 1_u64..1000, bytes in 0_u64..10_000, limit in 1_u64..20_000, seconds in 1_u64..2000,
        ) {
            let limits = limits(&format!(r#"{{"limits": {{"seconds": {seconds}, "bytes": {limit}}}}}"#));
            if let Due::In(left) = due(&state(age, bytes, 0, 0), &limits, 1000) {
                let mut later = state(age, bytes, 0, 0);
                later.counters.bytes += (bytes * left).div_ceil(age);
                prop_assert!(due(&later, &limits, 1000 + left).is_now());
                prop_assert!(left > 0);
            }
        }
    }
}
