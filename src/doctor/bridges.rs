//! What the kernel does with frames between ports of a bridge.

use super::case::Case;
use super::{Finding, Severity};

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let bridged = case.spec.is_none_or(|spec| !spec.bridges.is_empty());
    for family in ["iptables", "ip6tables"] {
        let key = format!("net/bridge/bridge-nf-call-{family}");
        if bridged && case.number(&key) == Some(1) {
            findings.push(Finding::new(
                Severity::Warning,
                "br-netfilter",
                format!("{key} is 1"),
                "br_netfilter sends frames between guests of a bridge through the host's IP rules and conntrack, which drop or translate what is not theirs",
                format!("`sysctl -w {key}=0`, or unload br_netfilter; who loaded it (often a container engine) may need it"),
            ));
        }
    }
}
