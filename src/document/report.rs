//! The document of a report.

use guestnet_core::FilePath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::{DocumentKind, VERSION};
use crate::report::{PhaseTime, Report};

/// What an apply or a removal did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Report")]
pub struct ReportDocument {
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// `report`.
    #[schemars(extend("const" = "report"))]
    pub kind: DocumentKind,
    /// How many changes were carried out. 0: the host was already as wanted.
    pub changes: usize,
    /// The files that were written or removed, relative to the directory for files: whoever reads them should be told.
    #[schemars(with = "Vec<String>")]
    pub files: Vec<FilePath>,
    /// What is guestnet's and was left, with the reason, a line each.
    pub left: Vec<String>,
    /// How long the whole took, observing and verifying included, in microseconds.
    pub microseconds: u64,
    /// How long each phase took; only those in which something was done.
    pub phases: Vec<PhaseTime>,
}

impl From<&Report> for ReportDocument {
    fn from(report: &Report) -> Self {
        Self {
            version: VERSION,
            kind: DocumentKind::Report,
            changes: report.changes,
            files: report.files.clone(),
            left: report.left.clone(),
            microseconds: report.microseconds,
            phases: report.phases.clone(),
        }
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ReportDocument::from(self).serialize(serializer)
    }
}
