//! Where a key or a pair secret comes from, so that specs can do without secrets and what is shown can be applied.
//!
//! | in a spec | means |
//! |---|---|
//! | `"0x…"` | these bytes |
//! | `{"file": "/etc/guestnet/peer.key"}` | the hex digits in that file, read before anything is checked |
//! | `{"named": "peer1"}` | the hex digits that are given under this name beside the spec ([`Secrets`]) |
//! | `{"kept": "630dcd2966c43366"}` | the key with this fingerprint, which the kernel's state already has |
//!
//! Bytes are never serialised: they come out as `kept`.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use guestnet_core::{Error, Result, input};
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::key::Key;
use crate::named::{SecretName, Secrets};
use crate::secret::{Fingerprint, PairSecret, SecretError};

/// Where the key of a state comes from.
pub type KeySource = Source<Key>;

/// Where a pair secret comes from. `kept` means nothing here: the kernel knows keys, not what they come from.
pub type SecretSource = Source<PairSecret>;

/// A secret, or where to find it.
#[derive(Clone, PartialEq)]
pub enum Source<T> {
    /// It is this.
    Given(T),
    /// It stands in a file, as hex digits. [`Source::load`] reads it.
    File(PathBuf),
    /// It is given beside the spec under this name. [`Source::load`] finds it.
    Named(SecretName),
    /// It is what the kernel already has, and has this fingerprint.
    Kept(Fingerprint),
}

/// A secret that specs can hold.
pub trait Material: Sized + fmt::Debug {
    /// What it is: `a key`.
    const WHAT: &'static str;

    /// Reads hex digits.
    ///
    /// # Errors
    /// Words that do not contain the text.
    fn read(text: &str) -> std::result::Result<Self, SecretError>;

    /// What can be shown of it.
    fn fingerprint(&self) -> Fingerprint;
}

impl Material for Key {
    const WHAT: &'static str = "a key";
    fn read(text: &str) -> std::result::Result<Self, SecretError> {
        text.parse()
    }
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint()
    }
}

impl Material for PairSecret {
    const WHAT: &'static str = "a pair secret";
    fn read(text: &str) -> std::result::Result<Self, SecretError> {
        text.parse()
    }
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint()
    }
}

/// Longer files are not read: the longest secret has 512 digits.
const LONGEST_FILE: usize = 4096;

impl<T: Material> Source<T> {
    /// The bytes themselves, where they are known.
    pub fn given(&self) -> Option<&T> {
        match self {
            Self::Given(material) => Some(material),
            Self::File(_) | Self::Named(_) | Self::Kept(_) => None,
        }
    }

    /// The fingerprint; not known of a file that was not read.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Given(material) => Some(material.fingerprint()),
            Self::Kept(fingerprint) => Some(*fingerprint),
            Self::File(_) | Self::Named(_) => None,
        }
    }

    /// Reads the file, if it is one, and finds what it names in `secrets`: hex digits, white space around them ignored.
    ///
    /// # Errors
    /// `Io` when a file cannot be read, `Malformed` when there is no such secret or it is none. Repeats no digits.
    pub fn load(&mut self, secrets: &Secrets) -> Result<()> {
        let material = match self {
            Self::File(path) => {
                let what = format!("read {} from {}", T::WHAT, path.display());
                let text = input::file(path, LONGEST_FILE).map_err(|e| Error::io(&what, e))?;
                let text =
                    std::str::from_utf8(&text).map_err(|_| Error::malformed(&what, "it is not text"))?;
                T::read(text.trim()).map_err(|e| Error::malformed(&what, e))?
            }
            Self::Named(name) => {
                let what = format!("the secret {name}");
                let missing = || Error::malformed(&what, "it is not among the secrets given beside the spec");
                T::read(secrets.get(name).ok_or_else(missing)?.trim())
                    .map_err(|e| Error::malformed(&what, e))?
            }
            Self::Given(_) | Self::Kept(_) => return Ok(()),
        };
        *self = Self::Given(material);
        Ok(())
    }
}

