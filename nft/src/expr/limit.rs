//! `limit`.

use serde::{Deserialize, Serialize};

/// Matches while packets come no faster than a rate: `limit rate 10/second burst 5 packets`. All packets that meet
/// the rule share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How many packets, or bytes, a unit of time.
    pub rate: u64,
    /// The unit of time.
    pub unit: LimitUnit,
    /// How many more may come at once; for packets nft's default is 5.
    pub burst: u32,
    /// Matches what comes faster instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// Counts bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bytes: bool,
}

/// A unit of time, in the kernel's numbers: seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week.
    Week,
}

impl LimitUnit {
    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] = &[
        (Self::Second, 1),
        (Self::Minute, 60),
        (Self::Hour, 3600),
        (Self::Day, 86400),
        (Self::Week, 604800),
    ];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }
}
