//! Neighbour tables, and neighbours that are proxied.

use std::collections::BTreeSet;

use guestnet_core::LinkName;

use super::case::Case;
use super::{Finding, Severity};

/// Entries of one guest on its host, in each family: both ends of its transit pair, and its own addresses.
const ENTRIES: u64 = 4;

/// With more proxied neighbours than this the kernel takes noticeably longer, for adding as for answering.
const MANY: usize = 10_000;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let interfaces: usize = case.guests().iter().map(|guest| guest.interfaces.len().max(1)).sum();
    let entries = ENTRIES * interfaces as u64;
    for family in ["ipv4", "ipv6"] {
        let key = format!("net/{family}/neigh/default/gc_thresh3");
        // Only the first namespace shows it, and it holds for all of them together.
        if let Some(limit) = case.of_kernel(&key).filter(|limit| *limit < entries) {
            findings.push(Finding::new(
                Severity::Warning,
                "small-neighbour-table",
                format!("{key} is {limit}"),
                format!("it is one table for all namespaces, and {interfaces} interfaces of guests may need {entries} entries: neighbours are forgotten, packets lost (\"neighbour table overflow\")"),
                format!("`sysctl -w {key}={}`, gc_thresh2 to half of it", 2 * entries),
            ));
        }
    }
    let Some(host) = case.host() else { return };
    let proxied = host.neighbours.len();
    // Of guests' neighbours the spec takes care itself, of those that are given as objects it does not.
    let links: BTreeSet<&LinkName> = host.neighbours.iter().map(|neighbour| &neighbour.dev).collect();
    for link in links {
        let delay = format!("net/ipv6/neigh/{link}/proxy_delay");
        if case.future(&delay).is_some_and(|delay| delay > 0) {
            findings.push(Finding::new(
                Severity::Warning,
                "slow-proxy",
                format!("{delay} is not 0"),
                format!("solicitations for the neighbours proxied on {link} are answered up to 0.8 s late, and no more than about 170 in a second"),
                format!(r#"put {{"key": "{delay}", "value": "0"}} among the sysctls of objects.host"#),
            ));
        }
    }
    if proxied > MANY {
        findings.push(Finding::new(
            Severity::Warning,
            "many-proxied",
            format!("{proxied} neighbours are proxied"),
            "the kernel keeps them in 16 lists: adding takes seconds, answering slows with their number",
            "ask for a routed prefix instead, of which nothing needs to be proxied",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::tests::Tree;
    use super::*;
    use crate::HostSpec;

    #[test]
    fn tables_of_the_whole_kernel_are_compared_with_the_guests() {
        let guests: Vec<String> = (0..100).map(|n| format!(r#"{{"name": "g{n}"}}"#)).collect();
        let spec =
            HostSpec::from_json(&format!(r#"{{"version": 1, "guests": [{}]}}"#, guests.join(","))).unwrap();
        let tree =
            |name: &str, limit: &str| Tree::new(name, &[("sys/net/ipv6/neigh/default/gc_thresh3", limit)]);
        let found = tree("small", "399\n").findings(check, &spec);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].id == "small-neighbour-table" && found[0].remedy.contains("gc_thresh3=800"),
            "{found:?}"
        );
        assert!(tree("large", "400\n").ids(check, &spec).is_empty());
    }
}
