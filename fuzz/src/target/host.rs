//! A whole host, read from the kernel's answers: planned for, observed, shown.

use std::sync::{Arc, OnceLock};

use guestnet::core::Protocol;
use guestnet::core::replay::Machine;
use guestnet::document::PlanDocument;
use guestnet::{CheckedSpec, Error, Host, HostSpec, Objects, Secrets};

use crate::kernel::Kernel;
use crate::{memory, property};

/// What the hosts of the corpus were planned for: guests of all kinds, with a firewall and with tunnels.
const WANTED: &str = include_str!("host.json");

/// What is wanted, lowered once for all inputs.
fn wanted() -> &'static CheckedSpec {
    static SPEC: OnceLock<CheckedSpec> = OnceLock::new();
    SPEC.get_or_init(|| CheckedSpec::from_json(WANTED, &Secrets::new()).unwrap_or_else(|e| panic!("{e}")))
}

/// A host that shall have nothing.
fn nothing() -> &'static CheckedSpec {
    static SPEC: OnceLock<CheckedSpec> = OnceLock::new();
    SPEC.get_or_init(|| HostSpec::default().try_into().unwrap_or_else(|e| panic!("{e}")))
}

pub fn run(input: &[u8]) {
    let open = || {
        let machine: Arc<dyn Machine> = Arc::new(Kernel::new(input, Protocol::Route));
        Host::played(machine)
    };
    let mut host = match open() {
        Ok(host) => host,
        Err(error) => return can_be_shown(&error),
    };
    for spec in [wanted(), nothing()] {
        host.prepare(spec);
        match memory::in_proportion(input.len(), || host.plan(spec)) {
            Ok(plan) => {
                for line in plan.to_string().lines() {
                    property::is_plain(line);
                    property::is_discreet(line);
                }
                let document =
                    PlanDocument::try_from(&plan).unwrap_or_else(|e| panic!("it cannot be printed: {e}"));
                property::is_discreet(&format!("{document:?}"));
            }
            Err(error) => can_be_shown(&error),
        }
    }
    match host.observe() {
        Ok(objects) => check(&objects),
        Err(error) => can_be_shown(&error),
    }
}

/// Asserts that what `show` prints is what `apply` reads.
fn check(objects: &Objects) {
    let printed = serde_json::to_string(objects).unwrap_or_else(|e| panic!("it cannot be printed: {e}"));
    property::is_discreet(&printed);
    let again: Objects =
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}, in what was printed: {printed}"));
    let twice = serde_json::to_string(&again).unwrap_or_else(|e| panic!("it cannot be printed: {e}"));
    assert_eq!(printed, twice);
}

fn can_be_shown(error: &Error) {
    error.to_string().lines().for_each(property::is_plain);
    property::is_discreet(&format!("{error} {error:?}"));
}
