//! Questions to `guestnet explain`, about a host that has guests of all kinds.

use std::sync::OnceLock;

use guestnet::HostSpec;

use crate::{memory, property};

/// A host with a firewall, and guests in its own namespace, in namespaces of theirs, on a bridge, of one family.
const HOST: &str = include_str!("explain.json");

fn host() -> &'static HostSpec {
    static SPEC: OnceLock<HostSpec> = OnceLock::new();
    SPEC.get_or_init(|| HostSpec::from_json(HOST).unwrap_or_else(|e| panic!("{e}")))
}

pub fn run(input: &[u8]) {
    let Ok(question) = std::str::from_utf8(input) else { return };
    let spec = host();
    let answer = memory::in_proportion(question.len(), || spec.explain(question));
    assert_eq!(answer, spec.explain(question), "asked twice");
    let plain = question.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(answer, spec.explain(&plain), "white space means nothing");
    match answer {
        Ok(answer) => {
            let passes = answer.steps.iter().all(|step| step.decision.passes);
            assert!(!answer.steps.is_empty() && answer.passes == passes, "{answer}");
            answer.to_string().lines().for_each(property::is_plain);
        }
        Err(words) => property::is_plain(&words),
    }
}
