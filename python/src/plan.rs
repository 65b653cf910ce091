//! A plan, in Python's own types.

use guestnet::core::Netns;
use guestnet::{Plan as RustPlan, PlannedChange};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// What a change is: sign, kind, name, namespace, text.
type Row = (char, &'static str, String, Option<String>, String);

/// A plan that was made.
#[pyclass(frozen, module = "guestnet._native")]
pub(crate) struct Plan(pub(crate) RustPlan);

#[pymethods]
impl Plan {
    /// Sign, kind, name, namespace and text of each change.
    fn rows(&self) -> Vec<Row> {
        self.0.changes().iter().map(row).collect()
    }

    /// How many changes there are.
    fn __len__(&self) -> usize {
        self.0.changes().len()
    }

    /// Whether the host is as wanted, and no tunnel was seen to refuse packets.
    fn holds(&self) -> bool {
        self.0.holds()
    }

    /// What of others' is in the way, a line each.
    fn conflicts(&self) -> Vec<String> {
        self.0.conflicts()
    }

    /// Links that somebody uses and that would have to be made again, a line each.
    fn in_use(&self) -> Vec<String> {
        self.0.in_use().to_vec()
    }

    /// What may not be meant, or is so and no apply mends, a line each.
    fn warnings(&self) -> Vec<String> {
        self.0.warnings().to_vec()
    }

    /// Tunnels that refuse what comes, a line each.
    fn refusing(&self) -> Vec<String> {
        self.0.refusing().to_vec()
    }

    /// The plan as a document.
    fn to_json(&self) -> PyResult<String> {
        serde_json::to_string(&self.0).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }
}

fn row(change: &PlannedChange) -> Row {
    let netns = match change.namespace() {
        Netns::Host => None,
        Netns::Named(name) => Some(name.to_string()),
    };
    (change.sign(), change.kind(), change.name(), netns, change.text())
}
