//! Reading of documents in which everything is written in one form.
//!
//! What serde derives reads more than it writes: a record also from the list of its values (`[1, "eth0"]` is a whole spec,
//! `[]` a record of which all is left out), and the name of a choice also as an object (`{"tap": null}`). A value in the
//! wrong place would pass for another, so documents are read through [`Records`]: a record is an object, and a choice
//! without content is a string.
//!
//! What serde buffers it reads by deserialisers of its own: the variants of an untagged enum take [`read`] for
//! `deserialize_with`.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::de::{Read, SliceRead, StrRead};

/// Reads a document from JSON, each of its values in its one form.
///
/// # Errors
/// As [`serde_json::from_str`].
pub fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    whole(StrRead::new(text))
}

/// The same from bytes.
///
/// # Errors
/// As [`serde_json::from_slice`].
pub fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    whole(SliceRead::new(bytes))
}

fn whole<'a, T: Deserialize<'a>>(text: impl Read<'a>) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::new(text);
    let value = T::deserialize(Records(&mut json))?;
    json.end()?;
    Ok(value)
}

/// Reads one value in its one form, for `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// Those of the type, and of a value in another form.
pub fn read<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(Records(deserializer))
}

/// Reads a list in which nothing is given twice, for `#[serde(deserialize_with = "…")]`: the second is in the wrong place.
///
/// # Errors
/// Those of the elements, and of one that has been there before.
pub fn distinct<'de, D, L>(deserializer: D) -> Result<L, D::Error>
where
    D: Deserializer<'de>,
    L: IntoIterator + FromIterator<L::Item>,
    L::Item: Deserialize<'de> + Ord + Clone,
{
    deserializer.deserialize_seq(Distinct(BTreeSet::new(), Vec::new())).map(L::from_iter)
}

/// The same of a list that narrows something down when it is given: one without elements would be taken for none.
///
/// # Errors
/// As [`distinct`], and of a list without elements.
pub fn narrowing<'de, D, L>(deserializer: D) -> Result<L, D::Error>
where
    D: Deserializer<'de>,
    L: IntoIterator + FromIterator<L::Item>,
    L::Item: Deserialize<'de> + Ord + Clone,
{
    let list = deserializer.deserialize_seq(Distinct(BTreeSet::new(), Vec::new()))?;
    if list.is_empty() {
        return Err(D::Error::custom("is an empty list: leave it out where everything is meant"));
    }
    Ok(L::from_iter(list))
}

/// What is in a list, as a set and in its order.
struct Distinct<T>(BTreeSet<T>, Vec<T>);

impl<'de, T: Deserialize<'de> + Ord + Clone> Visitor<'de> for Distinct<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, each element once")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Vec<T>, A::Error> {
        while list.next_element_seed(&mut self)?.is_some() {}
        Ok(self.1)
    }
}

/// Reads one element, so that the path of an error leads to it.
impl<'de, T: Deserialize<'de> + Ord + Clone> DeserializeSeed<'de> for &mut Distinct<T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let element = T::deserialize(deserializer)?;
        if !self.0.insert(element.clone()) {
            return Err(D::Error::custom("is in the list twice"));
        }
        self.1.push(element);
        Ok(())
    }
}

/// A deserialiser, or what it hands on, by which records are objects and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Records<T>(pub T);

