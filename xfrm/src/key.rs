//! The key of one state.

use std::fmt;
use std::str::FromStr;

use crate::algorithm::Algorithm;
use crate::secret::{Bytes, Fingerprint, SecretError, refuse_constant};

/// Key material for AES-GCM in ESP: the key, then 4 bytes of salt (RFC 4106 section 8.1). 20 bytes for a key of
/// 128 bits, 36 for one of 256.
///
/// A key belongs to one state: two states that share one may use a nonce twice, which breaks both (RFC 4106
/// section 2).
#[derive(Clone, PartialEq)]
pub struct Key(Bytes);

impl Key {
    /// A key of these bytes.
    ///
    /// # Errors
    /// When they are not 20 or 36, or all of them are the same.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretError> {
        let key = Self::found(bytes)?;
        refuse_constant("a key", key.expose())?;
        Ok(key)
    }

    /// A key that the kernel shows. A kernel that is locked down shows zeros instead (kernel_lockdown(7)).
    pub(crate) fn found(bytes: Vec<u8>) -> Result<Self, SecretError> {
        let bytes = Bytes::new(bytes);
        let length = bytes.expose().len();
        if Algorithm::with_key_length(length).is_none() {
            let lengths = "20 (AES-128) or 36 (AES-256), the last 4 of them salt";
            return Err(SecretError(format!("a key has {lengths}, this has {length} bytes")));
        }
        Ok(Self(bytes))
    }

    /// A key of the right length.
    pub(crate) fn derived(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Whether the kernel showed zeros for a key that it hides.
    pub(crate) fn is_redacted(&self) -> bool {
        self.expose().iter().all(|byte| *byte == 0)
    }

    /// The algorithm that takes a key of this length.
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::with_key_length(self.expose().len()).unwrap_or_default()
    }

    /// What can be shown of it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    /// The bytes themselves, for the kernel.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

impl FromStr for Key {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        Self::new(Bytes::from_hex("a key", text)?.expose().to_vec())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(hidden) {}", self.fingerprint())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_20_or_36_random_bytes() {
        let key: Key = "0x000102030405060708090a0b0c0d0e0f10111213".parse().unwrap();
        assert_eq!(key.algorithm(), Algorithm::Aes128Gcm);
        // python3 -c 'import hashlib; print(hashlib.sha256(bytes(range(20))).hexdigest()[:16])'
        assert_eq!(format!("{key:?} {key}"), "(hidden) e7aebf577f60412f (hidden) e7aebf577f60412f");
        assert_eq!(
            "01".repeat(36).parse::<Key>().unwrap_err().to_string(),
            "a key is random; this one repeats a single byte"
        );
        let words = "abcd1234".repeat(4).parse::<Key>().unwrap_err().to_string();
        assert!(words.ends_with("this has 16 bytes") && !words.contains("abcd"), "{words}");
    }
}
