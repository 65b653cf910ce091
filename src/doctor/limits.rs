//! Limits of connection tracking, for guests whose translation uses it.

use guestnet_nat::Mode;

use super::case::Case;
use super::{Finding, Severity};

/// A guest that serves has some thousands of connections.
const CONNECTIONS: u64 = 4096;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let Some(spec) = case.spec else { return };
    let tracked = |guest: &&crate::spec::Guest| guest.nat.as_ref().unwrap_or(&spec.nat).mode == Mode::Tracked;
    let guests = spec.guests.iter().filter(tracked).count() as u64;
    let key = "net/netfilter/nf_conntrack_max";
    let Some(limit) = case.number(key).filter(|_| guests > 0) else { return };
    if limit < guests * CONNECTIONS {
        findings.push(Finding::new(
            Severity::Warning,
            "small-conntrack",
            format!("{key} is {limit}"),
            format!("that is {} connections for each of {guests} guests in tracked mode; one that opens more cuts off the others", limit / guests),
            format!("`sysctl -w {key}={}`, or \"nat\": {{\"mode\": \"notrack\"}}", guests * CONNECTIONS),
        ));
    }
    let count = case.number("net/netfilter/nf_conntrack_count").unwrap_or(0);
    if count > limit / 5 * 4 {
        findings.push(Finding::new(
            Severity::Warning,
            "full-conntrack",
            format!("{count} of {limit} connections are in use"),
            "new connections are about to be dropped",
            format!("`sysctl -w {key}={}`", 2 * limit),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::tests::Tree;
    use super::*;
    use crate::HostSpec;

    #[test]
    fn room_is_for_the_guests_that_are_tracked() {
        let spec = |mode: &str| {
            HostSpec::from_json(&format!(
                r#"{{"version": 1, "nat": {{"mode": "{mode}"}}, "guests": [{{"name": "a"}}, {{"name": "b"}}]}}"#
            ))
            .unwrap()
        };
        let tree = |name: &str, limit: &str, count: &str| {
            Tree::new(
                name,
                &[
                    ("sys/net/netfilter/nf_conntrack_max", limit),
                    ("sys/net/netfilter/nf_conntrack_count", count),
                ],
            )
        };
        let (small, large) =
            (tree("conntrack-small", "8191\n", "7000\n"), tree("conntrack-large", "8192\n", "6000\n"));
        assert_eq!(small.ids(check, &spec("tracked")), ["small-conntrack", "full-conntrack"]);
        assert!(small.ids(check, &spec("notrack")).is_empty());
        assert!(large.ids(check, &spec("tracked")).is_empty());
    }
}
