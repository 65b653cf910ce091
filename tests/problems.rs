//! Specs with mistakes: every mistake is reported, at its place, and nothing else is.

mod support;

use guestnet::core::Error;
use guestnet::{HostSpec, Problem};
use guestnet_lab::lab_test;
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: &str = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";
const KEY: &str = "c15cd35dbb66ecc5460c9d668c42226ab34ddc1400f4593a539079947f1da9f5b81ed171";

/// A spec with something of everything.
fn good() -> Value {
    let tunnel = |remote: &str, net: &str| {
        json!({
            "local": "2001:db8:1::1", "remote": remote, "secret": SECRET,
            "pairs": [{"local": "192.168.0.1/32", "remote": net}],
        })
    };
    let mut one = support::guest("one", 1);
    one["tunnels"] =
        json!([tunnel("2001:db8:2::1", "192.168.1.1/32"), tunnel("2001:db8:2::2", "192.168.1.2/32")]);
    json!({
        "version": 1,
        "uplink": "uplink",
        "nat": {"mode": "tracked", "untranslated": ["192.168.0.0/16"]},
        "guests": [one, support::guest("two", 2), support::guest_in_host("three", 3)],
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

fn problems(text: &str) -> Vec<Problem> {
    match HostSpec::from_json(text) {
        Ok(_) => Vec::new(),
        Err(Error::Spec(problems)) => problems.into_iter().collect(),
        Err(other) => panic!("{other}"),
    }
}

fn paths(problems: &[Problem]) -> Vec<String> {
    let mut paths: Vec<String> = problems.iter().map(|problem| problem.path.as_str().to_owned()).collect();
    paths.sort();
    paths
}

/// Puts `value` at `path`, written as in problems; `null` takes away what is there.
fn put(spec: &mut Value, path: &str, value: Value) {
    let pointer = format!("/{}", path.replace('.', "/").replace('[', "/").replace(']', ""));
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

#[test]
fn the_good_spec_is_good() {
    assert_eq!(problems(&good().to_string()), []);
    let toml = toml::to_string(&good()).unwrap();
    assert_eq!(HostSpec::from_toml(&toml).unwrap(), HostSpec::from_json(&good().to_string()).unwrap());
}

/// One mistake each: where, what, and a part of what is said about it. It is reported where it is unless a path
/// stands behind.
#[test]
fn a_mistake_is_reported_where_it_is() {
    let iface = "guests[1].interfaces[0]";
    let tunnel = "guests[0].tunnels[1]";
    let own = |field: &str| format!("{iface}.{field}");
    let of_tunnel = |field: &str| format!("{tunnel}.{field}");
    let table: Vec<(String, Value, &str, Option<String>)> = vec![
        // Unknown fields, at every depth.
        ("guest".into(), json!([]), "unknown field `guest`", None),
        ("nat.modus".into(), json!("tracked"), "unknown field", None),
        ("guests[1].nme".into(), json!("x"), "unknown field", None),
        (
            "guests[1].transit".into(),
            json!({"mut": 1500}),
            "unknown field",
            Some("guests[1].transit.mut".into()),
        ),
        (own("ipv4"), json!("10.0.0.1"), "unknown field", None),
        (own("serve"), json!({"dns": [], "ntp": []}), "unknown field", Some(own("serve.ntp"))),
        (of_tunnel("pairs[0].src"), json!("x"), "unknown field", None),
        ("objects.host.link".into(), json!([]), "unknown field", None),
        ("objects.host.links[2].master".into(), json!("b0"), "unknown field", None),
        (
            "objects.host.links[1].kind".into(),
            json!({"bridge": {"spt": true}}),
            "unknown field",
            Some("objects.host.links[1].kind.bridge.spt".into()),
        ),
        ("objects.files[1].owned".into(), json!(1), "unknown field", None),
        ("objects.namespaces.other.link".into(), json!([]), "unknown field", None),
        // Wrong types.
        ("version".into(), json!("1"), "invalid type", None),
        ("guests".into(), json!({}), "invalid type", None),
        ("guests[1]".into(), json!("two"), "invalid type", None),
        (own("mtu"), json!("1500"), "invalid type", None),
        (own("mtu"), json!(-1), "invalid value", None),
        (own("public_ipv4"), json!(7), "invalid type", None),
        (own("serve"), json!("no"), "what is served, or false", None),
        (own("kind"), json!("vlan"), "unknown variant", None),
        (of_tunnel("esn"), json!("yes"), "invalid type", None),
        ("objects.host.links".into(), json!({}), "invalid type", None),
        ("objects.host.links[0].up".into(), json!(1), "invalid type", None),
        // Missing.
        ("version".into(), json!(null), "is missing", None),
        ("guests[1].name".into(), json!(null), "is missing", None),
        (own("name"), json!(null), "is missing", None),
        (of_tunnel("remote"), json!(null), "is missing", None),
        (of_tunnel("secret"), json!(null), "missing", None),
        ("objects.host.addresses[0].address".into(), json!(null), "is missing", None),
        ("objects.files[1].content".into(), json!(null), "is missing", None),
        ("uplink".into(), json!(null), "is missing", None),
        // Values that are none.
        ("version".into(), json!(2), "is not a version", None),
        ("uplink".into(), json!("a/b"), "is not an interface name", None),
        ("guests[1].name".into(), json!("-x"), "is not a name for a guest", None),
        (
            "guests[1].placement".into(),
            json!({"namespace": "../x"}),
            "is not a namespace name",
            Some("guests[1].placement.namespace".into()),
        ),
        ("guests[1].endpoint".into(), json!("2001:db8::g"), "2001:db8::g", None),
        ("guests[1].endpoint".into(), json!("::"), "is not the address of a host", None),
        ("guests[1].proxied[0]".into(), json!("ff02::1"), "is not the address", None),
        (own("name"), json!("a-name-of-sixteen"), "is not an interface name", None),
        (own("mac"), json!("02:00:5e:00:53"), "is not a MAC address", None),
        (own("mac"), json!("01:00:5e:00:53:01"), "multicast", None),
        (own("mtu"), json!(1279), "is not an MTU", None),
        (own("mtu"), json!(65536), "is not an MTU", None),
        (own("public_ipv4"), json!("203.0.113.256"), "203.0.113.256", None),
        (own("public_ipv4"), json!("224.0.0.1"), "is not the address of a host", None),
        (own("public_ipv4"), json!("169.254.7.7"), "", None),
        (own("gateway_ipv4"), json!("192.168.7.1/24"), "has no room", None),
        (own("gateway_ipv4"), json!("192.168.0.2/24"), "own address", None),
        (own("public_ipv6"), json!("2001:db8:1:2::1/64"), "has bits behind its prefix", None),
        (own("public_ipv6"), json!("2001:db8:1:2::/129"), "2001:db8:1:2::/129", None),
        (own("private_ipv6"), json!("fe80::/64"), "is not a prefix", None),
        (
            own("routed_ipv6"),
            json!(["2001:db8:7::/48", "2001:db8:8::1/48"]),
            "has bits behind",
            Some(own("routed_ipv6[1]")),
        ),
        (
            "guests[1].transit".into(),
            json!({"mtu": 1000}),
            "is not an MTU",
            Some("guests[1].transit.mtu".into()),
        ),
        ("nat.untranslated[0]".into(), json!("192.168.0.1/16"), "has bits behind its prefix", None),
        ("nat.mode".into(), json!("stateless"), "unknown variant", None),
        ("objects.host.routes[1].via".into(), json!("10.1.0"), "10.1.0", None),
        ("objects.host.routes[0].to".into(), json!("10.9.0.1/16"), "has bits behind its prefix", None),
        ("objects.host.routes[0].dev".into(), json!(null), "needs an interface", None),
        ("objects.host.routes[1].table".into(), json!(255), "are the kernel's", None),
        ("objects.host.links[0].mtu".into(), json!(7), "is not an MTU", None),
        ("objects.host.links[2].name".into(), json!("lo"), "the loopback", None),
        ("objects.host.sysctls[0].key".into(), json!("kernel.panic"), "is no sysctl of the network", None),
        ("objects.host.sysctls[0].value".into(), json!(""), "is no value", None),
        ("objects.host.neighbours[0].address".into(), json!("ff02::1"), "cannot be proxied", None),
        ("objects.files[1].path".into(), json!("../etc/passwd"), "is no path", None),
        ("objects.files[0].mode".into(), json!("999"), "is no mode", None),
        (
            "objects.namespaces".into(),
            json!({"a/b": {}}),
            "is not a namespace name",
            Some("objects.namespaces.a/b".into()),
        ),
        // What two cannot have.
        ("guests[1].name".into(), json!("one"), "is taken by guests[0].name", None),
        ("guests[1].endpoint".into(), json!("2001:db8:1::1"), "is taken by guests[0].endpoint", None),
        ("guests[2].interfaces[0].public_ipv4".into(), json!("203.0.113.1"), "is taken by guests[0]", None),
        (
            "guests[2].interfaces[0].public_ipv6".into(),
            json!("2001:db8:1:1::/64"),
            "is taken by guests[0]",
            None,
        ),
        (own("public_ipv4"), json!("192.168.0.2"), "", None),
        (own("name"), json!("vethitwo"), "is taken by", None),
        ("guests[2].interfaces[0].name".into(), json!("vethoone"), "is taken by", None),
        (
            "guests[1].transit".into(),
            json!({"host_link": "vethoone"}),
            "is taken by",
            Some("guests[1].transit.host_link".into()),
        ),
        (
            "objects.host.links[2].name".into(),
            json!("z0"),
            "another link z0",
            Some("objects.host.links[2]".into()),
        ),
        (
            "objects.host.routes[1].to".into(),
            json!("10.9.0.0/16"),
            "another route 10.9.0.0/16",
            Some("objects.host.routes[1]".into()),
        ),
        (
            "objects.host.sysctls[0].value".into(),
            json!("0"),
            "asks for sysctl net/ipv4/ip_forward=1, but at objects.host.sysctls[0] there is net/ipv4/ip_forward=0",
            Some("guests[0]".into()),
        ),
        // Tunnels.
        (of_tunnel("local"), json!("2001:db8:9::9"), "is not the endpoint of the guest", None),
        (of_tunnel("pairs"), json!([]), "carries nothing", None),
        (of_tunnel("pairs[0].remote"), json!("fd00::/64"), "family", None),
        (of_tunnel("pairs[0].remote"), json!("192.168.1.1/32"), "the same pair", Some(of_tunnel("pairs[0]"))),
        (of_tunnel("replay_window"), json!(5000), "", None),
        (of_tunnel("secret"), json!({"file": "/does/not/exist"}), "/does/not/exist", None),
    ];
    let mut wrong = Vec::new();
    for (place, value, words, elsewhere) in table {
        let mut spec = good();
        put(&mut spec, &place, value.clone());
        let found = problems(&spec.to_string());
        let wanted = elsewhere.unwrap_or_else(|| place.clone());
        if paths(&found) != [wanted.clone()] || !found[0].message.contains(words) {
            wrong.push(format!("{place} = {value}: wanted {words:?} at {wanted}, got {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ten_mistakes_are_ten_problems() {
    let mut spec = good();
    let mistakes = [
        ("version", json!(7)),
        ("nat.untranslated[0]", json!("192.168.0.0/33")),
        ("guests[0].interfaces[0].mac", json!("02:00")),
        ("guests[0].tunnels[0].remote", json!("nowhere")),
        ("guests[0].tunnels[1].replay_window", json!(5000)),
        ("guests[1].colour", json!("red")),
        ("guests[1].interfaces[0].mtu", json!(12)),
        ("guests[2].interfaces[0].public_ipv4", json!("203.0.113.1")),
        ("objects.host.links[1].name", json!("a name")),
        ("objects.host.addresses[1].address", json!("10.2.0.1/40")),
    ];
    for (place, value) in &mistakes {
        put(&mut spec, place, value.clone());
    }
    let mut wanted: Vec<&str> = mistakes.iter().map(|(place, _)| *place).collect();
    wanted.sort_unstable();
    let found = problems(&spec.to_string());
    assert_eq!(paths(&found), wanted, "{found:?}");

    let toml = toml::to_string(&spec).unwrap();
    let Err(Error::Spec(of_toml)) = HostSpec::from_toml(&toml) else { panic!("accepted") };
    assert_eq!(paths(&of_toml.into_iter().collect::<Vec<_>>()), wanted);
}

#[test]
fn elements_behind_a_bad_one_keep_their_places() {
    let mut spec = good();
    for path in ["guests[0]", "objects.host.links[0]", "objects.host.routes[0]", "guests[1].interfaces[0]"] {
        put(&mut spec, path, json!("nothing of the kind"));
    }
    put(&mut spec, "guests[1].interfaces[1]", json!({"name": "second", "mtu": 3}));
    put(&mut spec, "guests[2].interfaces[0].mtu", json!(4));
    put(&mut spec, "objects.host.links[2].mtu", json!(5));
    put(&mut spec, "objects.host.routes[1].to", json!("10.8.0.1/16"));
    let found = problems(&spec.to_string());
    let wanted = [
        "guests[0]",
        "guests[1].interfaces[0]",
        "guests[1].interfaces[1].mtu",
        "guests[2].interfaces[0].mtu",
        "objects.host.links[0]",
        "objects.host.links[2].mtu",
        "objects.host.routes[0]",
        "objects.host.routes[1].to",
    ];
    assert_eq!(paths(&found), wanted, "{found:?}");
}

#[test]
fn what_is_no_json_or_toml_is_said_with_its_line() {
    let found = problems("{\"version\": 1,\n \"guests\": [}");
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("line 2"), "{found:?}");
    assert_eq!(paths(&found), [""]);
    assert_eq!(problems("").len(), 1);
    assert_eq!(problems("[]").len(), 1);
    assert_eq!(problems("null").len(), 1);
    assert_eq!(problems("{\"version\": 1, \"version\": 1}").len(), 1, "a field that is given twice");
    let Err(Error::Spec(found)) = HostSpec::from_toml("version = 1\n[[guests]\n") else { panic!("accepted") };
    let words = found.to_string();
    assert!(words.contains("line 2"), "{words}");
    // The line itself may hold a secret.
    let Err(Error::Spec(found)) = HostSpec::from_toml(&format!("version = 1\nsecret = \"{SECRET}\n")) else {
        panic!("accepted")
    };
    assert!(!found.to_string().contains(SECRET), "{found}");
}

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

lab_test! {
    fn a_host_is_not_touched_by_a_bad_spec() {
        let _outside = support::with_uplink();
        let before = support::dump();
        let mut spec = HostSpec::from_json(&good().to_string()).unwrap();
        spec.guests[1].endpoint = spec.guests[0].endpoint;
        let error = support::host().apply(&spec).unwrap_err();
        assert!(error.to_string().contains("is taken by guests[0].endpoint"), "{error}");
        support::same(&before, &support::dump());
    }
}
