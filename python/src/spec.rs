//! A spec that Rust has read.

use std::path::PathBuf;

use guestnet::core::{Error as CoreError, input, records};
use guestnet::{HostSpec, Secrets};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::error;

/// A spec that was read from a document, its secrets included.
#[pyclass(frozen, module = "guestnet._native")]
pub(crate) struct Spec(pub(crate) HostSpec);

#[pymethods]
impl Spec {
    /// Reads JSON, and what it names from `secrets`; raises `SpecError` with every problem.
    #[staticmethod]
    fn from_json(py: Python<'_>, text: &str, secrets: Option<&str>) -> PyResult<Self> {
        let read = || HostSpec::from_json_with(text, &named(secrets)?);
        py.detach(read).map(Self).map_err(|e| error::raise(py, &e.into()))
    }

    /// Reads TOML, and what it names from `secrets`; raises `SpecError` with every problem.
    #[staticmethod]
    fn from_toml(py: Python<'_>, text: &str, secrets: Option<&str>) -> PyResult<Self> {
        let read = || HostSpec::from_toml_with(text, &named(secrets)?);
        py.detach(read).map(Self).map_err(|e| error::raise(py, &e.into()))
    }

    /// Reads JSON that a record was written as. What is wrong beyond its form is said when it is used: every use
    /// checks it, and once is enough.
    #[staticmethod]
    fn of_record(py: Python<'_>, text: &str) -> PyResult<Self> {
        let read = || {
            let mut spec: HostSpec = records::from_str(text).ok()?;
            spec.load_secrets().is_empty().then_some(spec)
        };
        match py.detach(read) {
            Some(spec) => Ok(Self(spec)),
            // This one knows how to say all that is wrong.
            None => Self::from_json(py, text, None),
        }
    }

    /// Raises `SpecError` with every problem, if there is one.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        let problems = py.detach(|| self.0.problems());
        if problems.is_empty() { Ok(()) } else { Err(error::raise(py, &CoreError::from(problems).into())) }
    }

    /// What becomes of the packet that `words` describe, as JSON. Words that mean nothing are a `ValueError`.
    fn explain(&self, py: Python<'_>, words: &str) -> PyResult<String> {
        self.check(py)?;
        json(py.detach(|| self.0.explain(words)).map_err(PyValueError::new_err)?)
    }

    /// The `ip`, `sysctl` and `nft` lines that it amounts to.
    fn render(&self, py: Python<'_>) -> PyResult<String> {
        let rendered = py.detach(|| self.0.objects().map(|objects| guestnet::render(&objects)));
        rendered.map_err(|e| error::raise(py, &e.into()))
    }
}

/// Reads secrets by name: a JSON object.
pub(crate) fn named(secrets: Option<&str>) -> Result<Secrets, CoreError> {
    secrets.map_or_else(|| Ok(Secrets::new()), Secrets::from_json)
}

/// A document as JSON.
pub(crate) fn json(document: impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(&document).map_err(|e| PyValueError::new_err(e.to_string()))
}

/// The text of a document in a regular file. Raises `SpecError` that names the encoding, where it is not that of a spec.
#[pyfunction]
pub(crate) fn read(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let bytes = py.detach(|| input::file(&path, input::LONGEST)).map_err(|e| match e.raw_os_error() {
        // Python makes of a number the class that it has for it.
        Some(errno) => {
            let words = e.to_string().split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((errno, words, path.into_os_string()))
        }
        None => PyOSError::new_err(format!("{}: {e}", path.display())),
    })?;
    guestnet::spec::decode(&bytes).map(str::to_owned).map_err(|e| error::raise(py, &e.into()))
}

/// Text of others for a terminal: control characters as escapes.
#[pyfunction]
pub(crate) fn visible(text: &str) -> String {
    guestnet::core::visible(text).into_owned()
}

/// Text without what may be a key.
#[pyfunction]
pub(crate) fn without_keys(text: &str) -> String {
    guestnet::core::without_keys(text).into_owned()
}

/// The JSON Schema of a spec, as JSON.
#[pyfunction]
pub(crate) fn schema() -> PyResult<String> {
    json(HostSpec::schema())
}

/// The JSON of a TOML document that [`Spec::from_toml`] has taken.
#[pyfunction]
pub(crate) fn toml_to_json(text: &str) -> PyResult<String> {
    let value: serde_json::Value =
        toml::from_str(text).map_err(|e| PyValueError::new_err(e.message().to_owned()))?;
    serde_json::to_string(&value).map_err(|e| PyValueError::new_err(e.to_string()))
}
