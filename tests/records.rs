//! A list is taken for no record, and what JSON has no word for is not read as something else.

mod support;

use std::fs;

use guestnet::core::Error;
use guestnet::rekey::step_from_json;
use guestnet::{HostSpec, Problem, Secrets};
use serde_json::{Value, json};
use support::mistakes::{SECRET, good, paths, problems};

/// The places of all objects in `value`, as JSON pointers and as in problems.
fn objects(value: &Value, pointer: &str, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            found.push((pointer.to_owned(), path.to_owned()));
            for (name, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                let escaped = name.replace('~', "~0").replace('/', "~1");
                objects(value, &format!("{pointer}/{escaped}"), &format!("{path}{dot}{name}"), found);
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                objects(value, &format!("{pointer}/{n}"), &format!("{path}[{n}]"), found);
            }
        }
        _ => {}
    }
}

/// The problems of a document in JSON and in TOML, which have to be the same.
fn of_both(document: &Value) -> Vec<Problem> {
    let found = problems(&document.to_string());
    if document.is_object() {
        let Err(Error::Spec(of_toml)) = HostSpec::from_toml(&toml::to_string(document).unwrap()) else {
            assert!(found.is_empty(), "TOML takes what JSON refuses: {found:?}");
            return found;
        };
        assert_eq!(of_toml.into_iter().collect::<Vec<_>>(), found);
    }
    found
}

