//! `counter`.

use serde::{Deserialize, Serialize};

/// Counts packets and bytes. What it counted is no part of a rule's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counter {}
