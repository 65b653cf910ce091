//! The warnings that plans and reports have too: of the spec, of the tunnels that are there, of files that are not believed.

use guestnet_core::owner::Owner;
use guestnet_core::{Kind, Namespace, Netns, Set, Sysctl, netns};

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
    findings.extend(not_believed(host));
    let owner = Owner(host.cookie());
    let mut troubles = troubles_in(host);
    for name in netns::list().unwrap_or_default() {
        // Those that cannot be entered are others'.
        let named = netns::open(&name).and_then(|fd| Namespace::from_fd(fd, Netns::Named(name)));
        if let Ok(mut namespace) = named
            && namespace.owner() == Some(owner)
        {
            troubles.extend(troubles_in(&mut namespace));
            findings.extend(not_believed(&mut namespace));
            let mut guests = case.spec.iter().flat_map(|spec| &spec.guests);
            if let Some(guest) = guests.find(|guest| guest.netns() == *namespace.netns()) {
                findings.extend(ways::warnings_in(&mut namespace, guest).into_iter().map(Finding::from));
            }
        }
    }
    findings.extend(troubles.into_iter().map(Finding::from));
}

/// Lines of the ledger of sysctls of `namespace` that are not believed; none of what cannot be read.
fn not_believed(namespace: &mut Namespace) -> Vec<Finding> {
    if Sysctl::observe(namespace, &Set::new()).is_err() {
        return Vec::new();
    }
    let of = |line: &String| {
        Finding::new(
            Severity::Warning,
            "ledger",
            line,
            "an apply says so too, and writes the file anew when it next changes a sysctl",
            "see who else writes below /run/guestnet: it is root's alone",
        )
    };
    namespace.warnings().iter().map(of).collect()
}

impl From<Warning> for Finding {
    fn from(warning: Warning) -> Self {
        let Warning { id, what, meaning, remedy } = warning;
        Self::new(Severity::Warning, id, what, meaning, remedy)
    }
}
