//! What a kernel, its modules, sysctls and limits mean for a spec: what is in its way, and what to do about it.
//!
//! What can be tried is tried, in a namespace that vanishes afterwards, instead of being concluded from a version.
//! Nothing is changed.

mod bridges;
mod case;
mod foreign;
mod limits;
mod links;
mod mounts;
mod neighbours;
mod others;
mod programs;
mod rights;
mod routes;
mod sources;
mod trial;
mod uplink;
mod warnings;
mod xfrm_stat;

use std::fmt;

use guestnet_core::{NetnsName, visible};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::Error;
use crate::spec::HostSpec;

use case::Case;

/// What one check has found. What is as it should be is not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What sort of finding it is; stable: `no-esp`.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is so: `net/ipv4/conf/eth0/rp_filter is 1`.
    pub what: String,
    /// What that means for the guests.
    pub meaning: String,
    /// What to do about it.
    pub remedy: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The spec cannot be applied, or applying it cuts something off.
    Error,
    /// It can be applied, and guests will notice.
    Warning,
    /// Good to know.
    Note,
}

/// What was found, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// How bad the worst is; `None` where nothing was found.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).min()
    }
}

/// A check: adds what it finds.
type Check = fn(&mut Case<'_>, &mut Vec<Finding>);

const CHECKS: &[Check] = &[
    rights::check,
    mounts::check,
    trial::check,
    programs::check,
    uplink::check,
    neighbours::check,
    foreign::check,
    others::check,
    sources::check,
    bridges::check,
    limits::check,
    xfrm_stat::check,
    warnings::check,
];

/// Says what the host that the caller is in, or the namespace that `ip netns` calls `netns`, means for `spec`; without
/// one what it means for guests in general.
///
/// # Errors
/// When the spec is wrong, or the namespace is not there or may not be entered. That something else is not permitted is
/// a finding.
pub fn examine(netns: Option<&NetnsName>, spec: Option<&HostSpec>) -> Result<Diagnosis, Error> {
    let objects = spec.map(HostSpec::objects).transpose()?;
    let mut findings = case::at(netns, spec, objects.as_ref(), |case| {
        let mut findings = Vec::new();
        CHECKS.iter().for_each(|check| check(case, &mut findings));
        findings
    })?;
    findings.sort_by_key(|finding| finding.severity);
    Ok(Diagnosis { findings })
}

impl Finding {
    fn new(
        severity: Severity,
        id: &str,
        what: impl Into<String>,
        meaning: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { id: id.into(), severity, what: what.into(), meaning: meaning.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, severity, what, meaning, remedy } = self;
        let [what, meaning, remedy] = [what, meaning, remedy].map(|text| visible(text));
        write!(f, "{severity}: {what}: {meaning} [{id}]\n  remedy: {remedy}")
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return f.write_str("nothing is in the way");
        }
        for (n, finding) in self.findings.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}
