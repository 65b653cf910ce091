//! The routing tables.

use serde::{Deserialize, Serialize};

use super::Register;

/// Asks the routing tables about the packet: `fib saddr . iif oif`. With `present`, whether there is an answer
/// (1 or 0, one byte): `fib saddr . iif oif missing` is `present` compared with 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fib {
    /// What is asked.
    pub result: FibResult,
    /// By what.
    pub flags: Vec<FibFlag>,
    /// Loads only whether there is an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub present: bool,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
