//! Words of the documents: names of fields, words of enumerations, and values that are nearly right somewhere.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use guestnet::document::Described;
use serde_json::Value;

use crate::property::SECRET;

/// Values at an edge, or of a kind that something in a document takes.
const VALUES: &[&str] = &[
    SECRET,
    "",
    "0",
    "-1",
    "4294967296",
    "0x100",
    "eth0",
    "lo",
    "web1",
    "peer1",
    "02:00:5e:00:53:01",
    "ff:ff:ff:ff:ff:ff",
    "203.0.113.7",
    "0.0.0.0",
    "192.168.0.1/24",
    "192.168.0.85/32",
    "255.255.255.255/0",
    "2001:db8:1::a1",
    "fd00::/64",
    "fe80::1",
    "::ffff:192.0.2.1",
    "::/0",
    "ff02::1/128",
    "443",
    "1-65535",
    "65535-1",
    "12h",
    "a\nb",
    "a\u{1b}[31m",
    "\u{202e}ä雪",
    "a#b,c\"",
    "a,b",
    "../x",
    "net/ipv4/ip_forward",
    "net/ipv4/conf/eth0/rp_filter",
];

/// All words, in order.
pub fn words() -> &'static [String] {
    static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let mut words: BTreeSet<String> = VALUES.iter().map(|value| (*value).to_owned()).collect();
        for described in [Described::Spec, Described::Step] {
            collect(described.schema().as_value(), &mut words);
        }
        words.into_iter().collect()
    })
}

fn collect(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Array(list) => list.iter().for_each(|value| collect(value, words)),
        Value::Object(fields) => {
            let properties = fields.get("properties").and_then(Value::as_object);
            words.extend(properties.into_iter().flatten().map(|(name, _)| name.clone()));
            let texts =
                fields.get("enum").and_then(Value::as_array).into_iter().flatten().chain(fields.get("const"));
            words.extend(texts.filter_map(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, words));
        }
        _ => {}
    }
}
