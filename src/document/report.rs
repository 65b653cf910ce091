//! The document of a report.

use guestnet_core::{FilePath, NetnsName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::{DocumentKind, VERSION};
use crate::report::{GuestReport, PhaseTime, Report};

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
    /// The namespaces of guests that a host which is gone has left, and that are this host's now.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub taken_over: Vec<NetnsName>,
    /// What is guestnet's and was left, with the reason, a line each.
    pub left: Vec<String>,
    /// How long the whole took, observing and verifying included, in microseconds.
    pub microseconds: u64,
    /// How long each phase took; only those in which something was done.
    pub phases: Vec<PhaseTime>,
    /// What was done guest by guest, and what has to be restarted for it, by name; guests to whom nothing was done are not
    /// among them.
    #[serde(default)]
    pub guests: Vec<GuestReport>,
    /// What may not be meant, or is so and no apply mends, a line each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl From<&Report> for ReportDocument {
    fn from(report: &Report) -> Self {
        Self {
            version: VERSION,
            kind: DocumentKind::Report,
            changes: report.changes,
            files: report.files.clone(),
            taken_over: report.taken_over.clone(),
            left: report.left.clone(),
            microseconds: report.microseconds,
            phases: report.phases.clone(),
            guests: report.guests.clone(),
            warnings: report.warnings.clone(),
        }
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ReportDocument::from(self).serialize(serializer)
    }
}
