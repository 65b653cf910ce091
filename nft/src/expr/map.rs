//! Maps.

use serde::{Deserialize, Serialize};

use super::Register;
use crate::Name;

/// Loads what a map has for a key: `… map @inbound`. Does not match where the map has nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// The map.
    pub map: Name,
    /// The key.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub register: Register,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub to: Register,
}
