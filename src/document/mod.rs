//! The documents: what guestnet says to programs, as JSON, each with its version, its kind and a schema.
//!
//! | document | of | `kind` |
//! |---|---|---|
//! | [`HostSpec`] | what is wanted, and what was observed | none: a spec is a form of the user's |
//! | [`PlanDocument`] | [`crate::Plan`] | `plan` |
//! | [`ReportDocument`] | [`crate::Report`] | `report` |
//! | [`crate::Tunnels`] | what the tunnels of a host are doing | `tunnels` |
//! | [`ErrorDocument`] | [`crate::Error`] | `error` |
//! | [`DoctorDocument`] | [`crate::doctor::Diagnosis`] | `doctor` |
//!
//! A version stays as long as no field changes its meaning or goes. Fields may be added: readers ignore what they do
//! not know. Fields that have nothing to say are there, as `null` or empty, so that readers need not ask.

mod doctor;
mod error;
mod firewall;
mod plan;
mod rendered;
mod report;

use guestnet_core::NetnsName;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use doctor::DoctorDocument;
pub use error::{ErrorClass, ErrorDocument, HostState, RefusalDocument};
pub use firewall::{DropsDocument, ExplanationDocument};
pub use plan::{ChangeDocument, Operation, PlanDocument};
pub use rendered::RenderedDocument;
pub use report::ReportDocument;

use crate::spec::{HostSpec, VERSION};

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DocumentKind {
    /// A [`PlanDocument`].
    Plan,
    /// A [`ReportDocument`].
    Report,
    /// [`crate::Tunnels`].
    Tunnels,
    /// An [`ErrorDocument`].
    Error,
    /// A [`DoctorDocument`].
    Doctor,
    /// A [`DropsDocument`].
    Drops,
    /// An [`ExplanationDocument`].
    Explanation,
    /// A [`RenderedDocument`].
    Rendered,
}

/// What guestnet has made on a host, in the form of a spec: what `guestnet show` prints and `guestnet apply` takes.
/// Secrets are shown as fingerprints.
#[derive(JsonSchema)]
#[schemars(rename = "Host", deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is what counts: it is written as a spec")]
struct HostDocument {
    /// The version of this form: 1.
    version: u32,
    /// The objects.
    #[schemars(default)]
    objects: crate::Objects,
}

/// The documents that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Described {
    /// A [`HostSpec`].
    Spec,
    /// A [`PlanDocument`].
    Plan,
    /// A [`ReportDocument`].
    Report,
    /// What was observed: a [`HostSpec`] that has nothing but objects.
    Host,
    /// [`crate::Tunnels`].
    Tunnels,
    /// An [`ErrorDocument`].
    Error,
    /// A [`DoctorDocument`].
    Doctor,
    /// A [`DropsDocument`].
    Drops,
    /// An [`ExplanationDocument`].
    Explanation,
    /// A [`RenderedDocument`].
    Rendered,
    /// A [`crate::xfrm::rekey::Step`].
    Step,
    /// A [`crate::xfrm::rekey::Confirmation`].
    Confirmation,
}

impl Described {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Spec,
        Self::Plan,
        Self::Report,
        Self::Host,
        Self::Tunnels,
        Self::Error,
        Self::Doctor,
        Self::Drops,
        Self::Explanation,
        Self::Rendered,
        Self::Step,
        Self::Confirmation,
    ];

    /// `spec`, `plan`, ….
    pub fn name(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Plan => "plan",
            Self::Report => "report",
            Self::Host => "host",
            Self::Tunnels => "tunnels",
            Self::Error => "error",
            Self::Doctor => "doctor",
            Self::Drops => "drops",
            Self::Explanation => "explanation",
            Self::Rendered => "rendered",
            Self::Step => "step",
            Self::Confirmation => "confirmation",
        }
    }

    /// What it is, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Spec => "what `guestnet apply` takes",
            Self::Plan => "what `guestnet plan` and `guestnet verify` print",
            Self::Report => "what `guestnet apply` and `guestnet remove` print",
            Self::Host => "what `guestnet show` prints",
            Self::Tunnels => "what `guestnet show tunnels` prints",
            Self::Error => "what any command prints on standard error when it fails",
            Self::Doctor => "what `guestnet doctor` prints",
            Self::Drops => "what `guestnet show firewall` prints",
            Self::Explanation => "what `guestnet explain` prints",
            Self::Rendered => "what `guestnet render` prints with -o json",
            Self::Step => "what `guestnet rekey` takes",
            Self::Confirmation => "what `guestnet rekey` prints",
        }
    }

    /// The JSON Schema (draft 2020-12).
    pub fn schema(self) -> Schema {
        // What is read may leave fields out; what is written has them all.
        let read = || SchemaSettings::draft2020_12().into_generator();
        let written = || SchemaSettings::draft2020_12().for_serialize().into_generator();
        let mut schema = match self {
            Self::Spec => read().into_root_schema_for::<HostSpec>(),
            Self::Plan => written().into_root_schema_for::<PlanDocument>(),
            Self::Report => written().into_root_schema_for::<ReportDocument>(),
            Self::Host => read().into_root_schema_for::<HostDocument>(),
            Self::Tunnels => written().into_root_schema_for::<crate::Tunnels>(),
            Self::Error => written().into_root_schema_for::<ErrorDocument>(),
            Self::Doctor => written().into_root_schema_for::<DoctorDocument>(),
            Self::Drops => written().into_root_schema_for::<DropsDocument>(),
            Self::Explanation => written().into_root_schema_for::<ExplanationDocument>(),
            Self::Rendered => written().into_root_schema_for::<RenderedDocument>(),
            Self::Step => read().into_root_schema_for::<guestnet_xfrm::rekey::Step>(),
            Self::Confirmation => written().into_root_schema_for::<guestnet_xfrm::rekey::Confirmation>(),
        };
        // The pattern that ipnet gives for IPv6 fits IPv4, too: an IPv4 prefix would be valid under both.
        if let Some(Value::Object(net)) = schema.pointer_mut("/$defs/IpNet")
            && let Some(either) = net.remove("oneOf")
        {
            net.insert("anyOf".into(), either);
        }
        RecursiveTransform(limit).transform(&mut schema);
        schema.insert("title".into(), format!("guestnet {}, version {VERSION}", self.name()).into());
        schema
    }
}

/// Says of a number of 32 bits how large it may be, which is left to its format otherwise: an annotation that few validators
/// look at.
fn limit(schema: &mut Schema) {
    if schema.get("format") == Some(&"uint32".into()) && schema.get("maximum").is_none() {
        schema.insert("maximum".into(), u32::MAX.into());
    }
}
