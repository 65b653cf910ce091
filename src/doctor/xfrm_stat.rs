//! `/proc/net/xfrm_stat` in words: packets that IPsec dropped, of the host and of its guests.

use guestnet_core::owner::Owner;
use guestnet_core::{Namespace, netns};
use guestnet_xfrm::stat::{self, Meaning};

use super::case::Case;
use super::{Finding, Severity};

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    report("the host", &case.read("thread-self/net/xfrm_stat").unwrap_or_default(), findings);
    let Some(owner) = case.namespace.as_ref().map(|namespace| Owner(namespace.cookie())) else { return };
    for name in netns::list().unwrap_or_default() {
        // Those that cannot be entered are others'.
        let Ok(namespace) = Namespace::named(&name) else { continue };
        if namespace.owner() != Some(owner) {
            continue;
        }
        let read = || Ok(case.read("thread-self/net/xfrm_stat").unwrap_or_default());
        if let Ok(text) = namespace.inside(read) {
            report(&format!("namespace {name}"), &text, findings);
        }
    }
}

fn report(place: &str, text: &str, findings: &mut Vec<Finding>) {
    for count in stat::parse(text) {
        let unknown = Meaning {
            cause: "for a reason that only the kernel's own documentation names",
            remedy: "look it up in Documentation/networking/xfrm_proc.rst",
        };
        let Meaning { cause, remedy } = count.meaning().unwrap_or(unknown);
        let what = format!("IPsec dropped {} packets in {place} ({})", count.packets, count.name);
        findings.push(Finding::new(Severity::Note, "ipsec-drops", what, cause, remedy));
    }
}
