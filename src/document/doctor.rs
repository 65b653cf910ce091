//! The document of a diagnosis.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::{DocumentKind, VERSION};
use crate::doctor::{Diagnosis, Finding};

/// What a kernel, its modules, sysctls and limits mean for a spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Doctor")]
pub struct DoctorDocument {
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// `doctor`.
    #[schemars(extend("const" = "doctor"))]
    pub kind: DocumentKind,
    /// What was found, the worst first. Empty: nothing is in the way.
    pub findings: Vec<Finding>,
}

impl From<&Diagnosis> for DoctorDocument {
    fn from(diagnosis: &Diagnosis) -> Self {
        Self { version: VERSION, kind: DocumentKind::Doctor, findings: diagnosis.findings.clone() }
    }
}

impl Serialize for Diagnosis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DoctorDocument::from(self).serialize(serializer)
    }
}
