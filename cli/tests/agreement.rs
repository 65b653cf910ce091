//! The schema and the reader agree: what the one refuses for its form the other does not take, and what the reader refuses a
//! schema cannot say.

mod call;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use call::{example, parsed};
use guestnet::{HostSpec, core::records};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value, json};

/// The places in a document, as JSON pointers.
fn places(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            places(value, &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), all);
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| places(value, &format!("{here}/{n}"), all));
        }
        _ => {}
    }
}

/// Values near to `good` that could stand in its place.
fn others(good: &Value) -> Vec<Value> {
    let mut all = vec![
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!(-1),
        json!(u64::MAX),
        json!("x"),
        json!(""),
        json!("7"),
    ];
    match good {
        Value::String(text) => {
            let forms = [
                format!(" {text}"),
                format!("{text} "),
                format!("{text}\n"),
                format!("+{text}"),
                format!("-{text}"),
                format!("0{text}"),
                format!("{text}0"),
                text.to_uppercase(),
                text.replace('-', " - "),
                text.replace('/', "/+"),
                text.replace('/', "/0"),
                format!("{text}/1"),
                format!("0x{text}"),
            ];
            all.extend(forms.map(Value::from));
            all.push(json!({ text: null }));
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            all.extend([
                json!(number.to_string()),
                json!(number + 1),
                json!(number + 65_536),
                json!([number]),
            ]);
        }
        Value::Array(list) => {
            all.extend(list.first().map(|first| json!([first, first])));
            all.extend(list.first().cloned());
        }
        Value::Object(map) => {
            all.push(map.values().cloned().collect());
            let with = |name: &str, value: Value| {
                let mut more = map.clone();
                more.insert(name.into(), value);
                Value::Object(more)
            };
            all.extend([with("more", json!(1)), with("", json!(null))]);
            all.extend(map.keys().map(|gone| {
                map.iter().filter(|(name, _)| *name != gone).map(|(n, v)| (n.clone(), v.clone())).collect()
            }));
        }
        _ => {}
    }
    all
}

/// Specs that between them have something of everything.
fn specs() -> Vec<Value> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let cases = std::fs::read_dir(golden).unwrap().map(|case| case.unwrap().path().join("spec.json"));
    let mut all: Vec<Value> = cases.map(|case| parsed(&std::fs::read_to_string(case).unwrap())).collect();
    all.extend(["host1.json", "seed.json"].map(|name| parsed(&example(name))));
    all.push(json!({"version": 1, "firewall": {
        "groups": [{"name": "web", "addresses": ["192.0.2.0/24"], "ingress": [{"protocol": "tcp", "ports": ["80", "8000-8100"], "groups": ["web"]}]}],
        "trusted": ["docker0", "br-*"],
    }, "guests": [{"name": "a", "placement": "host", "interfaces": [{
        "name": "tapa", "mac": "02:00:5e:00:53:01", "serve": {"dns": ["192.0.2.53"], "lease": "12h"}, "access": {"groups": ["web"]},
    }]}]}));
    all
}

/// Refusals that no schema can say, by the reader's words.
const BEYOND: &[&str] = &[
    "before it",
    "a part of it is empty or dots",
    "names at least a group and a value",
    "is no port and no range of ports",
    "it is relative, stays below",
];

/// The schema's validator, which knows the formats of addresses and prefixes.
fn validator() -> jsonschema::Validator {
    fn is<T: FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }
    let schema = serde_json::to_value(HostSpec::schema()).unwrap();
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    let options = options.with_format("ip", is::<IpAddr>).with_format("ip-prefix", is::<IpNet>);
    let options = options.with_format("ip-interface", is::<IpNet>).with_format("ipv4-prefix", is::<Ipv4Net>);
    let options = options.with_format("ipv6-prefix", is::<Ipv6Net>);
    options.with_format("ipv4-interface", is::<Ipv4Net>).build(&schema).unwrap()
}

#[test]
fn the_reader_takes_what_the_schema_takes() {
    let validator = validator();
    let (mut strict, mut loose, mut taken, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
    for spec in specs() {
        let mut all = Vec::new();
        places(&spec, "", &mut all);
        for place in all {
            for other in others(spec.pointer(&place).unwrap()) {
                let mut bad = spec.clone();
                *bad.pointer_mut(&place).unwrap() = other.clone();
                let read = records::from_str::<HostSpec>(&bad.to_string());
                match (read, validator.is_valid(&bad)) {
                    (Ok(_), true) => taken += 1,
                    (Ok(_), false) => drop(strict.insert(format!("{place} = {other}"))),
                    (Err(_), false) => refused += 1,
                    (Err(words), true) if BEYOND.iter().any(|beyond| words.to_string().contains(beyond)) => {}
                    (Err(words), true) => drop(loose.insert(format!("{place} = {other}: {words}"))),
                }
            }
        }
    }
    assert!(strict.is_empty(), "the reader takes what the schema refuses: {strict:#?}");
    assert!(loose.is_empty(), "the schema takes what the reader refuses: {loose:#?}");
    assert!(taken > 100 && refused > 1000, "{taken} taken, {refused} refused");
}