/// Each object of the specs of tests, and one at a time is a list instead.
#[test]
fn a_list_is_no_record_at_any_depth() {
    let cases = fs::read_dir("tests/golden").unwrap().map(|case| case.unwrap().path().join("spec.json"));
    let mut specs: Vec<Value> =
        cases.map(|case| serde_json::from_str(&fs::read_to_string(case).unwrap()).unwrap()).collect();
    specs.push(good());
    let (mut wrong, mut count) = (Vec::new(), 0);
    for spec in specs {
        let mut places = Vec::new();
        objects(&spec, "", "", &mut places);
        for (pointer, path) in places {
            for list in [json!([]), json!([1, "x", {}])] {
                let mut bad = spec.clone();
                *bad.pointer_mut(&pointer).unwrap() = list;
                count += 1;
                let found = of_both(&bad);
                // What would be said of the document without it may follow.
                if found.first().is_none_or(|first| first.path.as_str() != path) {
                    wrong.push(format!("{path}: {found:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 300, "{count}");
}

/// Those that serde would take: every value in the order of the fields.
#[test]
fn records_are_not_written_by_position() {
    let with = |field: &str, value: Value| json!({"version": 1, field: value});
    for (spec, path) in [
        (json!([1, "up0"]), ""),
        (json!([1, "up0", {}, [], {"host": {}}, [], {}]), ""),
        (with("nat", json!(["tracked", []])), "nat"),
        (with("nat", json!([])), "nat"),
        (with("guests", json!([["web1"]])), "guests[0]"),
        (with("bridges", json!([["br0"]])), "bridges[0]"),
        (with("firewall", json!([])), "firewall"),
        (with("firewall", json!({"groups": [["web"]]})), "firewall.groups[0]"),
        (
            with("firewall", json!({"groups": [{"name": "web", "ingress": [[]]}]})),
            "firewall.groups[0].ingress[0]",
        ),
        (with("firewall", json!({"host": []})), "firewall.host"),
        (with("objects", json!([])), "objects"),
        (with("objects", json!({"host": []})), "objects.host"),
        (with("objects", json!({"namespaces": {"a": []}})), "objects.namespaces.a"),
        (
            with("objects", json!({"host": {"links": [{"name": "b0", "kind": {"bridge": []}}]}})),
            "objects.host.links[0].kind.bridge",
        ),
        (
            with("objects", json!({"host": {"sysctls": [["net.ipv4.ip_forward", "1"]]}})),
            "objects.host.sysctls[0]",
        ),
    ] {
        let found = of_both(&spec);
        assert_eq!(paths(&found), [path], "{spec}: {found:?}");
        assert!(found[0].message.ends_with("sequence, expected an object"), "{spec}: {found:?}");
    }
}

/// Elements of sets are buffered while it is looked which of their forms they have.
#[test]
fn elements_of_nft_are_not_written_by_position() {
    let table = |set: Value| json!({"version": 1, "objects": {"host": {"tables": [{"family": "inet", "name": "guestnet_x", "sets": [set]}]}}});
    let set = |key: Value, data: Value, element: Value| json!({"name": "s", "key": key, "data": data, "elements": [element]});
    let one = json!({"key": "10.0.0.1", "data": "accept"});
    assert_eq!(of_both(&table(set(json!("ipv4_addr"), json!("verdict"), one.clone()))), []);
    for (key, data, element) in [
        (json!("ipv4_addr"), json!("verdict"), json!([["10.0.0.1"], "accept", null])),
        (json!({"ipv4_addr": null}), json!("verdict"), one.clone()),
        (json!(["ipv4_addr"]), json!({"verdict": null}), one.clone()),
        (json!([{"ipv4_addr": null}]), json!("verdict"), one),
    ] {
        let spec = table(set(key, data, element));
        let found = problems(&spec.to_string());
        assert_eq!(paths(&found).len(), 1, "{spec}: {found:?}");
        assert!(found[0].path.as_str().starts_with("objects.host.tables[0].sets[0]"), "{spec}: {found:?}");
    }
}

#[test]
fn a_choice_without_content_is_a_string() {
    for (spec, path) in [
        (json!({"version": 1, "nat": {"mode": {"tracked": null}}}), "nat.mode.tracked"),
        (
            json!({"version": 1, "guests": [{"name": "a", "placement": {"host": null}}]}),
            "guests[0].placement.host",
        ),
        (json!({"version": 1, "guests": [{"name": "a", "placement": {}}]}), "guests[0].placement"),
    ] {
        assert_eq!(paths(&problems(&spec.to_string())), [path], "{spec}");
    }
}

#[test]
fn steps_of_rekeying_are_objects() {
    let order = json!({"tunnel": {
        "local": "2001:db8:1::1", "remote": "2001:db8:2::1", "secret": SECRET, "generation": 2,
        "pairs": [{"local": "192.168.0.1/32", "remote": "192.168.1.1/32"}],
    }});
    let step = json!({"version": 1, "act": "inbound", "tunnels": [order.clone()]});
    step_from_json(&step.to_string(), &Secrets::new()).unwrap();
    for (step, path) in [
        (json!([1, "inbound", 5, []]), ""),
        (json!({"version": 1, "act": "inbound", "tunnels": [[null, order["tunnel"]]]}), "tunnels[0]"),
        (json!({"version": 1, "act": {"inbound": null}, "tunnels": []}), "act.inbound"),
    ] {
        let Err(Error::Spec(found)) = step_from_json(&step.to_string(), &Secrets::new()) else {
            panic!("taken: {step}");
        };
        assert_eq!(paths(&found.into_iter().collect::<Vec<_>>()), [path], "{step}");
    }
    assert!(Secrets::from_json(&json!([["peer1", SECRET]]).to_string()).is_err());
}

/// In each of these one thing stands twice, and it is the second that is told.
#[test]
fn what_stands_in_a_list_twice_is_told() {
    let interface = |field: &str, value: Value| json!({"version": 1, "guests": [{"name": "a", "interfaces": [{"name": "tapa", field: value}]}]});
    let entry = |field: &str, value: Value| json!({"version": 1, "firewall": {"host": {"services": [{"protocol": "tcp", field: value}]}}});
    for (spec, path) in [
        (json!({"version": 1, "nat": {"untranslated": ["10.0.0.0/8", "10.0.0.0/8"]}}), "nat.untranslated[1]"),
        (json!({"version": 1, "firewall": {"trusted": ["br0", "eth0", "br0"]}}), "firewall.trusted[2]"),
        (
            interface("serve", json!({"dns": ["192.0.2.1", "192.0.2.1"]})),
            "guests[0].interfaces[0].serve.dns[1]",
        ),
        (entry("ports", json!(["80", "443", "80"])), "firewall.host.services[0].ports[2]"),
        (entry("prefixes", json!(["fd00::/8", "FD00::/8"])), "firewall.host.services[0].prefixes[1]"),
    ] {
        let found = of_both(&spec);
        assert_eq!(paths(&found), [path], "{spec}: {found:?}");
        assert!(found[0].message.contains("twice"), "{found:?}");
    }
    for port in [" 80", "+80", "080", "80 - 90", "80-", "80-090"] {
        let found = of_both(&entry("ports", json!([port])));
        assert_eq!(paths(&found), ["firewall.host.services[0].ports[0]"], "{port}");
    }
}

/// Read as null these would be as if nothing were said.
#[test]
fn toml_says_nothing_that_json_cannot() {
    for value in ["nan", "inf", "-inf", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z"] {
        let said = HostSpec::from_toml(&format!("version = 1\nuplink = {value}\n")).unwrap_err().to_string();
        let words = [
            "uplink: no value is a date or a time: write it as a string",
            "uplink: nan and inf are no numbers",
        ];
        assert!(words.iter().any(|words| said.ends_with(words)), "{value}: {said}");
        assert!(said.contains("has 1 problem"), "{value}: {said}");
    }
}
