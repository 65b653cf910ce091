//! Messages of ICMP and ICMPv6, as entries name them.

use std::borrow::Cow;
use std::fmt;

use guestnet_core::number;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type of ICMP or ICMPv6, or one code of it. In a document a number, or a text with the code: `3`, `"3/4"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpMessage {
    /// The type.
    pub kind: u8,
    /// The code; left out, any.
    pub code: Option<u8>,
}

impl IcmpMessage {
    /// Whether it is a message with this type and code.
    pub fn is(self, (kind, code): (u8, u8)) -> bool {
        self.kind == kind && self.code.is_none_or(|wanted| wanted == code)
    }
}

impl From<u8> for IcmpMessage {
    fn from(kind: u8) -> Self {
        Self { kind, code: None }
    }
}

impl fmt::Display for IcmpMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{}/{code}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl Serialize for IcmpMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.code {
            Some(_) => serializer.collect_str(self),
            None => serializer.serialize_u8(self.kind),
        }
    }
}

impl<'de> Deserialize<'de> for IcmpMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Message)
    }
}

struct Message;

impl Visitor<'_> for Message {
    type Value = IcmpMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type of ICMP, 0 to 255, or a type and a code as in \"3/4\"")
    }

    fn visit_u64<E: Error>(self, kind: u64) -> Result<IcmpMessage, E> {
        let known = u8::try_from(kind).map(IcmpMessage::from);
        known.map_err(|_| E::invalid_value(Unexpected::Unsigned(kind), &self))
    }

    fn visit_i64<E: Error>(self, kind: i64) -> Result<IcmpMessage, E> {
        let known = u8::try_from(kind).map(IcmpMessage::from);
        known.map_err(|_| E::invalid_value(Unexpected::Signed(kind), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<IcmpMessage, E> {
        let parts = text.split_once('/').and_then(|(kind, code)| Some((number(kind)?, number(code)?)));
        let (kind, code) = parts.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
        Ok(IcmpMessage { kind, code: Some(code) })
    }
}

impl JsonSchema for IcmpMessage {
    fn schema_name() -> Cow<'static, str> {
        "IcmpMessage".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
        json_schema!({
            "description": "A type of ICMP or ICMPv6, or one code of it: `3`, `\"3/4\"`.",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 255 },
                { "type": "string", "pattern": format!("^{BYTE}/{BYTE}$") },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn a_message_is_a_type_or_a_type_and_a_code() {
        for (text, kind, code) in [(json!(3), 3, None), (json!("3/4"), 3, Some(4))] {
            let message: IcmpMessage = from_value(text.clone()).unwrap();
            assert_eq!(message, IcmpMessage { kind, code });
            assert_eq!(to_value(message).unwrap(), text);
        }
        let refused = |text: Value| from_value::<IcmpMessage>(text).unwrap_err().to_string();
        for text in
            [json!(256), json!(-1), json!("3"), json!("3/"), json!("03/4"), json!("3/256"), json!(null)]
        {
            assert!(refused(text.clone()).contains("as in"), "{text}: {}", refused(text.clone()));
        }
    }
}
