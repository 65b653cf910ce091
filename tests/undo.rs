//! Applies that are refused under way: undone, and said.

mod support;

use guestnet::core::Deed;
use guestnet::{Error, Failure, HostSpec, State};
use guestnet_lab::{Capability, has, lab_test, need};
use serde_json::{Value, json};
use support::{apply, dump, guest, host, objects_in_host, same, sh, spec, spec_of, with_uplink};

fn refused(host: &mut guestnet::Host, spec: &HostSpec) -> Box<Failure> {
    match host.apply(spec) {
        Err(Error::Apply(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// What others made, and one guest of ours that shall stay.
fn with_objects(objects: &Value) -> HostSpec {
    spec(&json!({ "version": 1, "uplink": "uplink", "guests": [guest("one", 1), guest("two", 2)],
        "objects": { "host": objects } }))
}

lab_test! {
    fn what_comes_in_the_way_in_a_later_round_undoes_the_first() {
        let mut host = host();
        apply(&mut host, &objects_in_host(&json!({ "addresses": [{"dev": "lo", "address": "10.78.0.1/24"}] })));
        let before = dump();
        // An address that goes may take other things along, so all is looked at again.
        let wanted = objects_in_host(&json!({
            "addresses": [{"dev": "lo", "address": "10.79.0.1/24"}],
            "routes": [{"to": "10.77.0.0/16", "kind": "blackhole"}],
        }));
        // Once all is made, another takes the place of one thing before the host is read again.
        let mut taken = false;
        host.watch(move |act| {
            if matches!(act.deed, Deed::Ask(..)) && !taken && !sh("ip route show 10.77.0.0/16").is_empty() {
                taken = true;
                sh("ip route del blackhole 10.77.0.0/16; ip route add unreachable 10.77.0.0/16 proto static");
            }
        });
        let failure = refused(&mut host, &wanted);
        assert!(failure.refusals[0].error.to_string().contains("10.77.0.0/16"), "{failure}");
        assert!(matches!(failure.state, State::Undone(n) if n > 0), "{failure}");
        sh("ip route del unreachable 10.77.0.0/16");
        same(&before, &dump());
    }

    fn a_refused_object_undoes_the_rest() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        apply(&mut host, &spec_of(&[guest("one", 1)]));
        let before = dump();
        for (objects, object, words, path) in [
            (
                json!({"routes": [
                    {"to": "10.1.0.0/16", "dev": "uplink"},
                    {"to": "10.2.0.0/16", "via": "192.0.2.1", "dev": "uplink"},
                ]}),
                "route 10.2.0.0/16 metric 0 table 254",
                "add route 10.2.0.0/16 via 192.0.2.1 dev uplink: Nexthop has invalid gateway",
                "objects.host.routes[1]",
            ),
            (
                json!({"links": [{"name": "t0", "kind": {"tap": {}}, "bridge": "uplink"}]}),
                "link t0",
                "add link t0 tap master uplink up: Operation not supported",
                "objects.host.links[0]",
            ),
            (
                json!({"sysctls": [{"key": "net.ipv4.ip_forward", "value": "1"}, {"key": "net.ipv4.ip_default_ttl", "value": "0"}]}),
                "sysctl net/ipv4/ip_default_ttl",
                "set sysctl net/ipv4/ip_default_ttl to 0: Invalid argument",
                "objects.host.sysctls[1]",
            ),
            (
                json!({"sysctls": [{"key": "net.ipv4.no_such_thing", "value": "1"}]}),
                "sysctl net/ipv4/no_such_thing",
                "No such file",
                "objects.host.sysctls[0]",
            ),
            (
                json!({"addresses": [{"dev": "missing", "address": "10.1.0.1/24"}]}),
                "address 10.1.0.1/24 dev missing",
                "there is no such interface",
                "objects.host.addresses[0]",
            ),
        ] {
            let failure = refused(&mut host, &with_objects(&objects));
            let said = failure.to_string();
            assert!(said.contains(words), "{words:?} is not in\n{said}");
            assert_eq!(failure.refusals.len(), 1, "{said}");
            assert_eq!(failure.refusals[0].object, object, "{said}");
            assert_eq!(failure.refusals[0].path.as_deref(), Some(path), "{said}");
            assert!(matches!(failure.state, State::Undone(_)), "{said}");
            assert!(said.contains("state: undone, the host is as before"), "{said}");
            same(&before, &dump());
        }
        assert!(host.verify(&spec_of(&[guest("one", 1)])).unwrap().is_empty());
    }

    fn what_was_changed_and_removed_comes_back() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let mut old = guest("one", 1);
        apply(&mut host, &spec_of(&[old.clone(), guest("three", 3)]));
        let before = dump();
        old["interfaces"][0]["public_ipv4"] = "203.0.113.9".into();
        old["interfaces"][0]["mtu"] = 1400.into();
        let new = spec(&json!({ "version": 1, "uplink": "uplink", "guests": [old],
            "objects": { "host": {"routes": [{"to": "10.2.0.0/16", "via": "192.0.2.1", "dev": "uplink"}]}}}));
        let failure = refused(&mut host, &new);
        assert!(matches!(failure.state, State::Undone(n) if n > 0), "{failure}");
        // What goes goes when all else is made: the guest that would have left was not touched.
        same(&before, &dump());
        assert!(host.verify(&spec_of(&[guest("one", 1), guest("three", 3)])).unwrap().is_empty());
    }

    fn what_is_refused_in_many_messages_is_said_once() {
        need(Capability::Tap);
        need(Capability::Bridge);
        if guestnet_lab::has(Capability::BridgeConntrack).is_ok() {
            return guestnet_lab::note("rules that this kernel refuses: it knows connections in bridges");
        }
        let wanted = spec(&json!({ "version": 1, "bridges": [{ "name": "br0" }], "firewall": {}, "guests": [{
            "name": "vm", "placement": "host", "access": { "egress": [{}], "ingress": [{}] },
            "interfaces": [{ "name": "tapvm", "bridge": "br0", "mac": "02:00:5e:00:53:07" }],
        }]}));
        let failure = refused(&mut host(), &wanted);
        let [refusal] = &failure.refusals[..] else { panic!("{failure}") };
        assert_eq!(refusal.object, "table bridge guestnet_firewall");
    }

    fn a_kernel_without_esp_says_so() {
        need(Capability::Tap);
        if has(Capability::Esp).is_ok() {
            guestnet_lab::skip("this kernel has ESP");
        }
        let _outside = with_uplink();
        let before = dump();
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/seed.json")).unwrap();
        let failure = refused(&mut host(), &HostSpec::from_json(&text).unwrap());
        let said = failure.to_string();
        assert!(said.contains("(ENOSYS)") && said.contains("spec:  guests[0].tunnels[0]"), "{said}");
        assert_eq!(failure.refusals.len(), 4, "{said}");
        assert!(!said.contains("c15cd35d"), "{said}");
        same(&before, &dump());
    }
}
