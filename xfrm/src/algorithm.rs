//! What states encrypt and authenticate with: AES-GCM in ESP (RFC 4106).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The length of the key; the algorithm is AES-GCM either way, `rfc4106(gcm(aes))` to the kernel.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// AES with a key of 128 bits.
    Aes128Gcm,
    /// AES with a key of 256 bits.
    #[default]
    Aes256Gcm,
}

impl Algorithm {
    /// What the kernel calls it.
    pub const NAME: &'static str = "rfc4106(gcm(aes))";

    /// The bytes of key material that it takes: the key and 4 bytes of salt (RFC 4106 section 8.1).
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm => 16 + 4,
            Self::Aes256Gcm => 32 + 4,
        }
    }

    /// The algorithm whose key material has `length` bytes.
    pub(crate) const fn with_key_length(length: usize) -> Option<Self> {
        match length {
            20 => Some(Self::Aes128Gcm),
            36 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Gcm => "aes128_gcm",
            Self::Aes256Gcm => "aes256_gcm",
        })
    }
}

/// The length of the integrity check value at the end of each packet, in bits: 64, 96 or 128 (RFC 4106 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Icv(u32);

impl Icv {
    /// 64 bits.
    pub const BITS_64: Self = Self(64);
    /// 96 bits.
    pub const BITS_96: Self = Self(96);
    /// 128 bits, the default.
    pub const BITS_128: Self = Self(128);

    /// In bits, as the kernel counts it.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// In bytes, as packets have it.
    pub const fn bytes(self) -> u32 {
        self.0 / 8
    }
}

impl Default for Icv {
    fn default() -> Self {
        Self::BITS_128
    }
}

impl TryFrom<u32> for Icv {
    type Error = String;

    fn try_from(bits: u32) -> Result<Self, String> {
        match bits {
            64 | 96 | 128 => Ok(Self(bits)),
            _ => Err(format!("{bits} is no length of an ICV: AES-GCM in ESP has 64, 96 or 128 bits")),
        }
    }
}

impl From<Icv> for u32 {
    fn from(icv: Icv) -> Self {
        icv.0
    }
}

impl schemars::JsonSchema for Icv {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Icv".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": [64, 96, 128] })
    }
}
