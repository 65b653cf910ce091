//! A host. One call at a time works on it; others wait, without Python's lock.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use guestnet::core::name::NameError;
use guestnet::core::owner::Owner;
use guestnet::core::{LinkName, NetnsName};
use guestnet::rekey::{self, RekeyLimits};
use guestnet::xfrm::Limits;
use guestnet::{Error, Host as RustHost, doctor};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error;
use crate::log::Log;
use crate::plan::Plan;
use crate::spec::{Spec, json, named};

/// A host that was opened.
#[pyclass(frozen, module = "guestnet._native")]
pub(crate) struct Host {
    open: Mutex<Option<RustHost>>,
    log: Log,
}

#[pymethods]
impl Host {
    #[new]
    #[pyo3(signature = (netns, files, wait))]
    fn new(py: Python<'_>, netns: Option<&str>, files: Option<PathBuf>, wait: Option<f64>) -> PyResult<Self> {
        let name = netns.map(name_of).transpose()?;
        let wait = match wait {
            Some(seconds) => {
                Some(Duration::try_from_secs_f64(seconds).map_err(|e| PyValueError::new_err(e.to_string()))?)
            }
            None => None,
        };
        let opened = py.detach(|| match &name {
            Some(name) => RustHost::in_namespace(name),
            None => RustHost::open(),
        });
        let mut host = opened.map_err(|e| error::raise(py, &e))?;
        if let Some(directory) = files {
            host = host.files_in(directory);
        }
        if let Some(wait) = wait {
            host = host.wait_at_most(wait);
        }
        let log = Log::of(&mut host);
        Ok(Self { open: Mutex::new(Some(host)), log })
    }

    /// The directory below which the files for daemons are.
    fn directory(&self, py: Python<'_>) -> PyResult<PathBuf> {
        self.with(py, |host| Ok(host.directory().to_owned()))
    }

    /// What would change.
    fn plan(&self, py: Python<'_>, spec: &Spec) -> PyResult<Plan> {
        self.with(py, |host| host.plan(&spec.0).map(Plan))
    }

    /// What would change, and which tunnels refuse packets.
    fn verify(&self, py: Python<'_>, spec: &Spec) -> PyResult<Plan> {
        self.with(py, |host| host.verify(&spec.0).map(Plan))
    }

    /// Makes the host as the spec wants it; returns the report as JSON.
    fn apply(&self, py: Python<'_>, spec: &Spec, remake: Vec<String>) -> PyResult<String> {
        let remake = links(&remake)?;
        json(self.with(py, |host| {
            host.may_remake(remake);
            host.apply(&spec.0)
        })?)
    }

    /// What adding would change.
    fn plan_add(&self, py: Python<'_>, spec: &Spec) -> PyResult<Plan> {
        self.with(py, |host| host.plan_add(&spec.0).map(Plan))
    }

    /// Adds what the spec describes; returns the report as JSON.
    fn add(&self, py: Python<'_>, spec: &Spec, remake: Vec<String>) -> PyResult<String> {
        let remake = links(&remake)?;
        json(self.with(py, |host| {
            host.may_remake(remake);
            host.add(&spec.0)
        })?)
    }

    /// Removes what the spec describes; returns the report as JSON.
    fn remove(&self, py: Python<'_>, spec: &Spec) -> PyResult<String> {
        json(self.with(py, |host| host.remove(&spec.0))?)
    }

    /// Removes everything that is guestnet's; returns the report as JSON.
    fn remove_all(&self, py: Python<'_>) -> PyResult<String> {
        json(self.with(py, RustHost::remove_all)?)
    }

    /// Takes over what a host that is gone has left; returns the report as JSON.
    fn adopt(&self, py: Python<'_>, owner: u64) -> PyResult<String> {
        json(self.with(py, move |host| host.adopt(Owner(owner)))?)
    }

    /// What guestnet has made, as JSON.
    fn observe(&self, py: Python<'_>) -> PyResult<String> {
        json(self.with(py, RustHost::observe)?)
    }

    /// Does one act of rekeying; takes a step and returns a confirmation, both JSON.
    fn rekey(&self, py: Python<'_>, step: &str, secrets: Option<&str>) -> PyResult<String> {
        let confirmation = self.with(py, |host| {
            let secrets = named(secrets)?;
            host.rekey(&rekey::step_from_json(step, &secrets)?)
        })?;
        json(confirmation)
    }

    /// What the tunnels are doing, and when they are due by these limits, as JSON.
    fn tunnels(
        &self,
        py: Python<'_>,
        seconds: Option<NonZeroU64>,
        bytes: Option<NonZeroU64>,
        packets: Option<NonZeroU64>,
    ) -> PyResult<String> {
        let limits = RekeyLimits { limits: Limits { seconds, bytes, packets }, ..RekeyLimits::default() };
        json(self.with(py, |host| host.tunnels(&limits))?)
    }

    /// What the firewall has dropped, as JSON.
    fn drops(&self, py: Python<'_>) -> PyResult<String> {
        json(self.with(py, RustHost::drops)?)
    }

    /// Closes the descriptors. Idempotent.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whether it was closed.
    fn is_closed(&self, py: Python<'_>) -> bool {
        py.detach(|| self.open.lock().unwrap_or_else(PoisonError::into_inner).is_none())
    }
}

impl Host {
    /// Runs `work` on the host without Python's lock, then tells what was done.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut RustHost) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        self.log.begin(py)?;
        let done = py.detach(|| {
            // A panic left the host's descriptors as they were, and what it knows is read anew in every call.
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.as_mut().map(work)
        });
        self.log.end(py)?;
        match done {
            Some(done) => done.map_err(|e| error::raise(py, &e)),
            None => Err(error::closed(py)),
        }
    }
}

/// What the host that the caller is in, or a namespace, means for a spec, as JSON.
#[pyfunction]
#[pyo3(signature = (netns, spec))]
pub(crate) fn examine(py: Python<'_>, netns: Option<&str>, spec: Option<&Spec>) -> PyResult<String> {
    let netns = netns.map(name_of).transpose()?;
    let diagnosis = py.detach(|| doctor::examine(netns.as_ref(), spec.map(|spec| &spec.0)));
    json(diagnosis.map_err(|e| error::raise(py, &e))?)
}

fn links(names: &[String]) -> PyResult<Vec<LinkName>> {
    let link = |name: &String| name.parse().map_err(|e: NameError| PyValueError::new_err(e.to_string()));
    names.iter().map(link).collect()
}

fn name_of(netns: &str) -> PyResult<NetnsName> {
    netns.parse::<NetnsName>().map_err(|e| PyValueError::new_err(e.to_string()))
}
