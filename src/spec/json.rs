//! JSON and TOML as they stand: no name is given twice, since of two values one would be ignored and nobody would know
//! which, and what JSON has no word for is not read as something else.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use guestnet_core::{Path, Problems};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

/// The name under which the crate `toml` hands on a date.
const DATE: &str = "$__toml_private_datetime";

/// Reads any value. What is wrong with it becomes a problem at its path, and reading goes on.
pub(super) struct Strict<'a> {
    path: Path,
    problems: &'a mut Problems,
}

impl<'a> Strict<'a> {
    /// Of a whole document.
    pub(super) fn new(problems: &'a mut Problems) -> Self {
        Self { path: Path::root(), problems }
    }

    fn at(&mut self, path: Path) -> Strict<'_> {
        Strict { path, problems: self.problems }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Reads a map in which no name is given twice. Fields of records are looked after by what is derived for these.
pub(crate) fn each_once<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    deserializer.deserialize_map(EachOnce(PhantomData))
}

struct EachOnce<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for EachOnce<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((name, value)) = fields.next_entry()? {
            if values.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is given twice"));
            }
        }
        Ok(values)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(serde_json::Number::from_f64(value).map_or_else(
            || {
                // JSON would have null, which is as if nothing were said.
                self.problems.at(&self.path, "nan and inf are no numbers");
                Value::from(0)
            },
            Value::Number,
        ))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        let mut path = self.path.index(0);
        while let Some(value) = list.next_element_seed(self.at(path))? {
            values.push(value);
            path = self.path.index(values.len());
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut values = serde_json::Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if name == DATE {
                self.problems.at(&self.path, "no value is a date or a time: write it as a string");
                return Ok(fields.next_value::<String>()?.into());
            }
            let path = self.path.field(&name);
            if values.contains_key(&name) {
                self.problems.at(&path, "is given twice");
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            values.insert(name, fields.next_value_seed(self.at(path))?);
        }
        Ok(Value::Object(values))
    }
}
