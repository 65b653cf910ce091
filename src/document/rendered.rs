//! The document of a rendered spec.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DocumentKind, VERSION};

/// The `ip`, `sysctl` and `nft` lines that a spec amounts to, for review. Secrets are hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Rendered")]
pub struct RenderedDocument {
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// `rendered`.
    #[schemars(extend("const" = "rendered"))]
    pub kind: DocumentKind,
    /// The lines.
    pub text: String,
}

impl RenderedDocument {
    /// Renders `objects`.
    pub fn new(objects: &crate::Objects) -> Self {
        Self { version: VERSION, kind: DocumentKind::Rendered, text: crate::render(objects) }
    }
}

impl fmt::Display for RenderedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end_matches('\n'))
    }
}
