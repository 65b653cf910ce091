//! Specs with mistakes: every mistake is reported, at its place, and nothing else is.

mod support;

use guestnet::HostSpec;
use guestnet::core::Error;
use guestnet_lab::lab_test;
use serde_json::{Value, json};
use support::mistakes::{SECRET, good, paths, problems, put};

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
        (
            own("gateway_ipv4"),
            json!("192.168.7.1/24"),
            "192.168.0.2 is not in its network, 192.168.7.0/24",
            None,
        ),
        (own("gateway_ipv4"), json!("192.168.0.2/24"), "the router of guests[1].", Some(own("private_ipv4"))),
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

/// Said once, whichever guest comes first and however many have the router.
#[test]
fn a_guest_cannot_have_the_address_of_a_router_in_its_namespace() {
    let guest = |name: &str, private: &str, gateway: Option<&str>| {
        let interface =
            json!({"name": format!("tap{name}"), "private_ipv4": private, "gateway_ipv4": gateway});
        json!({"name": name, "placement": "host", "interfaces": [interface]})
    };
    let [b, c] = [("b", "10.0.0.2"), ("c", "10.0.0.3")].map(|(n, own)| guest(n, own, Some("10.0.0.1/24")));
    let a = |private| guest("a", private, None);
    for (guests, wanted) in [
        ([&b, &c, &a("10.0.0.1")], ["guests[2].interfaces[0].private_ipv4"].as_slice()),
        ([&a("10.0.0.1"), &b, &c], &["guests[0].interfaces[0].private_ipv4"]),
        ([&a("169.254.1.1"), &b, &c], &["guests[0].interfaces[0].private_ipv4"]),
        ([&a("10.0.0.4"), &b, &c], &[]),
    ] {
        let found = problems(&json!({"version": 1, "guests": guests}).to_string());
        assert_eq!(paths(&found), wanted, "{found:?}");
        assert!(found.iter().all(|problem| problem.message.contains("the router of guests[")), "{found:?}");
    }
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

/// As many as there are, in lists whose good elements are read once; and where it ends that is said.
#[test]
fn many_mistakes_are_all_told() {
    let spec = |count: usize| {
        let guest = |n: usize| {
            let mut guest =
                json!({"name": format!("g{n}"), "interfaces": [{"name": format!("tap{n}"), "mtu": 1500}]});
            match n % 5 {
                1 => guest["interfaces"][0]["mtu"] = json!("1500"),
                2 => drop(guest.as_object_mut().unwrap().remove("name")),
                3 => guest = json!("a guest"),
                // Found when all of them can be read.
                4 => guest["interfaces"][0]["mtu"] = json!(7),
                _ => {}
            }
            guest
        };
        json!({"version": 1, "guests": (0..count).map(guest).collect::<Vec<_>>()}).to_string()
    };
    let place = |n: usize| match n % 5 {
        2 => format!("guests[{n}].name"),
        3 => format!("guests[{n}]"),
        _ => format!("guests[{n}].interfaces[0].mtu"),
    };
    let found = problems(&spec(190));
    let mut wanted: Vec<String> = (0..190).filter(|n| n % 5 != 0).map(place).collect();
    wanted.sort();
    assert_eq!(paths(&found), wanted);
    let error = HostSpec::from_json(&spec(190)).unwrap_err().to_string();
    assert!(error.starts_with("the spec has 152 problems:\n"), "{error}");

    let found = problems(&spec(3000));
    let (last, others) = found.split_last().unwrap();
    assert_eq!(others.len(), 1000);
    assert!(last.path.as_str().is_empty() && last.message.contains("was not read further"), "{last}");
}

/// What cannot be read is said, and nothing that only follows from it or from what stands in its place.
#[test]
fn a_repair_is_nobodys_mistake() {
    let two = |a: Value, b: Value| json!({"version": 1, "firewall": {"groups": [a], "tiers": [b]}});
    let tunnel = |more: Value| {
        let mut tunnel = json!({
            "local": "2001:db8:1::1", "remote": "2001:db8:2::1", "secret": SECRET,
            "pairs": [{"local": "192.168.0.1/32", "remote": "192.168.1.1/32"}],
        });
        for (field, value) in more.as_object().unwrap() {
            tunnel[field] = value.clone();
        }
        tunnel
    };
    let table = [
        (two(json!({}), json!({"from": "web", "to": "db"})), vec!["firewall.groups[0].name"]),
        (
            two(json!({"name": "UPPER"}), json!({"from": "UPPER", "to": "db"})),
            vec!["firewall.groups[0].name", "firewall.tiers[0].from"],
        ),
        (two(json!("web"), json!({"from": "web", "to": "web"})), vec!["firewall.groups[0]"]),
        // A group that is there does not make one that is not.
        (
            two(json!({"name": "web"}), json!({"from": "web", "to": "db", "ports": [80]})),
            vec!["firewall.tiers[0].ports[0]", "firewall.tiers[0].to"],
        ),
        (
            json!({"version": 1, "bridges": [{}], "guests": [
                {"name": "a", "placement": "host", "interfaces": [{"name": "tapa", "bridge": "br0"}]}]}),
            vec!["bridges[0].name"],
        ),
        (
            json!({"version": 1, "guests": [
                {"name": "a", "endpoint": "2001:db8:1::g", "tunnels": [tunnel(json!({}))]}]}),
            vec!["guests[0].endpoint"],
        ),
        (
            json!({"version": 1, "guests": [{"name": "a", "endpoint": "2001:db8:1::1", "tunnels": [tunnel(json!({
                "pairs": [{"local": "192.168.0.1/32"}, {"local": "192.168.0.1/32"}]}))]}]}),
            vec!["guests[0].tunnels[0].pairs[0].remote", "guests[0].tunnels[0].pairs[1].remote"],
        ),
        (
            json!({"version": 1, "guests": [{"interfaces": [{"name": "unread0q1"}]}, {"interfaces": [{}]}]}),
            vec!["guests[0].name", "guests[1].interfaces[0].name", "guests[1].name"],
        ),
        (
            json!({"version": 1, "objects": {"host": {"links": [{"kind": "dummy"}, {"kind": "dummy"}]}}}),
            vec!["objects.host.links[0].name", "objects.host.links[1].name"],
        ),
    ];
    for (spec, wanted) in table {
        let found = problems(&spec.to_string());
        assert_eq!(paths(&found), wanted, "{spec}: {found:?}");
        assert!(found.iter().all(|problem| !problem.message.contains("unread0q")), "{found:?}");
    }
}

/// What only lowering finds out is said at its place as well.
#[test]
fn a_name_that_no_daemon_can_read_is_reported_where_it_is() {
    let mut spec = good();
    put(&mut spec, "guests[1].interfaces[0].name", json!("tap*"));
    put(&mut spec, "guests[2].interfaces[0].name", json!("tap[0]"));
    let found = problems(&spec.to_string());
    assert_eq!(paths(&found), ["guests[1].interfaces[0].name", "guests[2].interfaces[0].name"], "{found:?}");
    put(&mut spec, "guests[1].interfaces[0].serve", json!(false));
    put(&mut spec, "guests[2].interfaces[0].serve", json!(false));
    assert_eq!(problems(&spec.to_string()), []);
}

/// A terminal obeys control characters, and a line feed begins a line that looks like ours.
#[test]
fn nothing_in_a_spec_reaches_a_terminal_as_it_is() {
    let mut spec = good();
    let bad = "x\u{1b}[2Jy\n+ host  link z\u{202e}\u{9b}";
    put(&mut spec, "guests[0].interfaces[0].name", json!(bad));
    put(&mut spec, "guests[1].name", json!(bad));
    spec["guests"][2][bad] = json!(1);
    spec["objects"]["namespaces"][bad] = json!({});
    let found = problems(&spec.to_string());
    assert_eq!(found.len(), 4, "{found:?}");
    let said = HostSpec::from_json(&spec.to_string()).unwrap_err().to_string();
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(!said.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{said:?}");
    // Programs get it as it is.
    assert!(found.iter().any(|problem| problem.path.as_str() == format!("guests[2].{bad}")), "{found:?}");
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
    let twice =
        problems("{\"version\": 1, \"version\": 1, \"guests\": [{\"name\": \"a\", \"name\": \"b\"}, {}]}");
    assert_eq!(paths(&twice), ["guests[0].name", "guests[1].name", "version"]);
    assert!(twice[0].message.contains("is given twice"), "{twice:?}");
    let Err(Error::Spec(found)) = HostSpec::from_toml("version = 1\n[[guests]\n") else { panic!("accepted") };
    let words = found.to_string();
    assert!(words.contains("line 2"), "{words}");
    // The line itself may hold a secret.
    let Err(Error::Spec(found)) = HostSpec::from_toml(&format!("version = 1\nsecret = \"{SECRET}\n")) else {
        panic!("accepted")
    };
    assert!(!found.to_string().contains(SECRET), "{found}");
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
