//! The documents about the firewall.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::{DocumentKind, VERSION};
use crate::drops::{HostDrops, NamespaceDrops};
use crate::explain::{Explanation, Step};

/// What the firewall has dropped.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "DropsOfHost")]
pub struct DropsDocument {
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// `drops`.
    #[schemars(extend("const" = "drops"))]
    pub kind: DocumentKind,
    /// For each namespace and each paragraph that has a counter.
    pub drops: Vec<NamespaceDrops>,
}

impl Serialize for HostDrops {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document =
            DropsDocument { version: VERSION, kind: DocumentKind::Drops, drops: self.drops.clone() };
        document.serialize(serializer)
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Explanation")]
pub struct ExplanationDocument {
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// `explanation`.
    #[schemars(extend("const" = "explanation"))]
    pub kind: DocumentKind,
    /// Whether it passes all places.
    pub passes: bool,
    /// The places, up to the first that drops it.
    pub steps: Vec<Step>,
    /// Facts that the spec does not say, and that would make the answer the other one. Empty where it says all.
    pub unknown: Vec<String>,
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = ExplanationDocument {
            version: VERSION,
            kind: DocumentKind::Explanation,
            passes: self.passes,
            steps: self.steps.clone(),
            unknown: self.unknown.clone(),
        };
        document.serialize(serializer)
    }
}
