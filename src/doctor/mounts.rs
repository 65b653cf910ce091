//! Where namespaces get their names, and where files go: who sees them, and who may write to them.

use std::path::Path;

use guestnet_core::{Error, netns, sysctl, trust};

use super::case::Case;
use super::{Finding, Severity};
use crate::host::DIRECTORY;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    if case.objects.is_none_or(|objects| !objects.namespaces.is_empty())
        && let Some(hidden) = netns::hidden(case.namespace.as_ref())
    {
        findings.push(Finding::new(
            Severity::Error,
            "private-mounts",
            hidden.what,
            hidden.meaning,
            hidden.remedy,
        ));
    }
    for directory in [DIRECTORY, sysctl::STATE, netns::DIRECTORY] {
        if let Err(Error::Untrusted(what)) = trust::directory(Path::new(directory)) {
            let (what, remedy) = what.split_once("; ").unwrap_or((&what, ""));
            findings.push(Finding::new(
                Severity::Error,
                "unsafe-directory",
                what,
                "who may write there could have put anything there, and guestnet refuses to work",
                remedy,
            ));
            // The same is found for those below it.
            break;
        }
    }
}
