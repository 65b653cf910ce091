//! The document of a plan.

use guestnet_core::{Change, Netns};
use schemars::JsonSchema;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{DocumentKind, NetnsName, VERSION};
use crate::objects::AnyObject;
use crate::plan::{Plan, PlannedChange, What};

/// What makes a host as it shall be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub struct PlanDocument {
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// `plan`.
    #[schemars(extend("const" = "plan"))]
    pub kind: DocumentKind,
    /// What would change. Empty, with no conflicts: the host is as wanted.
    pub changes: Vec<ChangeDocument>,
    /// What others have where guestnet's should be, a line each. With one of these a plan cannot be applied.
    pub conflicts: Vec<String>,
    /// Links that somebody uses and that would have to be deleted and made again, a line each. An apply does so only when it
    /// is allowed to by name.
    #[serde(default)]
    pub in_use: Vec<String>,
    /// What is guestnet's, no longer wanted and nevertheless left, with the reason, a line each.
    pub left: Vec<String>,
    /// What of the spec may not be meant, or is so on the host and no apply mends, a line each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Tunnels that refuse what the other end sends, a line each. Only `verify` looks for them: with one of these it fails.
    #[serde(default)]
    pub refusing: Vec<String>,
}

/// One change of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Change")]
pub struct ChangeDocument {
    /// What is done to the object.
    pub operation: Operation,
    /// The name of the namespace that the object is in; null for the host's own, and for files.
    #[schemars(with = "Option<String>")]
    pub namespace: Option<NetnsName>,
    /// The kind of the object: `link`, `route`, `file`.
    pub kind: String,
    /// The change in words, as the plan prints it for people.
    pub text: String,
    /// The object as it will be, in the form that it has in a spec; of a deletion the object that goes.
    #[schemars(with = "AnyObject")]
    pub object: Value,
    /// The object as it is; null unless it is replaced.
    #[schemars(with = "Option<AnyObject>")]
    pub was: Option<Value>,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// It is made: `+`.
    Create,
    /// It becomes another: `~`.
    Replace,
    /// It is removed: `-`.
    Delete,
}

impl TryFrom<&PlannedChange> for ChangeDocument {
    type Error = serde_json::Error;

    fn try_from(change: &PlannedChange) -> serde_json::Result<Self> {
        let (object, was) = match &change.what {
            What::Namespace(of) => (serde_json::json!({ "name": of.key() }), None),
            What::Object(of) => of.to_json()?,
            What::File(Change::Create(file) | Change::Delete(file)) => (serde_json::to_value(file)?, None),
            What::File(Change::Replace { old, new }) => {
                (serde_json::to_value(new)?, Some(serde_json::to_value(old)?))
            }
        };
        let operation = match change.sign() {
            '+' => Operation::Create,
            '-' => Operation::Delete,
            _ => Operation::Replace,
        };
        let namespace = match &change.netns {
            Netns::Host => None,
            Netns::Named(name) => Some(name.clone()),
        };
        Ok(Self { operation, namespace, kind: change.kind().into(), text: change.text(), object, was })
    }
}

impl TryFrom<&Plan> for PlanDocument {
    type Error = serde_json::Error;

    fn try_from(plan: &Plan) -> serde_json::Result<Self> {
        Ok(Self {
            version: VERSION,
            kind: DocumentKind::Plan,
            changes: plan.changes.iter().map(ChangeDocument::try_from).collect::<Result<_, _>>()?,
            conflicts: plan.conflicts(),
            in_use: plan.in_use.clone(),
            left: plan.left.clone(),
            warnings: plan.warnings.clone(),
            refusing: plan.refusing.clone(),
        })
    }
}

impl Serialize for PlannedChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ChangeDocument::try_from(self).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PlanDocument::try_from(self).map_err(S::Error::custom)?.serialize(serializer)
    }
}
