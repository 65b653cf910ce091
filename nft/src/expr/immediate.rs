//! Constants.

use serde::{Deserialize, Serialize};

use super::{Bytes, Register};

/// Loads a constant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Immediate {
    /// The constant.
    pub data: Bytes,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub register: Register,
}
