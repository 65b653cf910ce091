//! Specs in JSON.

use guestnet::spec::decode;
use guestnet::{CheckedSpec, HostSpec};

use crate::memory;
use crate::property::{self, beside};

pub fn run(input: &[u8]) {
    let text = match decode(input) {
        Ok(text) => text,
        Err(error) => return property::can_be_shown(&error),
    };
    if serde_json::from_str(text).is_ok_and(|tree| property::names_files(&tree)) {
        return;
    }
    match memory::in_proportion(text.len(), || CheckedSpec::from_json(text, &beside())) {
        Ok(spec) => check(&spec.into_spec()),
        Err(error) => property::can_be_shown(&error),
    }
}

/// Asserts of a spec that was read that it is what it is printed as.
pub fn check(spec: &HostSpec) {
    let printed = serde_json::to_string(spec).unwrap_or_else(|e| panic!("it cannot be printed: {e}"));
    property::is_discreet(&printed);
    property::is_discreet(&format!("{spec:?}"));
    let again: HostSpec =
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}, in what was printed: {printed}"));
    let twice = serde_json::to_string(&again).unwrap_or_else(|e| panic!("it cannot be printed: {e}"));
    assert_eq!(printed, twice);
    // Of secrets fingerprints are printed, which are no secrets of tunnels.
    if !printed.contains("\"kept\"") {
        let again = HostSpec::from_json(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        assert_eq!(&again, spec);
    }
}