impl KeySource {
    /// Whether a state whose key was `found` is as wanted. A kernel that hides keys is believed.
    pub fn accepts(&self, found: &Self) -> bool {
        match (self, found) {
            (_, Self::Given(found)) if found.is_redacted() => true,
            (Self::Given(key), Self::Given(found)) => key == found,
            _ => self.fingerprint().is_some() && self.fingerprint() == found.fingerprint(),
        }
    }
}

impl<T: Material> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(material) => write!(f, "{material:?}"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Named(name) => write!(f, "named {name}"),
            Self::Kept(fingerprint) => write!(f, "kept {fingerprint}"),
        }
    }
}

impl<T> From<T> for Source<T> {
    fn from(material: T) -> Self {
        Self::Given(material)
    }
}

impl<T: Material> Serialize for Source<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Given(material) => map.serialize_entry("kept", &material.fingerprint().to_string())?,
            Self::Kept(fingerprint) => map.serialize_entry("kept", &fingerprint.to_string())?,
            Self::File(path) => map.serialize_entry("file", path)?,
            Self::Named(name) => map.serialize_entry("named", name.as_str())?,
        }
        map.end()
    }
}

impl<'de, T: Material> Deserialize<'de> for Source<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor(PhantomData))
    }
}

/// Understands every type, because the errors that serde makes for the wrong one repeat the value.
struct SourceVisitor<T>(PhantomData<T>);

impl<T: Material> SourceVisitor<T> {
    fn refuse<E: serde::de::Error>(&self) -> E {
        E::custom(format_args!(
            "{} is {}",
            T::WHAT,
            r#"hex digits, {"file": PATH}, {"named": NAME} or {"kept": FINGERPRINT}"#
        ))
    }
}

macro_rules! refuse {
    ($($method:ident($type:ty))*) => {$(
        fn $method<E: serde::de::Error>(self, _: $type) -> std::result::Result<Self::Value, E> {
            Err(self.refuse())
        }
    )*};
}

impl<'de, T: Material> Visitor<'de> for SourceVisitor<T> {
    type Value = Source<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Source<T>, E> {
        T::read(text).map(Source::Given).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Source<T>, A::Error> {
        let entry = map.next_entry::<Text, Text>().map_err(|_| self.refuse::<A::Error>())?;
        let (Some((Text(kind), Text(value))), Ok(None)) = (entry, map.next_entry::<IgnoredAny, IgnoredAny>())
        else {
            return Err(self.refuse());
        };
        match kind.as_str() {
            "kept" => value.parse().map(Source::Kept).map_err(A::Error::custom),
            "named" => value.parse().map(Source::Named).map_err(A::Error::custom),
            // A key pasted here by mistake is no absolute path, and so is not repeated by an error about a file.
            "file" if value.starts_with('/') => Ok(Source::File(value.as_str().into())),
            "file" => Err(A::Error::custom("a file is named by its absolute path")),
            _ => Err(self.refuse()),
        }
    }

    refuse!(visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128) visit_f64(f64)
        visit_char(char) visit_bytes(&[u8]));

    fn visit_none<E: serde::de::Error>(self) -> std::result::Result<Source<T>, E> {
        Err(self.refuse())
    }

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<Source<T>, E> {
        Err(self.refuse())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> std::result::Result<Source<T>, A::Error> {
        Err(self.refuse())
    }
}

/// A string whose absence is reported without what stands there instead; wiped, because it may be a secret.
pub(crate) struct Text(pub(crate) Zeroizing<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom("not a string"))?;
        Ok(Self(Zeroizing::new(text)))
    }
}

