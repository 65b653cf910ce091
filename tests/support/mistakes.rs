//! A good spec, and what is said when it is spoilt.

use guestnet::core::Error;
use guestnet::{HostSpec, Problem};
use serde_json::{Value, json};

pub const SECRET: &str = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";
pub const KEY: &str = "c15cd35dbb66ecc5460c9d668c42226ab34ddc1400f4593a539079947f1da9f5b81ed171";

/// A spec with something of everything.
pub fn good() -> Value {
    let tunnel = |remote: &str, net: &str| {
        json!({
            "local": "2001:db8:1::1", "remote": remote, "secret": SECRET,
            "pairs": [{"local": "192.168.0.1/32", "remote": net}],
        })
    };
    let mut one = super::guest("one", 1);
    one["tunnels"] =
        json!([tunnel("2001:db8:2::1", "192.168.1.1/32"), tunnel("2001:db8:2::2", "192.168.1.2/32")]);
    json!({
        "version": 1,
        "uplink": "uplink",
        "nat": {"mode": "tracked", "untranslated": ["192.168.0.0/16"]},
        "guests": [one, super::guest("two", 2), super::guest_in_host("three", 3)],
        "objects": {
            "host": {
                // Not in the order of their names: problems name the place in the list.
                "links": [{"name": "z0", "kind": "dummy"}, {"name": "b0", "kind": {"bridge": {}}}, {"name": "a0", "kind": "dummy"}],
                "addresses": [{"dev": "z0", "address": "10.1.0.1/24"}, {"dev": "a0", "address": "10.2.0.1/24"}],
                "routes": [{"to": "10.9.0.0/16", "dev": "z0"}, {"to": "10.8.0.0/16", "via": "10.1.0.2", "dev": "z0"}],
                "sysctls": [{"key": "net.ipv4.ip_forward", "value": "1"}],
                "neighbours": [{"address": "2001:db8::9", "dev": "uplink"}],
            },
            "namespaces": {"other": {"links": [{"name": "v0", "kind": {"veth": {"peer": "v1"}}}]}},
            "files": [{"path": "b.conf", "content": "b\n"}, {"path": "a.conf", "content": "a\n"}],
        },
    })
}

pub fn problems(text: &str) -> Vec<Problem> {
    match HostSpec::from_json(text) {
        Ok(_) => Vec::new(),
        Err(Error::Spec(problems)) => problems.into_iter().collect(),
        Err(other) => panic!("{other}"),
    }
}

pub fn paths(problems: &[Problem]) -> Vec<String> {
    let mut paths: Vec<String> = problems.iter().map(|problem| problem.path.as_str().to_owned()).collect();
    paths.sort();
    paths
}

/// Puts `value` at `path`, written as in problems; `null` takes away what is there.
pub fn put(spec: &mut Value, path: &str, value: Value) {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = spec.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"));
    match parent {
        Value::Object(map) if value.is_null() => drop(map.remove(last).unwrap_or_else(|| panic!("{path}"))),
        Value::Object(map) => drop(map.insert(last.to_owned(), value)),
        Value::Array(list) if last == list.len().to_string() => list.push(value),
        Value::Array(list) => list[last.parse::<usize>().unwrap()] = value,
        _ => panic!("{path}"),
    }
}
