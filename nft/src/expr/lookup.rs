//! Sets.

use serde::{Deserialize, Serialize};

use super::Register;
use crate::Name;

/// Matches when the register is in a set: `… @inbound`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The set; a map serves too.
    pub set: Name,
    /// Matches when it is not in the set: `… != @inbound`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invert: bool,
    /// The key.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub register: Register,
}
