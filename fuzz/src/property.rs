//! What must hold whatever the input.

use guestnet::Secrets;
use guestnet::core::{Error, visible};
use serde_json::Value;

/// A secret of the corpora, also in parts. Mutations put it wherever there is something to be read.
pub const SECRET: &str = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";

/// As many digits on end of a secret may be seen: a fingerprint has as many.
const SEEN: usize = 16;

/// Asserts that `words`, which are said of an input, are one line without control characters.
///
/// # Panics
/// When they are not.
pub fn is_plain(words: &str) {
    assert_eq!(visible(words), words, "what is said has control characters");
}

/// Asserts that `words` hold nothing of [`SECRET`].
///
/// # Panics
/// When they do.
pub fn is_discreet(words: &str) {
    let runs = words.as_bytes().split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() >= SEEN);
    for digits in runs.flat_map(|run| run.windows(SEEN)) {
        let is_secret = SECRET.as_bytes().windows(SEEN).any(|secret| secret == digits);
        assert!(!is_secret, "what is said holds a secret: {words}");
    }
}

/// Asserts that `error` can be shown: each of its lines is plain, and none holds a secret.
///
/// # Panics
/// When it cannot.
pub fn can_be_shown(error: &Error) {
    match error {
        Error::Spec(problems) => {
            assert!(!problems.is_empty(), "an error without a problem");
            problems.iter().for_each(|problem| is_plain(&problem.to_string()));
        }
        other => is_plain(&other.to_string()),
    }
    is_discreet(&error.to_string());
    is_discreet(&format!("{error:?}"));
}

/// Whether `document` names a file to be read. What is in one is not part of the input, and opening it may wait.
pub fn names_files(document: &Value) -> bool {
    match document {
        Value::Array(list) => list.iter().any(names_files),
        Value::Object(fields) => fields.iter().any(|(name, value)| name == "file" || names_files(value)),
        _ => false,
    }
}

/// The secrets that are given beside a document.
pub fn beside() -> Secrets {
    let mut secrets = Secrets::new();
    for (name, digits) in [("peer1", SECRET), ("short", &SECRET[..20])] {
        secrets.insert(name.parse().unwrap_or_else(|e| panic!("{name}: {e}")), digits);
    }
    secrets
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_part_of_a_secret_is_found_and_a_fingerprint_is_none() {
        for words in [SECRET.to_owned(), format!("a {} b", &SECRET[7..23]), format!("00{}", &SECRET[40..])] {
            assert!(catch_unwind(|| is_discreet(&words)).is_err(), "{words}");
        }
        is_discreet(&format!("{} 630dcd2966c43366 {}", &SECRET[..15], &SECRET[20..35]));
    }

    #[test]
    fn control_characters_are_found() {
        is_plain("tap0 ä");
        assert!(catch_unwind(|| is_plain("a\u{1b}[31m")).is_err());
    }
}
