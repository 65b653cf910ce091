//! What is said of tunnels: from objects, no kernel.

use guestnet::xfrm::rekey::{Due, RekeyLimits};
use guestnet::{HostSpec, Objects, Tunnels};
use serde_json::json;

/// A host with one tunnel, whose states have carried something.
fn host() -> Objects {
    let spec = json!({ "version": 1, "guests": [{
        "name": "web1", "endpoint": "2001:db8:1::a", "interfaces": [{ "name": "tap0", "private_ipv4": "192.168.7.2" }],
        "tunnels": [{
            "local": "2001:db8:1::a", "remote": "2001:db8:2::a", "reqid": 7, "udp": {},
            "pairs": [{ "local": "192.168.7.2/32", "remote": "192.168.7.3/32" }],
            "lifetimes": { "soft": { "seconds": 1000 } },
            "secret": "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa",
        }],
    }]});
    let mut objects = HostSpec::from_json(&spec.to_string()).unwrap().objects().unwrap();
    let states = &mut objects.namespaces.values_mut().next().unwrap().states;
    for (_, state) in states.with_positions_mut() {
        state.counters.added = 10_000;
        state.counters.packets = 12;
        state.counters.bytes = 3456;
        state.sequence.sent = 12;
        if state.src.to_string().starts_with("2001:db8:2") {
            state.counters.replayed = 3;
            state.counters.used = Some(10_090);
            state.sequence.received = 15;
        }
    }
    objects
}

#[test]
fn each_direction_is_told_with_what_it_carried_and_refused() {
    let tunnels = Tunnels::of(&host(), &RekeyLimits::default(), 10_100);
    let [tunnel] = &tunnels.tunnels[..] else { panic!("{tunnels:#?}") };
    assert_eq!((tunnel.namespace.as_deref(), tunnel.reqid, tunnel.policies), (Some("web1"), 7, 2));
    assert_eq!(tunnel.local.to_string(), "2001:db8:1::a");
    let [out, inbound] = &tunnel.states[..] else { panic!("{tunnel:#?}") };
    assert_eq!((out.sequence, out.idle, out.age, out.in_use), (12, None, 100, true));
    assert_eq!((inbound.sequence, inbound.idle, inbound.counters.replayed), (15, Some(10), 3));
    // The soft limit of the state itself, and one that is asked about.
    assert_eq!(out.rekey, Due::In(900));
    let limits: RekeyLimits = serde_json::from_value(json!({ "limits": { "packets": 12 } })).unwrap();
    assert_eq!(Tunnels::of(&host(), &limits, 10_100).tunnels[0].states[0].rekey, Due::Packets);
}

#[test]
fn people_read_a_table_and_programs_a_document() {
    let tunnels = Tunnels::of(&host(), &RekeyLimits::default(), 10_100);
    let spi = |n: usize| tunnels.tunnels[0].states[n].spi;
    let text = tunnels.to_string();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].join(" "), "web1 2001:db8:1::a - 2001:db8:2::a reqid 7, policies: 2");
    assert_eq!(lines[1].join(" "), "SPI GEN AGE USED PACKETS BYTES SEQUENCE LATE REPLAYED FAILED REKEY");
    assert_eq!(lines[2].join(" "), format!("out {} 0 1m40s never 12 3456 12 0 0 0 in 15m00s", spi(0)));
    assert_eq!(lines[3].join(" "), format!("in {} 0 1m40s 10s ago 12 3456 15 0 3 0 in 15m00s", spi(1)));
    let document = serde_json::to_value(&tunnels).unwrap();
    assert_eq!(document["tunnels"][0]["states"][1]["counters"]["replayed"], 3);
    assert_eq!(document["tunnels"][0]["states"][0]["encap"], json!({ "sport": 4500, "dport": 4500 }));
    assert!(!document.to_string().contains("\"key\""), "no key, not even its print");
}

#[test]
fn a_tunnel_without_states_and_a_state_without_policies_are_said() {
    let mut objects = host();
    let inside = objects.namespaces.values_mut().next().unwrap();
    let states = std::mem::take(&mut inside.states);
    assert!(
        Tunnels::of(&objects, &RekeyLimits::default(), 10_100).to_string().ends_with("nothing gets through")
    );
    let inside = objects.namespaces.values_mut().next().unwrap();
    (inside.states, inside.policies) = (states, Default::default());
    let lone = Tunnels::of(&objects, &RekeyLimits::default(), 10_100);
    assert!(lone.tunnels.iter().flat_map(|tunnel| &tunnel.states).all(|state| !state.in_use), "{lone}");
    assert_eq!(Tunnels::of(&Objects::default(), &RekeyLimits::default(), 1).to_string(), "no tunnels");
}

#[test]
fn many_policies_with_prefixes_are_found_by_a_hash_and_a_few_need_none() {
    let spec = |peers: u16| {
        let tunnels: Vec<_> = (1..=peers)
            .map(|n| {
                json!({
                    "local": "2001:db8::1", "remote": format!("2001:db8:{n:x}::1"),
                    "pairs": [{ "local": "fd00::/64", "remote": format!("fd00:0:0:{n:x}::/64") }],
                    "secret": format!("{n:064x}").replace("00000000", "12345678"),
                })
            })
            .collect();
        let guest = json!({ "name": "many", "placement": "host", "tunnels": tunnels });
        HostSpec::from_json(&json!({ "version": 1, "guests": [guest] }).to_string())
            .unwrap()
            .objects()
            .unwrap()
    };
    let many: Vec<String> = spec(99).host.thresholds.iter().map(ToString::to_string).collect();
    assert_eq!(many, ["hthresh6 64 64"]);
    assert!(guestnet::render(&spec(99)).contains("ip xfrm policy set hthresh6 64 64\n"));
    assert!(spec(5).host.thresholds.is_empty());
}
