//! Bytes that nobody may see: never printed, compared in constant time, wiped when dropped.

use std::fmt;
use std::str::FromStr;

use ctutils::CtEq;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Why a text is not a secret. The words never contain the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(pub(crate) String);

/// Secret bytes of any kind.
#[derive(Clone)]
pub(crate) struct Bytes(Zeroizing<Vec<u8>>);

impl Bytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Hex digits in pairs, with or without `0x`. Decoded without branches that depend on the digits.
    pub(crate) fn from_hex(what: &str, text: &str) -> Result<Self, SecretError> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let bytes = base16ct::mixed::decode_vec(digits).map_err(|_| {
            let count = digits.chars().count();
            SecretError(format!(
                "{what} is hex digits in pairs, 0x before them or not; this is not, it has {count} characters"
            ))
        })?;
        Ok(Self::new(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut first = [0; 8];
        first.copy_from_slice(&Sha256::digest(self.expose())[..8]);
        Fingerprint(first)
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).to_bool()
    }
}

/// The first eight bytes of the SHA-256 of a secret: enough to see whether two are the same, too little to find
/// one. As text 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// One that is no secret's, to stand for one that is not known.
    pub(crate) fn of_number(n: u32) -> Self {
        Self(u64::from(n).to_be_bytes())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = SecretError;

    /// Does not repeat the text: somebody may have put the key itself there.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let mut bytes = [0; 8];
        match base16ct::mixed::decode(text, &mut bytes) {
            Ok(decoded) if decoded.len() == 8 => Ok(Self(bytes)),
            _ => Err(SecretError("a fingerprint is 16 hex digits; this is not".into())),
        }
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        // Of a wrong type nothing is repeated either.
        let text =
            Zeroizing::new(String::deserialize(deserializer).map_err(|_| D::Error::custom("not a string"))?);
        text.parse().map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Fingerprint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fingerprint".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The first eight bytes of the SHA-256 of a secret",
            "type": "string", "pattern": "^[0-9A-Fa-f]{16}$",
        })
    }
}

/// The secret that two hosts share, from which the keys of their states are derived: 32 to 256 random bytes.
///
/// As text: hex digits, as from `openssl rand -hex 32`.
#[derive(Clone, PartialEq)]
pub struct PairSecret(Bytes);

impl PairSecret {
    /// The fewest bytes a secret has: no derived key shall be easier to guess than AES-256.
    pub const SHORTEST: usize = 32;
    /// The most bytes a secret has.
    pub const LONGEST: usize = 256;

    /// A secret of these bytes.
    ///
    /// # Errors
    /// When they are too few or too many, or all of them are the same.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretError> {
        let bytes = Bytes::new(bytes);
        let length = bytes.expose().len();
        if !(Self::SHORTEST..=Self::LONGEST).contains(&length) {
            let (least, most) = (Self::SHORTEST, Self::LONGEST);
            return Err(SecretError(format!("a pair secret has {least} to {most} bytes; this has {length}")));
        }
        refuse_constant("a pair secret", bytes.expose())?;
        Ok(Self(bytes))
    }

    /// What can be shown of it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Refuses what a forgotten placeholder looks like: the same byte again and again.
pub(crate) fn refuse_constant(what: &str, bytes: &[u8]) -> Result<(), SecretError> {
    match bytes.first() {
        Some(first) if bytes.iter().all(|byte| byte == first) => {
            Err(SecretError(format!("{what} is random; this one repeats a single byte")))
        }
        _ => Ok(()),
    }
}

impl FromStr for PairSecret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        Self::new(Bytes::from_hex("a pair secret", text)?.expose().to_vec())
    }
}

impl fmt::Debug for PairSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(hidden) {}", self.fingerprint())
    }
}

impl fmt::Display for PairSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_its_fingerprint_only() {
        let text = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let secret: PairSecret = text.parse().unwrap();
        // python3 -c 'import hashlib; print(hashlib.sha256(bytes(range(32))).hexdigest()[:16])'
        assert_eq!(format!("{secret:?}"), "(hidden) 630dcd2966c43366");
        assert_eq!(secret.to_string(), format!("{secret:?}"));
        assert_eq!(secret, format!("0x{}", text.to_uppercase()).parse().unwrap());
    }

    #[test]
    fn errors_do_not_repeat_the_secret() {
        for bad in ["0xsecret", "deadbee", "deadbeef", &"ab".repeat(32), &"12".repeat(257)] {
            let words = bad.parse::<PairSecret>().unwrap_err().to_string();
            assert!(
                !words.contains(bad) && !words.contains("dead") && !words.contains("secret\u{22}"),
                "{words}"
            );
        }
        let words = "deadbeefdeadbeefdeadbeef".parse::<Fingerprint>().unwrap_err().to_string();
        assert!(!words.contains("dead"), "{words}");
    }

    #[test]
    fn fingerprints_are_read_back() {
        let print = Bytes::new(vec![1, 2, 3]).fingerprint();
        assert_eq!(print.to_string().parse(), Ok(print));
        assert!("0123".parse::<Fingerprint>().is_err());
    }
}
