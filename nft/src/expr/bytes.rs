//! Constants in expressions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// 1 to 64 bytes as they stand in a register; in JSON hex digits: `"0a000001"`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// `length` bytes of which the first `bits` bits are ones: the mask of a prefix.
    pub fn prefix(bits: usize, length: usize) -> Self {
        let byte = |n: usize| {
            let ones = bits.saturating_sub(n * 8).min(8);
            !(0xff_u8.checked_shr(ones as u32).unwrap_or(0))
        };
        Self((0..length).map(byte).collect())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes.to_vec())
    }
}

impl TryFrom<String> for Bytes {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 && (2..=128).contains(&digits.len()) => {
                Ok(Self(digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, d| sum << 4 | d)).collect()))
            }
            _ => Err(format!("{text:?} is not 1 to 64 bytes in hex digits, as in 0a000001")),
        }
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.to_string()
    }
}

impl schemars::JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^([0-9A-Fa-f]{2}){1,64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_prefixes() {
        assert_eq!(Bytes::prefix(20, 4).to_string(), "fffff000");
        assert_eq!(Bytes::prefix(0, 2).to_string(), "0000");
        assert_eq!(Bytes::prefix(16, 2).to_string(), "ffff");
    }

    #[test]
    fn hex_is_read_and_written() {
        let bytes = Bytes::try_from("0aFF01".to_owned()).unwrap();
        assert_eq!(bytes, Bytes(vec![10, 255, 1]));
        assert_eq!(String::from(bytes), "0aff01");
        for bad in ["", "0", "zz", "0x10", "é1"] {
            assert!(Bytes::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
