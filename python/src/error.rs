//! The library's errors as Python's: which class, and what stands in its attributes.

use guestnet::core::Error as CoreError;
use guestnet::{Error, Failure, State};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// Where the classes are, written in Python.
const MODULE: &str = "guestnet.errors";

/// The exception for `error`.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    build(py, error).unwrap_or_else(|failed| failed)
}

/// The exception for a host that was closed.
pub(crate) fn closed(py: Python<'_>) -> PyErr {
    let built = || {
        let class = py.import(MODULE)?.getattr("ClosedError")?.cast_into::<PyType>()?;
        class.call1(("the host was closed",))
    };
    built().map_or_else(|failed| failed, PyErr::from_value)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let attributes = PyDict::new(py);
    attributes.set_item("hint", error.hint())?;
    attributes.set_item("can_retry", error.can_retry())?;
    let core = match error {
        Error::Core(core) => Some(core),
        Error::Apply(failure) => {
            describe(&attributes, failure)?;
            failure.refusals.first().map(|refusal| &refusal.error)
        }
        _ => None,
    };
    let class = match core {
        Some(core) => {
            fill(&attributes, core)?;
            class_of(core)
        }
        // Nothing was refused, and the host is still not as wanted.
        None => "UnstableError",
    };
    let class = py.import(MODULE)?.getattr(class)?.cast_into::<PyType>()?;
    Ok(PyErr::from_value(class.call((error.to_string(),), Some(&attributes))?))
}

fn class_of(core: &CoreError) -> &'static str {
    match core {
        CoreError::Spec(_) => "SpecError",
        CoreError::Foreign(_) | CoreError::InUse(_) => "ConflictError",
        CoreError::Busy(_) => "BusyError",
        CoreError::Unsupported(_) => "UnsupportedError",
        CoreError::Kernel(_) | CoreError::Io { .. } if core.is_permission() => "NotPermittedError",
        CoreError::Kernel(_) | CoreError::Io { .. } => "KernelError",
        _ => "Error",
    }
}

fn fill(attributes: &Bound<'_, PyDict>, core: &CoreError) -> PyResult<()> {
    match core {
        CoreError::Spec(problems) => {
            let problems = problems.iter().map(|p| (p.path.as_str().to_owned(), p.message.clone()));
            attributes.set_item("problems", problems.collect::<Vec<_>>())
        }
        CoreError::Foreign(lines) | CoreError::InUse(lines) => attributes.set_item("foreign", lines),
        CoreError::Kernel(refusal) => {
            attributes.set_item("errno", refusal.errno)?;
            attributes.set_item("words", &refusal.words)
        }
        CoreError::Io { .. } => attributes.set_item("errno", core.errno()),
        _ => Ok(()),
    }
}

/// What was refused under way, and what state the host is in.
fn describe(attributes: &Bound<'_, PyDict>, failure: &Failure) -> PyResult<()> {
    let state = match &failure.state {
        State::Undone(_) | State::Mended(_) => "undone",
        State::PartlyUndone(_) => "partly undone",
        State::Unstable(_) => "unstable",
    };
    attributes.set_item("state", state)?;
    if let State::PartlyUndone(lines) | State::Unstable(lines) = &failure.state {
        attributes.set_item("differences", lines)?;
    }
    let refusals = failure.refusals.iter();
    let refusals = refusals.map(|r| (r.object.clone(), r.path.clone(), r.error.to_string()));
    attributes.set_item("refusals", refusals.collect::<Vec<_>>())?;
    attributes.set_item("path", failure.refusals.first().and_then(|refusal| refusal.path.clone()))
}
