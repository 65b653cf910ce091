//! Verdict maps.

use serde::{Deserialize, Serialize};

use super::Register;
use crate::Name;

/// Decides by what a map has for a key: `… vmap @guests`. The next rule decides where it has nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictMap {
    /// The map.
    pub map: Name,
    /// The key.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub register: Register,
}
