//! Warnings: what can be done and may not be meant, or is so on the host and no apply mends. One place makes them, and every
//! answer has them: plans, reports, the doctor.

use std::fmt;

use guestnet_core::{Error as CoreError, Namespace, Netns};
use guestnet_firewall::{Entry, Transport};

use crate::again;
use crate::host::Host;
use crate::objects::Objects;
use crate::plan::Plan;
use crate::snapshot::Snapshot;
use crate::spec::HostSpec;
use crate::ways;

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What sort it is; stable: `no-ssh`.
    pub id: &'static str,
    /// What is so, and of what: `firewall.host.services lets nobody in by ssh (tcp 22)`.
    pub what: String,
    /// What follows from it.
    pub meaning: String,
    /// What to do about it.
    pub remedy: String,
}

impl Warning {
    pub(crate) fn new(
        id: &'static str,
        what: impl Into<String>,
        meaning: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { id, what: what.into(), meaning: meaning.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, meaning, remedy, .. } = self;
        write!(f, "{what}: {meaning}; {remedy}")
    }
}

impl Host {
    /// All that is to be warned of where `plan` makes of what was `found` what `spec` comes to (`wanted`).
    ///
    /// # Errors
    /// When the counters of tunnels cannot be read.
    pub(crate) fn warnings(
        &mut self,
        spec: Option<&HostSpec>,
        wanted: &Objects,
        plan: &Plan,
        found: &Snapshot,
    ) -> Result<Vec<String>, CoreError> {
        let mut all = spec.map(|spec| of_spec(spec, wanted)).unwrap_or_default();
        if let (Some(spec), Some(host)) = (spec, self.namespaces.open.get_mut(&Netns::Host)) {
            all.extend(ways::warnings(host, spec, &wanted.host));
        }
        for guest in spec.iter().flat_map(|spec| &spec.guests).filter(|guest| !guest.is_on_host()) {
            if let Some(namespace) = self.namespaces.open.get_mut(&guest.netns()) {
                all.extend(ways::warnings_in(namespace, guest));
            }
        }
        all.extend(again::warnings(wanted, plan, found));
        all.extend(self.troubles(wanted, found)?);
        let mut lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        lines.extend(self.namespaces.open.values().flat_map(Namespace::warnings).cloned());
        Ok(lines)
    }
}

/// The warnings about a spec, of which `objects` is what it comes to.
pub(crate) fn of_spec(spec: &HostSpec, objects: &Objects) -> Vec<Warning> {
    let mut all = Vec::new();
    let ssh = |entry: &Entry| {
        let protocol = entry.protocol.is_none_or(|protocol| protocol == Transport::TCP);
        protocol && (entry.ports.is_empty() || entry.ports.iter().any(|range| range.contains(22)))
    };
    let host = spec.firewall.as_ref().and_then(|firewall| firewall.host.as_ref());
    if host.is_some_and(|host| !host.services.iter().any(ssh)) {
        all.push(Warning::new(
            "no-ssh",
            "firewall.host.services: none lets anybody in by ssh (tcp 22)",
            "whoever administers this host that way will not come in again",
            "add the service, or mean it (docs/security.md 7.4)",
        ));
    }
    if let Some(count) = guestnet_ndp::too_many(&objects.host.neighbours) {
        all.push(Warning::new(
            "many-proxied",
            format!("{count} proxied neighbours of one family"),
            format!(
                "the kernel keeps them in 16 hash buckets, and adding and answering grows slow above {}",
                guestnet_ndp::CEILING
            ),
            "route the prefix to the host, or answer for it as a whole",
        ));
    }
    all
}

impl HostSpec {
    /// What may be meant, and is worth a second look before it is applied.
    pub fn warnings(&self) -> Vec<String> {
        let lowered = self.lower();
        let all = lowered.map_or_else(|_| Vec::new(), |lowered| of_spec(self, &lowered.objects));
        all.iter().map(ToString::to_string).collect()
    }
}
