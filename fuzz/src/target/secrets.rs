//! The file of secrets.

use guestnet::Secrets;
use guestnet::spec::decode;

use crate::{memory, property};

pub fn run(input: &[u8]) {
    let text = match decode(input) {
        Ok(text) => text,
        Err(error) => return property::can_be_shown(&error),
    };
    match memory::in_proportion(text.len(), || Secrets::from_json(text)) {
        Ok(secrets) => property::is_plain(&format!("{secrets:?}")),
        Err(error) => property::can_be_shown(&error),
    }
}
