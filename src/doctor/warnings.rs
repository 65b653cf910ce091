//! The warnings that plans and reports have too: of the spec, and of the tunnels that are there.

use guestnet_core::owner::Owner;
use guestnet_core::{Namespace, Netns, netns};

use super::case::Case;
use super::{Finding, Severity};
use crate::tunnels::troubles_in;
use crate::warning::{self, Warning};
use crate::ways;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    if let (Some(spec), Some(objects)) = (case.spec, case.objects) {
        for warning in warning::of_spec(spec, objects) {
            // Another check may have had more to say about it.
            if !findings.iter().any(|finding| finding.id == warning.id) {
                findings.push(warning.into());
            }
        }
    }
    let Some(host) = &mut case.namespace else { return };
    if let (Some(spec), Some(objects)) = (case.spec, case.objects) {
        findings.extend(ways::warnings(host, spec, &objects.host).into_iter().map(Finding::from));
    }
    let owner = Owner(host.cookie());
    let mut troubles = troubles_in(host);
    for name in netns::list().unwrap_or_default() {
        // Those that cannot be entered are others'.
        let named = netns::open(&name).and_then(|fd| Namespace::from_fd(fd, Netns::Named(name)));
        if let Ok(mut namespace) = named
            && namespace.owner() == Some(owner)
        {
            troubles.extend(troubles_in(&mut namespace));
        }
    }
    findings.extend(troubles.into_iter().map(Finding::from));
}

impl From<Warning> for Finding {
    fn from(warning: Warning) -> Self {
        let Warning { id, what, meaning, remedy } = warning;
        Self::new(Severity::Warning, id, what, meaning, remedy)
    }
}
