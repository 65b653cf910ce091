//! Documents of a rekey step.

use guestnet::rekey::step_from_json;
use guestnet::spec::decode;
use guestnet::xfrm::rekey::Step;

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
    let step = match memory::in_proportion(text.len(), || step_from_json(text, &beside())) {
        Ok(step) => step,
        Err(error) => return property::can_be_shown(&error),
    };
    let printed = serde_json::to_string(&step).unwrap_or_else(|e| panic!("it cannot be printed: {e}"));
    property::is_discreet(&printed);
    property::is_discreet(&format!("{step:?}"));
    let again: Step =
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}, in what was printed: {printed}"));
    if !printed.contains("\"kept\"") {
        assert_eq!(again, step);
    }
}
