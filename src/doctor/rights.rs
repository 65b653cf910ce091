//! What the caller may do.

use nix::sys::resource::{Resource, getrlimit};

use super::case::Case;
use super::{Finding, Severity};

/// capabilities(7).
const CAPABILITIES: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

/// What a process needs beside the namespaces of its guests: standard streams, sockets, files.
const OTHER_DESCRIPTORS: u64 = 64;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let status = case.read("thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    let lacks: Vec<&str> =
        CAPABILITIES.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect();
    if !lacks.is_empty() {
        findings.push(Finding::new(
            Severity::Error,
            "not-permitted",
            format!("the caller lacks {}", lacks.join(" and ")),
            "nothing can be changed, and not all can be looked at",
            "run it as root, or in a user namespace of your own: `unshare -Urnm` with a tmpfs on /run",
        ));
    }
    let map = case.read("self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().nth(2).is_none_or(|count| count == "4294967295");
    if !whole {
        findings.push(Finding::new(
            Severity::Note,
            "user-namespace",
            "the caller is in a user namespace",
            "limits of the whole kernel (neighbour tables, conntrack) can neither be seen nor set from here",
            "none is needed for a laboratory; look at those limits from outside",
        ));
    }
    let namespaces = case.objects.map_or(0, |objects| objects.namespaces.len() as u64);
    let needs = 4 * namespaces + OTHER_DESCRIPTORS;
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && hard < needs
    {
        findings.push(Finding::new(
            Severity::Error,
            "few-descriptors",
            format!("a process may open {hard} files"),
            format!("the {namespaces} namespaces of the guests need {needs}"),
            format!("raise the hard limit: `ulimit -Hn {needs}`, or LimitNOFILE={needs} in the unit"),
        ));
    }
}