impl<T: Material> schemars::JsonSchema for Source<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        if T::WHAT == Key::WHAT { "KeySource".into() } else { "SecretSource".into() }
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let description = format!(
            "{}: hex digits, a file that holds them, the name under which they are given beside the spec, or the fingerprint of what the kernel has",
            T::WHAT
        );
        let only = |name: &str, pattern: &str| {
            schemars::json_schema!({
                "type": "object", "properties": { name: { "type": "string", "pattern": pattern } },
                "required": [name], "additionalProperties": false,
            })
        };
        schemars::json_schema!({
            "description": description,
            "anyOf": [
                { "type": "string", "pattern": "^(0[xX])?([0-9A-Fa-f]{2})+$", "writeOnly": true },
                only("file", "^/"),
                only("named", SecretName::PATTERN),
                only("kept", "^[0-9A-Fa-f]{16}$"),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0xf330d5810712412b64fd3f2c7800c15e689010abceea3b85270aa65a9132f9d736f69d32";

    #[test]
    fn keys_are_given_in_files_or_kept() {
        let given: KeySource = serde_json::from_str(&format!("{KEY:?}")).unwrap();
        let shown = serde_json::to_string(&given).unwrap();
        let kept: KeySource = serde_json::from_str(&shown).unwrap();
        assert!(!shown.contains("f330d5"), "{shown}");
        assert!(kept.accepts(&given) && given.accepts(&given) && kept != given);
        let other: KeySource = serde_json::from_str(&format!("{:?}", KEY.replace('f', "e"))).unwrap();
        assert!(!kept.accepts(&other) && !other.accepts(&given));
        let file: KeySource = serde_json::from_str(r#"{"file": "/no/such"}"#).unwrap();
        assert!(!file.accepts(&given) && !file.accepts(&file), "an unread file is nothing");
        assert_eq!(serde_json::to_string(&file).unwrap(), r#"{"file":"/no/such"}"#);
    }

    #[test]
    fn a_kernel_that_hides_keys_is_believed() {
        let hidden = Source::Given(Key::found(vec![0; 36]).unwrap());
        let wanted: KeySource = serde_json::from_str(&format!("{KEY:?}")).unwrap();
        assert!(wanted.accepts(&hidden));
        assert!(serde_json::from_str::<KeySource>(&format!("{:?}", "00".repeat(36))).is_err());
    }

    #[test]
    fn no_wrong_value_is_repeated() {
        let digits = "9876543210987654321";
        for bad in [
            digits.to_owned(),
            format!("-{digits}"),
            format!("{digits}.5"),
            format!("[{digits}]"),
            format!("{digits:?}"),
            format!("{{{digits:?}: 1}}"),
            format!("{{\"file\": {digits}}}"),
            format!("{{\"file\": {digits:?}}}"),
            format!("{{\"kept\": {digits:?}}}"),
            format!("{{\"kept\": \"630dcd2966c43366\", \"file\": {digits:?}}}"),
            "null".into(),
            "true".into(),
            "{}".into(),
        ] {
            let words = serde_json::from_str::<KeySource>(&bad).unwrap_err().to_string();
            assert!(!words.contains("98765"), "{bad}: {words}");
            let words = serde_json::from_str::<SecretSource>(&bad).unwrap_err().to_string();
            assert!(!words.contains("98765"), "{bad}: {words}");
            if let Err(e) =
                toml::from_str::<std::collections::BTreeMap<String, KeySource>>(&format!("key = {bad}"))
            {
                assert!(!e.message().contains("98765"), "{bad}: {}", e.message());
            }
        }
    }

    #[test]
    fn a_file_is_read_and_its_errors_do_not_repeat_it() {
        let path = std::env::temp_dir().join(format!("guestnet-xfrm-key-{}", std::process::id()));
        std::fs::write(&path, format!("  {KEY}\n")).unwrap();
        let mut source = KeySource::File(path.clone());
        source.load(&Secrets::new()).unwrap();
        assert_eq!(source, Source::Given(KEY.parse().unwrap()));
        std::fs::write(&path, &KEY[..20]).unwrap();
        let words = KeySource::File(path.clone()).load(&Secrets::new()).unwrap_err().to_string();
        // A key, and behind more white space than is read something that is none.
        std::fs::write(&path, format!("{KEY}{}no key", " ".repeat(LONGEST_FILE))).unwrap();
        let long = KeySource::File(path.clone()).load(&Secrets::new()).unwrap_err().to_string();
        assert!(long.contains("longer than 4096 bytes"), "{long}");
        std::fs::remove_file(&path).unwrap();
        assert!(words.contains(path.to_str().unwrap()) && !words.contains("f330"), "{words}");
        assert!(KeySource::File(path).load(&Secrets::new()).is_err());
    }
}
