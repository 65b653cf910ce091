//! `/proc/net/xfrm_stat` in words: packets that IPsec dropped, of the host and of its guests.

use guestnet_core::owner::Owner;
use guestnet_core::{Namespace, netns};

use super::case::Case;
use super::{Finding, Severity};

/// Counter, what it means, what to do (Documentation/networking/xfrm_proc.rst).
const COUNTERS: &[(&str, &str, &str)] = &[
    (
        "XfrmInNoStates",
        "they had an SPI that no state has",
        "rekey both ends in step, and compare SPIs: `guestnet show` at both",
    ),
    (
        "XfrmInStateProtoError",
        "their integrity check failed, or they could not be decrypted",
        "compare the fingerprints of the keys at both ends: `guestnet show`",
    ),
    (
        "XfrmInStateModeError",
        "the mode inside was not the state's",
        "make both ends from one description of the tunnel",
    ),
    (
        "XfrmInStateSeqError",
        "they came twice, or too late for the replay window",
        "a larger \"replay_window\" where the path reorders; otherwise somebody repeats packets",
    ),
    ("XfrmInStateExpired", "their state had expired", "rekey before the hard limits are reached"),
    (
        "XfrmInStateMismatch",
        "their state does not belong to the tunnel of the policy",
        "compare reqids and marks of both ends",
    ),
    ("XfrmInStateInvalid", "their state was being deleted", "nothing, unless it goes on"),
    (
        "XfrmInTmplMismatch",
        "they came in the clear, or through another tunnel than the policy says",
        "the other end sends around its tunnel: does it have its policies?",
    ),
    ("XfrmInNoPols", "no policy lets them in", "\"pairs\" at both ends have to mirror each other"),
    (
        "XfrmInPolBlock",
        "a policy blocks them",
        "nothing if they should be blocked; otherwise the tunnel is down",
    ),
    (
        "XfrmOutNoStates",
        "there was a policy and no state: the tunnel is down",
        "`guestnet verify`, then `guestnet apply`",
    ),
    (
        "XfrmOutStateProtoError",
        "they could not be encrypted",
        "is the algorithm there? `modprobe -a gcm aes`",
    ),
    (
        "XfrmOutStateSeqError",
        "the sequence numbers of the state are used up",
        "rekey; \"esn\": true lasts longer",
    ),
    ("XfrmOutStateExpired", "their state had expired", "rekey before the hard limits are reached"),
    (
        "XfrmOutBundleGenError",
        "there was no route to the other end of the tunnel, or too little room in its MTU",
        "is the endpoint of the other host reachable? `ip route get`",
    ),
    (
        "XfrmOutPolBlock",
        "a policy blocks them",
        "nothing if they should be blocked; otherwise the tunnel is down",
    ),
    ("XfrmFwdHdrError", "their headers could not be read", "who sends them is broken"),
    (
        "XfrmAcquireError",
        "a policy wanted a state that was not there",
        "`guestnet verify`, then `guestnet apply`",
    ),
    (
        "XfrmOutStateDirError",
        "their state is for the other direction",
        "do both directions have SPIs of their own?",
    ),
    (
        "XfrmInStateDirError",
        "their state is for the other direction",
        "do both directions have SPIs of their own?",
    ),
];

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
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(counter), Some(count)) = (words.next(), words.next().and_then(|n| n.parse::<u64>().ok()))
        else {
            continue;
        };
        if count == 0 {
            continue;
        }
        let known = COUNTERS.iter().find(|(name, ..)| *name == counter);
        let (meaning, remedy) = known.map_or(
            (
                "packets were dropped for a reason that only the kernel's own documentation names",
                "look it up in Documentation/networking/xfrm_proc.rst",
            ),
            |(_, meaning, remedy)| (*meaning, *remedy),
        );
        findings.push(Finding::new(
            Severity::Note,
            "ipsec-drops",
            format!("IPsec dropped {count} packets in {place} ({counter})"),
            meaning,
            remedy,
        ));
    }
}
