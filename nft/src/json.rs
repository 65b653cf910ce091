//! Sets as they stand in JSON and TOML: the elements are text and numbers, read by the types of their set.

use std::collections::BTreeSet;

use guestnet_core::records;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::element::parse_span;
use crate::{Data, DataType, Element, Key, MapType, Name, Set, Stateful, Types, Value, Verdict};

/// A set or a map with its elements.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NftSet")]
pub(crate) struct SetText {
    /// Its name.
    name: Name,
    /// The type of its keys, or several for a concatenation.
    key: OneOrMany<DataType>,
    /// For a map, the type of its data, or several for a concatenation, or `verdict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<MapTypeText>,
    /// Whether elements are prefixes and ranges.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    interval: bool,
    /// For how many elements the kernel makes room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    /// The expression that each of its elements carries: a rate, or a count of connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stateful: Option<Stateful>,
    /// What is in it.
    #[serde(default)]
    elements: Vec<ElementText>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "OneOrMany{T}")]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
enum OneOrMany<T> {
    One(#[serde(deserialize_with = "records::read")] T),
    Many(#[serde(deserialize_with = "records::read")] Vec<T>),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum VerdictWord {
    Verdict,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum MapTypeText {
    Verdict(#[serde(deserialize_with = "records::read")] VerdictWord),
    Values(OneOrMany<DataType>),
}

/// An element: a key alone, or a key with what belongs to it.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum ElementText {
    Key(OneOrMany<Scalar>),
    Whole(#[serde(deserialize_with = "records::read")] WholeElement),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WholeElement {
    /// One value, prefix or range; a list of them in a concatenation.
    key: OneOrMany<Scalar>,
    /// What a map answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<OneOrMany<Scalar>>,
    /// Words for the person who reads `nft list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Scalar {
    Number(u32),
    Text(String),
}

impl<T> OneOrMany<T> {
    fn from_vec(mut many: Vec<T>) -> Self {
        match many.pop() {
            Some(one) if many.is_empty() => Self::One(one),
            Some(last) => {
                many.push(last);
                Self::Many(many)
            }
            None => Self::Many(many),
        }
    }

    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Number(n) => n.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl From<&Value> for Scalar {
    fn from(value: &Value) -> Self {
        match value {
            Value::Number(n) => Self::Number(*n),
            other => Self::Text(other.to_string()),
        }
    }
}

fn key(types: &[DataType], text: OneOrMany<Scalar>) -> Result<Key, String> {
    let fields = text.into_vec();
    if fields.len() != types.len() {
        return Err(format!(
            "{} where the set has {}",
            crate::words::count(fields.len(), "value"),
            types.len()
        ));
    }
    let fields = types.iter().zip(fields).map(|(data, field)| parse_span(*data, &field.text()));
    Ok(Key::concatenation(fields.collect::<Result<Vec<_>, _>>()?))
}

fn data(map: Option<&MapType>, text: Option<OneOrMany<Scalar>>) -> Result<Option<Data>, String> {
    match (map, text) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("has data, but the set is no map: it has no type of data".into()),
        (Some(_), None) => Err("has no data, but the set is a map".into()),
        (Some(MapType::Verdict), Some(OneOrMany::One(Scalar::Text(text)))) => {
            text.parse::<Verdict>().map(|v| Some(v.into()))
        }
        (Some(MapType::Verdict), Some(_)) => Err("has data that is no verdict".into()),
        (Some(MapType::Values(types)), Some(text)) => {
            let values = key(types, text)?;
            if values.is_interval() {
                return Err("has an interval for data".into());
            }
            Ok(Some(values.first().to_vec().into()))
        }
    }
}

impl TryFrom<SetText> for Set {
    type Error = String;

    fn try_from(text: SetText) -> Result<Self, String> {
        let types: Types = text.key.into_vec().into();
        let map = text.data.map(|data| match data {
            MapTypeText::Verdict(_) => MapType::Verdict,
            MapTypeText::Values(types) => MapType::Values(types.into_vec().into()),
        });
        let (mut elements, mut keys) = (Vec::with_capacity(text.elements.len()), BTreeSet::new());
        for (n, element) in text.elements.into_iter().enumerate() {
            let whole = match element {
                ElementText::Key(key) => WholeElement { key, data: None, comment: None },
                ElementText::Whole(whole) => whole,
            };
            let failed = |why: String| format!("set {}: elements[{n}]: {why}", text.name);
            let element = Element {
                key: key(&types, whole.key).map_err(failed)?,
                data: data(map.as_ref(), whole.data).map_err(failed)?,
                comment: whole.comment.map(Into::into),
            };
            if !keys.insert(element.key.clone()) {
                return Err(failed(format!("{} is in the set twice", element.key)));
            }
            elements.push(element);
        }
        Ok(Self {
            name: text.name,
            key: types,
            data: map,
            interval: text.interval,
            size: text.size,
            stateful: text.stateful,
            elements: elements.into(),
        })
    }
}

fn values_text(values: &[Value]) -> OneOrMany<Scalar> {
    OneOrMany::from_vec(values.iter().map(Scalar::from).collect())
}

impl From<Element> for ElementText {
    fn from(element: Element) -> Self {
        let key = if element.key.is_interval() {
            OneOrMany::from_vec(element.key.texts().map(Scalar::Text).collect())
        } else {
            values_text(element.key.first())
        };
        let data = element.data.map(|data| match data {
            Data::Values(values) => values_text(&values),
            Data::Verdict(verdict) => OneOrMany::One(Scalar::Text(verdict.to_string())),
        });
        if data.is_none() && element.comment.is_none() {
            Self::Key(key)
        } else {
            Self::Whole(WholeElement { key, data, comment: element.comment.map(Into::into) })
        }
    }
}

impl From<Set> for SetText {
    fn from(set: Set) -> Self {
        Self {
            name: set.name,
            key: OneOrMany::from_vec(set.key.to_vec()),
            data: set.data.map(|data| match data {
                MapType::Verdict => MapTypeText::Verdict(VerdictWord::Verdict),
                MapType::Values(types) => MapTypeText::Values(OneOrMany::from_vec(types.to_vec())),
            }),
            interval: set.interval,
            size: set.size,
            stateful: set.stateful,
            elements: set.elements.into_iter().map(ElementText::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use crate::Set;

    fn both_ways(text: Value) {
        let set: Set = from_value(text.clone()).unwrap();
        assert_eq!(to_value(set).unwrap(), text);
    }

    fn refused(text: Value) -> String {
        from_value::<Set>(text).unwrap_err().to_string()
    }

    #[test]
    fn elements_are_text_by_the_types_of_their_set() {
        both_ways(json!({ "name": "hosts", "key": "ipv4_addr", "elements": ["10.0.0.1", "10.0.0.2"] }));
        both_ways(json!({ "name": "nets", "key": "ipv6_addr", "interval": true, "size": 9,
            "elements": ["2001:db8::/32", "fd00::1-fd00::9"] }));
        both_ways(json!({ "name": "rare", "key": "inet_service",
            "stateful": { "limit": { "rate": 10, "unit": "second", "burst": 5 } }, "elements": [22] }));
        both_ways(json!({ "name": "inbound", "key": "ipv4_addr", "data": "ipv4_addr",
            "elements": [{ "key": "203.0.113.7", "data": "10.0.0.7", "comment": "vm7" }] }));
        both_ways(json!({ "name": "guests", "key": ["ifname", "inet_service"], "data": "verdict",
            "elements": [{ "key": ["tap0", 443], "data": "accept" }, { "key": ["tap0", 444], "data": "jump web" }] }));
        both_ways(json!({ "name": "ports", "key": ["ipv4_addr", "inet_service"], "interval": true,
            "elements": [["10.0.0.0/8", "80-90"], ["11.0.0.1", 22]] }));
    }

    #[test]
    fn wrong_elements_are_refused_where_they_stand() {
        let bad =
            refused(json!({ "name": "hosts", "key": "ipv4_addr", "elements": ["10.0.0.1", "fd00::1"] }));
        assert!(bad.contains("set hosts: elements[1]") && bad.contains("ipv4_addr"), "{bad}");
        let bad = refused(
            json!({ "name": "nets", "key": "ipv4_addr", "interval": true, "elements": ["10.0.0.1/8"] }),
        );
        assert!(bad.contains("10.0.0.0/8 is meant"), "{bad}");
        let bad =
            refused(json!({ "name": "hosts", "key": "ipv4_addr", "elements": ["10.0.0.1", "10.0.0.1"] }));
        assert!(bad.contains("twice"), "{bad}");
        let bad =
            refused(json!({ "name": "m", "key": "inet_service", "data": "ipv4_addr", "elements": [70000] }));
        assert!(bad.contains("elements[0]"), "{bad}");
    }
}
