//! `limit`.

use std::fmt;

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::Expression;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Matches while packets come no faster than a rate: `limit rate 10/second burst 5 packets`. All packets that meet
/// the rule share it; in a set each element has one of its own ([`crate::Stateful`]).
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
    #[schemars(extend("default" = false))]
    pub over: bool,
    /// Counts bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
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
    /// nft's word for it.
    fn text(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

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

/// Attributes in the kernel's numbers, for reading.
const NFTA_LIMIT_RATE: u16 = 1;
const NFTA_LIMIT_UNIT: u16 = 2;
const NFTA_LIMIT_BURST: u16 = 3;
const NFTA_LIMIT_TYPE: u16 = 4;
const NFTA_LIMIT_FLAGS: u16 = 5;

impl Expression for Limit {
    const NAME: &'static str = "limit";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u64(c::NFTNL_EXPR_LIMIT_RATE, self.rate)
            .u64(c::NFTNL_EXPR_LIMIT_UNIT, self.unit.number().into())
            .u32(c::NFTNL_EXPR_LIMIT_BURST, self.burst)
            .u32(c::NFTNL_EXPR_LIMIT_TYPE, self.bytes.into())
            .u32(c::NFTNL_EXPR_LIMIT_FLAGS, self.over.into())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let unit = u32::try_from(raw.number(NFTA_LIMIT_UNIT)?).ok()?;
        Some(Self {
            rate: raw.number(NFTA_LIMIT_RATE)?,
            unit: LimitUnit::from_number(unit)?,
            burst: raw.u32(NFTA_LIMIT_BURST).unwrap_or(0),
            over: raw.u32(NFTA_LIMIT_FLAGS).unwrap_or(0) & 1 != 0,
            bytes: raw.u32(NFTA_LIMIT_TYPE).unwrap_or(0) != 0,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        for (field, words) in self.problems() {
            check.problem(field, words);
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        text.say(self.to_string());
    }
}

impl Limit {
    /// Fields that the kernel refuses, and why.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let rate = (self.rate == 0).then_some(("rate", "matches nothing: 1 is the least"));
        let burst = (self.burst == 0 && !self.bytes).then_some(("burst", "1 is the least for packets"));
        rate.into_iter().chain(burst)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.text();
        let over = if self.over { "over " } else { "" };
        let bytes = if self.bytes { " bytes" } else { "" };
        let burst = if self.bytes { "bytes" } else { "packets" };
        write!(f, "limit rate {over}{}{bytes}/{unit} burst {} {burst}", self.rate, self.burst)
    }
}