/// Hands on what needs nothing but the same for what is inside.
macro_rules! hand_on {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$method($($argument,)* Records(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Records<D> {
    type Error = D::Error;

    hand_on! {
        deserialize_any() deserialize_ignored_any() deserialize_identifier()
        deserialize_bool() deserialize_char() deserialize_str() deserialize_string()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_bytes() deserialize_byte_buf()
        deserialize_option() deserialize_unit() deserialize_seq() deserialize_map()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Records(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Choice { variants, visitor })
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! scalars {
    ($($method:ident($type:ty))*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Records<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    scalars! {
        visit_bool(bool) visit_char(char) visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128)
        visit_f32(f32) visit_f64(f64)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Records(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Records(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Records(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Records(map))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Records<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Records(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Records<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Records(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Records<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Records(deserializer))
    }
}

/// A choice of several: the name of one that has no content, or an object with its name and its content.
struct Choice<V> {
    variants: &'static [&'static str],
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Choice<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of ")?;
        for (n, variant) in self.variants.iter().enumerate() {
            write!(f, "{}`{variant}`", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        self.visitor.visit_enum(name.into_deserializer())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Chosen(map))
    }
}

/// An object with the name of what is chosen, and its content.
struct Chosen<A>(A);

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for Chosen<A> {
    type Error = A::Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<(S::Value, Self), A::Error> {
        match self.0.next_key_seed(seed)? {
            Some(variant) => Ok((variant, self)),
            None => Err(A::Error::invalid_length(0, &"an object with one field")),
        }
    }
}

impl<'de, A: MapAccess<'de>> Chosen<A> {
    /// The content, behind which nothing else is chosen.
    fn content<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value, A::Error> {
        let content = self.0.next_value_seed(Records(seed))?;
        match self.0.next_key::<IgnoredAny>()? {
            None => Ok(content),
            Some(_) => Err(A::Error::invalid_length(2, &"an object with one field")),
        }
    }
}

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Chosen<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        Err(A::Error::invalid_type(Unexpected::Map, &"its name alone, as a string"))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.content(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.content(Variant { len: Some(len), visitor })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.content(Variant { len: None, visitor })
    }
}

/// The content of a variant: a list of `len` values, or the fields of a record.
struct Variant<V> {
    len: Option<usize>,
    visitor: V,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Variant<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        match self.len {
            Some(len) => deserializer.deserialize_tuple(len, self.visitor),
            None => deserializer.deserialize_map(self.visitor),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<Inner>,
        #[serde(default)]
        map: BTreeMap<String, Inner>,
        #[serde(default)]
        pair: (u8, Inner),
        kind: Option<Kind>,
        #[serde(default)]
        either: Vec<Either>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        a: u8,
        b: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Bare,
        Held(Inner),
        Fields { a: u8, inner: Inner },
        Two(u8, Inner),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Many(Vec<u8>),
        Whole(#[serde(deserialize_with = "read")] Inner),
    }

    /// As it is read from text, from bytes and from a value, which have to agree.
    fn of<T: DeserializeOwned + Debug + PartialEq>(text: &str) -> Result<T, String> {
        let value: Value = serde_json::from_str(text).unwrap();
        let found = read::<_, T>(&value).map_err(|e| e.to_string());
        assert_eq!(from_str::<T>(text).ok(), found.as_ref().ok().map(|_| read(&value).unwrap()));
        assert_eq!(from_slice::<T>(text.as_bytes()).ok(), read(&value).ok());
        found
    }

    #[test]
    fn what_is_written_as_it_should_be_is_read_as_ever() {
        for good in [
            r#"{}"#,
            r#"{"inner": {"a": 1, "b": "x"}, "list": [{}, {"a": 2}], "map": {"k": {"b": null}}, "pair": [1, {}]}"#,
            r#"{"kind": "bare"}"#,
            r#"{"kind": {"held": {"a": 1}}}"#,
            r#"{"kind": {"fields": {"a": 1, "inner": {}}}}"#,
            r#"{"kind": {"two": [1, {"a": 2}]}}"#,
            r#"{"kind": null, "inner": null, "either": [[1, 2], {"a": 1}]}"#,
        ] {
            assert_eq!(of::<Outer>(good), Ok(serde_json::from_str(good).unwrap()), "{good}");
        }
    }

    #[test]
    fn a_list_is_no_record_wherever_it_stands() {
        for bad in [
            r#"[]"#,
            r#"[{"a": 1}, [], {}, [1, {}], "bare", []]"#,
            r#"{"inner": []}"#,
            r#"{"inner": [1, "x"]}"#,
            r#"{"list": [[]]}"#,
            r#"{"map": {"k": [1]}}"#,
            r#"{"pair": [1, [2]]}"#,
            r#"{"kind": {"held": [1]}}"#,
            r#"{"kind": {"fields": [1, {}]}}"#,
            r#"{"kind": {"fields": {"a": 1, "inner": []}}}"#,
            r#"{"kind": {"two": [1, [2]]}}"#,
            r#"{"either": [[1, "x"]]}"#,
        ] {
            assert!(of::<Outer>(bad).is_err(), "{bad}");
        }
        let said = of::<Outer>(r#"{"list": [{}, [1]]}"#).unwrap_err();
        assert_eq!(said, "invalid type: sequence, expected struct Inner");
    }

    #[test]
    fn a_choice_without_content_is_its_name() {
        for (bad, words) in [
            (r#"{"bare": null}"#, "expected its name alone, as a string"),
            (r#"{}"#, "expected an object with one field"),
            (r#"{"held": {}, "two": []}"#, "expected an object with one field"),
            (r#""held""#, "invalid type: unit variant, expected newtype variant"),
            (r#"["bare"]"#, "expected one of `bare`, `held`, `fields`, `two`"),
            (r#"7"#, "expected one of `bare`"),
            (r#""other""#, "unknown variant `other`"),
        ] {
            let said = of::<Kind>(bad).unwrap_err();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }

    #[test]
    fn what_stands_behind_a_document_is_refused() {
        assert!(from_str::<Inner>("{} {}").is_err() && from_slice::<Inner>(b"{}]").is_err());
    }
}
