//! `guestnet show tunnels`.

mod call;

use call::{example, parsed, said};
use guestnet_lab::{Capability, lab_test, need};
use serde_json::Value;

fn shown(arguments: &[&str]) -> Value {
    let all = [&["-o", "json", "show", "tunnels"], arguments].concat();
    let (code, out, err) = said(&all, "");
    assert_eq!((code, err.as_str()), (0, ""));
    let document = parsed(&out);
    let schema = parsed(&said(&["schema", "tunnels"], "").1);
    assert!(jsonschema::draft202012::is_valid(&schema, &document), "{document:#}");
    document
}

#[test]
fn limits_are_of_tunnels_only() {
    assert_eq!(said(&["show", "--rekey-seconds", "5"], "").0, 64);
    assert_eq!(said(&["show", "tunnels", "--rekey-seconds", "0"], "").0, 64);
}

lab_test! {
    fn a_host_without_tunnels_has_none() {
        assert_eq!(said(&["show", "tunnels"], ""), (0, "no tunnels\n".into(), String::new()));
        assert_eq!(shown(&[])["tunnels"], serde_json::json!([]));
    }

    fn esp_each_state_of_a_tunnel_is_shown_without_its_key() {
        need(Capability::Esp);
        guestnet_lab::sh("ip link add eth0 type veth peer name isp; ip link set eth0 up").expect("an uplink");
        let (code, _, err) = said(&["apply", "-f", "-"], &example("seed.json"));
        assert_eq!(code, 0, "{err}");
        let document = shown(&["--rekey-seconds", "100000"]);
        let tunnel = &document["tunnels"][0];
        assert_eq!((&tunnel["namespace"], &tunnel["policies"]), (&"vm7m86kv".into(), &4.into()));
        let states = tunnel["states"].as_array().expect("states");
        assert_eq!(states.iter().filter(|state| state["direction"] == "out").count(), 2);
        for state in states {
            assert!(state["age"].as_u64().is_some_and(|age| age < 1000), "{state}");
            assert!(state["rekey"]["in"].as_u64().is_some_and(|left| left > 90_000), "{state}");
        }
        assert!(!said(&["show", "tunnels"], "").1.contains("f330d5810712412b"));
    }
}
