//! The security parameters index: by it the receiver of a packet finds the state.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A security parameters index (RFC 4303 section 2.1): 256 to 4294967295; those below are reserved.
///
/// In specs `"0x49f55272"`, `"1240814194"` or the number; written as `0x` and eight digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(u32);

/// Why something is not an SPI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no SPI: 256 to 4294967295, as a number or as hex digits behind 0x")]
pub struct SpiError(String);

impl Spi {
    /// The lowest that is not reserved.
    pub const LOWEST: Self = Self(256);

    /// `None` for the reserved ones.
    pub const fn new(number: u32) -> Option<Self> {
        if number >= Self::LOWEST.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The first of `candidates` that is neither reserved nor `taken`: with random numbers as candidates, an SPI
    /// free of clashes. SPIs have to differ among the states of one destination address.
    pub fn free(taken: &BTreeSet<Self>, candidates: impl IntoIterator<Item = u32>) -> Option<Self> {
        candidates.into_iter().filter_map(Self::new).find(|spi| !taken.contains(spi))
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Spi {
    type Err = SpiError;

    fn from_str(text: &str) -> Result<Self, SpiError> {
        let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => (digits, 16),
            None => (text, 10),
        };
        // Of a number in decimal there is one form; zeros belong to hex, up to eight digits, as ip prints it.
        let one_form = if radix == 16 { digits.len() <= 8 } else { !digits.starts_with('0') };
        let plain = one_form && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u32::from_str_radix(digits, radix).ok().filter(|_| plain);
        number.and_then(Self::new).ok_or_else(|| SpiError(format!("{text:?}")))
    }
}

impl TryFrom<u32> for Spi {
    type Error = SpiError;

    fn try_from(number: u32) -> Result<Self, SpiError> {
        Self::new(number).ok_or_else(|| SpiError(number.to_string()))
    }
}

impl Serialize for Spi {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Spi {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpiVisitor;
        impl Visitor<'_> for SpiVisitor {
            type Value = Spi;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an SPI: 256 to 4294967295, as a number or as hex digits behind 0x")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Spi, E> {
                let spi = u32::try_from(number).ok().and_then(Spi::new);
                spi.ok_or_else(|| E::custom(SpiError(number.to_string())))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Spi, E> {
                let spi = u32::try_from(number).ok().and_then(Spi::new);
                spi.ok_or_else(|| E::custom(SpiError(number.to_string())))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Spi, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SpiVisitor)
    }
}

impl schemars::JsonSchema for Spi {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Spi".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A security parameters index: 256 to 4294967295",
            "anyOf": [
                { "type": "string", "pattern": "^(0[xX][0-9A-Fa-f]{1,8}|[1-9][0-9]{2,9})$" },
                { "type": "integer", "minimum": 256, "maximum": u32::MAX },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_are_read_and_hex_is_written() {
        for good in ["\"0x49f55272\"", "1240814194", "\"1240814194\"", "\"0X49F55272\""] {
            assert_eq!(serde_json::from_str::<Spi>(good).unwrap().to_string(), "0x49f55272", "{good}");
        }
        assert_eq!(
            toml::from_str::<std::collections::BTreeMap<String, Spi>>("spi = 256").unwrap()["spi"],
            Spi::LOWEST
        );
        for bad in [
            "255",
            "-1",
            "4294967296",
            "\"0xff\"",
            "\"0x+fff\"",
            "\"49f55272\"",
            "\"\"",
            "\"0x\"",
            "null",
            "1.5",
        ] {
            assert!(serde_json::from_str::<Spi>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_free_one_is_neither_reserved_nor_taken() {
        let taken = BTreeSet::from([Spi(300), Spi(301)]);
        assert_eq!(Spi::free(&taken, [0, 255, 300, 301, 302, 303]), Some(Spi(302)));
        assert_eq!(Spi::free(&taken, [1, 300]), None);
    }
}
