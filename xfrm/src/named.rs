//! Secrets that travel beside a spec, by name, so that the spec itself can be kept, shown and sent about.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use guestnet_core::{Path, Problems, Result};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::secret::SecretError;
use crate::source::Text;

/// What a spec calls a secret that is given beside it: 1 to 63 characters from `A-Z a-z 0-9 _ . : @ -`.
///
/// 40 hex digits or more are no name but a secret in the wrong place, and are not repeated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

/// The shortest key, AES-128 with its salt, has this many digits.
const SHORTEST_KEY: usize = 40;

impl SecretName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a schema says of a name.
    pub(crate) const PATTERN: &'static str = "^[A-Za-z0-9_.:@-]{1,63}$";
}

impl FromStr for SecretName {
    type Err = SecretError;

    fn from_str(text: &str) -> std::result::Result<Self, SecretError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.:@-".contains(c);
        if text.len() >= SHORTEST_KEY && text.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(SecretError("where the name of a secret should be there is a secret itself".into()));
        }
        if text.is_empty() || text.len() > 63 || !text.chars().all(fits) {
            return Err(SecretError(
                "a secret's name is 1 to 63 letters, digits, '_', '.', ':', '@' or '-'".into(),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Secrets by name. Wiped when dropped; `Debug` shows the names only.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<SecretName, Zeroizing<String>>);

impl Secrets {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a JSON object of names and hex digits: `{"peer1": "6b9c…"}`. Whether a secret is one is seen when it is used.
    ///
    /// # Errors
    /// `Spec` when it is something else. Repeats nothing of `text`.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            let mut problems = Problems::new();
            let place = format!("at line {} column {}", error.line(), error.column());
            let words = error.to_string();
            let ours = words.strip_prefix(OURS).and_then(|words| words.split(" at line ").next());
            let words =
                ours.unwrap_or(r#"they are a JSON object of names and hex digits, {"NAME": "DIGITS"}"#);
            problems.at(&Path::from("secrets".to_owned()), format!("{words}; what is {place} is not"));
            problems.into()
        })
    }

    /// Adds one, as hex digits.
    pub fn insert(&mut self, name: SecretName, digits: impl Into<String>) {
        self.0.insert(name, Zeroizing::new(digits.into()));
    }

    /// The digits of one.
    pub(crate) fn get(&self, name: &SecretName) -> Option<&str> {
        self.0.get(name).map(|digits| digits.as_str())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What errors of ours start with: those of others may repeat what they read.
const OURS: &str = "guestnet: ";

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(SecretsVisitor)
    }
}

struct SecretsVisitor;

impl<'de> Visitor<'de> for SecretsVisitor {
    type Value = Secrets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secrets by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Secrets, A::Error> {
        let mut secrets = Secrets::new();
        while let Some(Text(name)) = map.next_key()? {
            let name: SecretName =
                name.parse().map_err(|e: SecretError| A::Error::custom(format_args!("{OURS}{e}")))?;
            if secrets.0.contains_key(&name) {
                map.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format_args!("{OURS}the secret {name} is given once")));
            }
            let Text(digits) = map.next_value()?;
            secrets.0.insert(name, digits);
        }
        Ok(secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SecretSource;

    const DIGITS: &str = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";

    fn source(text: &str) -> SecretSource {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_a_spec_names_is_found_beside_it() {
        let secrets = Secrets::from_json(&format!(r#"{{"peer1": "{DIGITS}", "short": "00ff"}}"#)).unwrap();
        let mut named = source(r#"{"named": "peer1"}"#);
        assert_eq!(serde_json::to_string(&named).unwrap(), r#"{"named":"peer1"}"#);
        assert!(named.fingerprint().is_none());
        named.load(&secrets).unwrap();
        assert_eq!(named, source(&format!("{DIGITS:?}")));
        let words = source(r#"{"named": "peer2"}"#).load(&secrets).unwrap_err().to_string();
        assert!(words.contains("peer2") && !words.contains("6b9c"), "{words}");
        let words = source(r#"{"named": "short"}"#).load(&secrets).unwrap_err().to_string();
        assert!(words.contains("short") && !words.contains("00ff"), "{words}");
        assert_eq!(format!("{secrets:?}"), r#"{SecretName("peer1"), SecretName("short")}"#);
    }

    #[test]
    fn nothing_of_what_is_wrong_is_repeated() {
        for bad in [
            DIGITS.to_owned(),
            format!("{DIGITS:?}"),
            format!("[{DIGITS:?}]"),
            format!("{{{DIGITS:?}: {DIGITS:?}}}"),
            format!("{{\"a\": [{DIGITS:?}]}}"),
            format!("{{\"a\": {DIGITS:?}, \"a\": {DIGITS:?}}}"),
            format!("{{\"a b\": {DIGITS:?}}}"),
            format!("{{\"a\": 9{}}}", "1".repeat(30)),
            format!("{{\"a\": {DIGITS:?}"),
            format!("{{\"a\": \"{DIGITS}\\q\"}}"),
        ] {
            let words = Secrets::from_json(&bad).unwrap_err().to_string();
            assert!(!words.contains("6b9c") && !words.contains("111"), "{bad}: {words}");
            assert!(words.contains("secrets: ") && words.contains(" at line 1 column "), "{words}");
        }
        assert!(
            Secrets::from_json(&format!("{{\"a\": {DIGITS:?}, \"a\": \"\"}}"))
                .unwrap_err()
                .to_string()
                .contains("once")
        );
        let named = format!(r#"{{"named": "{DIGITS}"}}"#);
        let words = serde_json::from_str::<SecretSource>(&named).unwrap_err().to_string();
        assert!(words.contains("itself") && !words.contains("6b9c"), "{words}");
    }

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "peer-1.example:4@b_", "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f"] {
            assert_eq!(good.parse::<SecretName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "ä", "a/b", &"x".repeat(64), DIGITS] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
    }
}
