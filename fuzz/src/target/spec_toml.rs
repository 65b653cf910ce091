//! Specs in TOML.

use guestnet::spec::decode;
use guestnet::{CheckedSpec, HostSpec};

use crate::memory;
use crate::property::{self, beside};

pub fn run(input: &[u8]) {
    let text = match decode(input) {
        Ok(text) => text,
        Err(error) => return property::can_be_shown(&error),
    };
    if toml::from_str(text).is_ok_and(|tree| property::names_files(&tree)) {
        return;
    }
    let spec = match memory::in_proportion(text.len(), || CheckedSpec::from_toml(text, &beside())) {
        Ok(spec) => spec.into_spec(),
        Err(error) => return property::can_be_shown(&error),
    };
    super::spec_json::check(&spec);
    let printed = toml::to_string(&spec).unwrap_or_else(|e| panic!("it cannot be printed: {e}"));
    property::is_discreet(&printed);
    let again: HostSpec =
        toml::from_str(&printed).unwrap_or_else(|e| panic!("{e}, in what was printed: {printed}"));
    if !printed.contains("kept") {
        assert_eq!(again, spec);
    }
}
