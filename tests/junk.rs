//! Specs with anything in them, secrets in the wrong places among it.

mod support;

use guestnet::HostSpec;
use guestnet::core::{Error, visible};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::mistakes::{KEY, SECRET, good, problems, put};

#[test]
fn secrets_are_never_repeated() {
    let places = [
        "guests[0].tunnels[0].secret",
        "guests[0].tunnels[0].remote",
        "guests[0].tunnels[0].pairs",
        "guests[0].tunnels[0].esn",
        "guests[0].tunnels[0].shape",
        "guests[0].tunnels[0].replay_window",
        "guests[0].tunnels[0].states",
        "guests[0].tunnels[0].states.out",
        "guests[0].tunnels[0].states.out.both.spi",
        "guests[0].tunnels[0].algorithm",
        "guests[0].tunnels[0].pairs[0].local",
        "guests[0].tunnels[0].pairs[0]",
        "guests[0].tunnels[0]",
        "guests[0].tunnels",
        "guests[0].tunnels[0].secret.file",
    ];
    let number: Value = serde_json::from_str("61982735461982735461982735").unwrap();
    for place in places {
        for (value, secret) in [
            (json!(SECRET), SECRET),
            (json!(format!("{KEY}zz")), KEY),
            (json!([SECRET]), SECRET),
            (json!({ "key": KEY }), KEY),
            (json!({ SECRET: 1 }), SECRET),
            (number.clone(), "6198273546"),
        ] {
            let mut spec = good();
            if place.contains("states") {
                put(&mut spec, "guests[0].tunnels[0].secret", json!(null));
                put(
                    &mut spec,
                    "guests[0].tunnels[0].states",
                    json!({"out": {"both": {"spi": "0x1000", "key": KEY}}, "in": {}}),
                );
            }
            if place.ends_with("secret.file") {
                put(&mut spec, "guests[0].tunnels[0].secret", json!({}));
            }
            put(&mut spec, place, value.clone());
            for problem in problems(&spec.to_string()) {
                let said = format!("{problem} {problem:?}");
                assert!(!said.contains(secret), "{place} = {value}: {said}");
            }
        }
    }
    let spec = HostSpec::from_json(&good().to_string()).unwrap();
    let said = format!(
        "{spec:?}{}{}",
        serde_json::to_string(&spec).unwrap(),
        guestnet::render(&spec.objects().unwrap())
    );
    assert!(!said.contains(SECRET));
    assert!(!format!("{:?}", spec.objects().unwrap()).contains(&SECRET[..16]));
}

/// A secret as the name of a field, and control characters in one, at each place of the spec and in either language.
#[test]
fn names_that_are_none_are_told_with_care() {
    let base64 = "UHJhY3RpY2VNYWtlcwPz/UHJhY3RpY2VNYWtlcwQz==";
    let mut all = Vec::new();
    places(&good(), "", &mut all);
    for place in all {
        for name in [SECRET, base64, "a\u{1b}[2J\n+ host  link\u{202e}b"] {
            let mut spec = good();
            let Some(map) = spec.pointer_mut(&place).unwrap().as_object_mut() else { continue };
            map.insert(name.into(), json!({ name: [] }));
            for error in [
                HostSpec::from_json(&spec.to_string()),
                HostSpec::from_json(&spec.to_string().replacen(
                    "\"version\":1",
                    "\"version\":1,\"version\":1",
                    1,
                )),
                HostSpec::from_json(&format!("{{\"{name}\": 1, \"{name}\": 1}}")),
                HostSpec::from_toml(&toml::to_string(&spec).unwrap()),
                HostSpec::from_toml(&format!("{}\n[{name}", toml::to_string(&spec).unwrap())),
                HostSpec::from_toml(&format!("\"{name}\" = 1\n\"{name}\" = 1")),
            ]
            .map(Result::unwrap_err)
            {
                let said = error.to_string();
                assert!(
                    !said.contains(&name[..16]) && !said.contains(&name[name.len() - 16..]),
                    "{place}: {said}"
                );
                assert!(
                    !said.chars().any(|c| c != '\n' && visible(&c.to_string()) != c.to_string()),
                    "{said:?}"
                );
                assert!(!said.lines().any(|line| line.starts_with('+')), "{said}");
                let Error::Spec(problems) = error else { panic!("{said}") };
                let raw = format!(
                    "{:?}",
                    problems.iter().map(|p| (p.path.as_str(), &p.message)).collect::<Vec<_>>()
                );
                assert!(name.contains('[') || !raw.contains(&name[..16]), "{place}: {raw}");
            }
        }
    }
}

/// Every place in a document, as a JSON pointer.
fn places(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| places(value, &format!("{here}/{key}"), all))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| places(value, &format!("{here}/{n}"), all))
        }
        _ => {}
    }
}

fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[{}]])),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,20}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{1,2})?".prop_map(Value::from),
        "([0-9a-f]{1,4}:){1,4}:(/[0-9]{1,3})?".prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in a spec: it is refused with problems that have places, or it means something.
    #[test]
    fn no_spec_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), junk()), 1..5)) {
        let mut spec = good();
        for (index, value) in changes {
            let mut all = Vec::new();
            places(&spec, "", &mut all);
            *spec.pointer_mut(&all[index.index(all.len())]).unwrap() = value;
        }
        match HostSpec::from_json(&spec.to_string()) {
            Ok(good) => drop(good.objects().unwrap()),
            Err(Error::Spec(problems)) => prop_assert!(!problems.is_empty()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn no_field_is_ignored(index in any::<prop::sample::Index>(), field in "[a-z]{1,3}_x") {
        let mut spec = good();
        let mut all = Vec::new();
        places(&spec, "", &mut all);
        let maps: Vec<_> = all.into_iter().filter(|p| spec.pointer(p).unwrap().is_object()).collect();
        let place = &maps[index.index(maps.len())];
        // Names of namespaces are the user's.
        prop_assume!(!place.ends_with("/namespaces"));
        spec.pointer_mut(place).unwrap()[&field] = json!(1);
        let found = problems(&spec.to_string());
        prop_assert_eq!(found.len(), 1, "{} {}: {:?}", place, field, found);
        // Where a variant stands, a second one does: then the place is the variant's.
        let second = ["an object with one field", &format!("unknown variant `{field}`")];
        let said = found[0].path.as_str().ends_with(&field) || second.iter().any(|s| found[0].message.contains(s));
        prop_assert!(said, "{:?}", found);
    }
}
