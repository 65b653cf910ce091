//! Rates of entries.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use guestnet_core::number;
use guestnet_nft::expr::{Limit, LimitUnit};
use serde::{Deserialize, Serialize};

/// How fast an entry fits: `limit rate 10/second burst 5 packets`. A stateful list asks for the first packet of a connection,
/// a stateless one for each.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The rate: `"10/second"`, `"600/hour"`.
    pub rate: Rate,
    /// How many may come at once; left out, 5.
    #[serde(default = "five")]
    pub burst: NonZeroU32,
}

fn five() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(4)
}

/// So many a unit of time: `10/second`, with `second`, `minute`, `hour`, `day` and 1 to 999999 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// The unit, by how many seconds it has.
    seconds: u32,
    count: u32,
}

impl Rate {
    const UNITS: [(&'static str, LimitUnit); 4] = [
        ("second", LimitUnit::Second),
        ("minute", LimitUnit::Minute),
        ("hour", LimitUnit::Hour),
        ("day", LimitUnit::Day),
    ];

    fn unit(self) -> (&'static str, LimitUnit) {
        let known = Self::UNITS.into_iter().find(|(_, unit)| unit.number() == self.seconds);
        known.unwrap_or(("second", LimitUnit::Second))
    }
}

impl RateLimit {
    /// As an expression.
    pub(crate) fn expression(self) -> Limit {
        let unit = self.rate.unit().1;
        Limit { rate: self.rate.count.into(), unit, burst: self.burst.get(), over: false, bytes: false }
    }

    /// As a part of the names of sets.
    pub(crate) fn suffix(self) -> String {
        format!("_limit_{}_{}_{}", self.rate.count, self.rate.unit().0, self.burst)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (count, unit) = text.split_once('/')?;
            let count = number(count).filter(|count| (1..=999_999).contains(count))?;
            let (_, unit) = Self::UNITS.into_iter().find(|(name, _)| *name == unit)?;
            Some(Self { seconds: unit.number(), count })
        };
        read().ok_or_else(|| {
            format!("{text:?} is no rate: 1 to 999999 a second, minute, hour or day, as in 10/second")
        })
    }
}

guestnet_core::checked_text!(Rate, String, "^[1-9][0-9]{0,5}/(second|minute|hour|day)$");

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_said_as_nft_says_them() {
        for text in ["1/second", "600/hour", "999999/day"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["0/second", "1000000/second", "1/week", "1", "01/second", "1/ second"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        let limit: RateLimit = serde_json::from_str(r#"{"rate": "2/minute"}"#).unwrap();
        assert_eq!(limit.expression().to_string(), "limit rate 2/minute burst 5 packets");
    }
}
