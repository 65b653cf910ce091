//! Masks.

use serde::{Deserialize, Serialize};

use super::{Bytes, Register};

/// `to = (register & mask) ^ xor`. Two registers cannot be combined before Linux 6.13.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bitwise {
    /// The bits that stay.
    pub mask: Bytes,
    /// The bits that are inverted then, as many bytes as the mask.
    pub xor: Bytes,
    /// Where from.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub register: Register,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub to: Register,
}
