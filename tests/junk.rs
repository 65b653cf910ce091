//! Specs with anything in them, secrets in the wrong places among it.

mod support;

use guestnet::HostSpec;
use guestnet::core::Error;
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
                assert!(!problem.message.contains(secret), "{place} = {value}: {problem}");
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
        // Where a variant stands, a second one does, and the variant's place is all that is known.
        let said = found[0].path.as_str().ends_with(&field) || found[0].message.contains("a single key");
        prop_assert!(said, "{:?}", found);
    }
}
