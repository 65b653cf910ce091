//! The routing tables.

use std::collections::BTreeSet;

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::DataType;
use crate::check::RuleCheck;
use crate::render::{Term, Text};
use crate::sys::RawExpr;
use crate::view::View;

/// Asks the routing tables about the packet: `fib saddr . iif oif`. With `present`, whether there is an answer: 4 bytes
/// that are zero where there is none, so `fib saddr . iif oif missing` is `present` compared with `00000000`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fib {
    /// What is asked.
    pub result: FibResult,
    /// By what.
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    pub flags: BTreeSet<FibFlag>,
    /// Loads only whether there is an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub present: bool,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// What the routing tables can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FibResult {
    /// The index of the interface; 4 bytes, host order.
    Oif,
    /// The name of the interface; 16 bytes.
    Oifname,
    /// The type of the address (`RTN_*`); 4 bytes, host order.
    Addrtype,
}

impl FibResult {
    /// nft's word for it.
    fn text(self) -> &'static str {
        match self {
            Self::Oif => "oif",
            Self::Oifname => "oifname",
            Self::Addrtype => "type",
        }
    }

    /// How many bytes the answer has.
    fn size(self) -> usize {
        if self == Self::Oifname { 16 } else { 4 }
    }

    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] = &[(Self::Oif, 1), (Self::Oifname, 2), (Self::Addrtype, 3)];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }
}

/// What the routing tables are asked by (`NFTA_FIB_F_*`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FibFlag {
    /// The source address.
    Saddr,
    /// The destination address.
    Daddr,
    /// The packet's mark.
    Mark,
    /// The interface that the packet came from.
    Iif,
    /// The interface that the packet goes to.
    Oif,
}

impl FibFlag {
    /// nft's word for it.
    fn text(self) -> &'static str {
        match self {
            Self::Saddr => "saddr",
            Self::Daddr => "daddr",
            Self::Mark => "mark",
            Self::Iif => "iif",
            Self::Oif => "oif",
        }
    }

    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] =
        &[(Self::Saddr, 1), (Self::Daddr, 2), (Self::Mark, 4), (Self::Iif, 8), (Self::Oif, 16)];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }
}

/// `NFTA_FIB_F_PRESENT`.
const PRESENT: u32 = 32;

/// Attributes in the kernel's numbers, for reading.
const NFTA_FIB_DREG: u16 = 1;
const NFTA_FIB_RESULT: u16 = 2;
const NFTA_FIB_FLAGS: u16 = 3;

impl Expression for Fib {
    const NAME: &'static str = "fib";

    fn write(&self, raw: RawExpr) -> RawExpr {
        let present = if self.present { PRESENT } else { 0 };
        let flags = self.flags.iter().fold(present, |sum, flag| sum | flag.number());
        raw.u32(c::NFTNL_EXPR_FIB_DREG, self.register.number())
            .u32(c::NFTNL_EXPR_FIB_RESULT, self.result.number())
            .u32(c::NFTNL_EXPR_FIB_FLAGS, flags)
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let bits = raw.u32(NFTA_FIB_FLAGS)?;
        let flags = FibFlag::NUMBERS.iter().filter(|(_, bit)| bits & bit != 0).map(|(flag, _)| *flag);
        Some(Self {
            result: FibResult::from_number(raw.u32(NFTA_FIB_RESULT)?)?,
            flags: flags.collect(),
            present: bits & PRESENT != 0,
            register: Register::from_number(raw.u32(NFTA_FIB_DREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.loads(self.register, self.result.size());
        let has = |flag| self.flags.contains(&flag);
        if has(FibFlag::Saddr) == has(FibFlag::Daddr) {
            check.problem("flags", "either saddr or daddr is needed");
        }
        if has(FibFlag::Iif) && has(FibFlag::Oif) {
            check.problem("flags", "iif and oif exclude each other");
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let by = self.flags.iter().map(|flag| flag.text()).collect::<Vec<_>>().join(" . ");
        let ask = format!("fib {by} {}", self.result.text());
        let term = match self.result {
            _ if self.present => Term::presence(ask),
            FibResult::Oif => Term::new(ask, Some(DataType::IfaceIndex), self.result.size()),
            FibResult::Oifname => Term::new(ask, Some(DataType::Ifname), self.result.size()).loosely(),
            FibResult::Addrtype => Term::address_type(ask),
        };
        text.load(self.register, term);
    }
}
