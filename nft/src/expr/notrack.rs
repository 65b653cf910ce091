//! `notrack`.

use serde::{Deserialize, Serialize};

/// Makes conntrack leave the packet alone. Works at a priority before conntrack's (-200).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notrack {}
