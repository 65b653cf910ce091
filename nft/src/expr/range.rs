//! Comparing with an interval.

use serde::{Deserialize, Serialize};

use super::{Bytes, Register};

/// Matches when the register lies between two constants, both included. The order is that of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The lowest that matches.
    pub first: Bytes,
    /// The highest that matches, as many bytes.
    pub last: Bytes,
    /// Matches outside instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invert: bool,
    /// What is compared.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub register: Register,
}
