//! `guestnet plan --record`: what the kernel answered, for somebody who has not the host.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use call::said;
use guestnet::core::replay::Recording;
use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, lab_test, need, scratch};
use serde_json::{Value, json};
use support::{guest, sh, spec_of, with_uplink};

/// The answer of the command to a plan for `spec`, and the text that it has recorded beside it.
fn recorded(spec: &str) -> (i32, String, String) {
    let file = scratch().join("recording.json");
    let (code, out, err) = said(&["plan", "-f", "-", "--record", file.to_str().unwrap()], spec);
    assert_eq!(err, "");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    (code, out, fs::read_to_string(file).unwrap())
}

/// The plan for `spec` on the host that was recorded.
fn played(recording: &str, spec: &HostSpec) -> guestnet::Plan {
    let machine = Arc::new(Recording::from_json(recording).unwrap());
    let mut host = Host::played(machine).unwrap();
    host.plan(spec).unwrap()
}

lab_test! {
    fn a_plan_is_made_again_where_the_host_is_not() {
        let _outside = with_uplink();
        let wanted = spec_of(&[guest("web1", 1), guest("web2", 2)]);
        let text = serde_json::to_string(&wanted).unwrap();
        support::host().apply(&wanted).unwrap();
        sh("ip -n web1 link set tapweb1 mtu 1400
            sysctl -qw net.ipv4.ip_forward=0
            ip -n web2 address flush dev tapweb2");
        let (code, out, recording) = recorded(&text);
        assert_eq!(code, 2, "{out}");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let before = words(&out);
        // Another kernel, as far as the host can see.
        support::host().remove_all().unwrap();
        let plan = played(&recording, &wanted);
        let mut unknown = 0;
        for change in plan.changes() {
            let line = words(&change.text());
            let is_file = line.starts_with("file ");
            unknown += usize::from(is_file);
            assert!(is_file || before.contains(&line), "{line}\n{out}");
        }
        assert!(plan.changes().len() > unknown + 2, "{plan}");
        let twice = Recording::from_json(&recording).unwrap();
        assert_eq!(serde_json::to_string(&twice).unwrap(), recording);
    }

    fn what_was_not_asked_is_an_error_and_no_guess() {
        let (_, _, recording) = recorded(&json!({"version": 1}).to_string());
        let mut document: Value = serde_json::from_str(&recording).unwrap();
        document["namespaces"][0]["questions"].as_array_mut().unwrap().truncate(1);
        let machine = Arc::new(Recording::from_json(&document.to_string()).unwrap());
        let error = Host::played(machine).unwrap().plan(&HostSpec::default()).unwrap_err().to_string();
        assert!(error.contains("the recording has no answer"), "{error}");
    }

    fn a_recording_that_cannot_be_written_is_said() {
        let missing = Path::new("/nonexistent/recording.json").to_str().unwrap();
        let (code, _, err) = said(&["plan", "-f", "-", "--record", missing], "{\"version\": 1}");
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("write the recording to /nonexistent/recording.json"), "{err}");
    }

    fn esp_a_recording_has_states_and_no_keys() {
        need(Capability::Esp);
        let tunnel = json!({"version": 1, "guests": [{"name": "web1", "endpoint": "2001:db8:1::a1", "tunnels": [{
            "local": "2001:db8:1::a1", "remote": "2001:db8:2::a1",
            "pairs": [{"local": "192.168.0.85/32", "remote": "192.168.0.127/32"}],
            "secret": "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa"}]}]});
        let text = tunnel.to_string();
        assert_eq!(said(&["apply", "-f", "-"], &text).0, 0);
        let (code, out, recording) = recorded(&text);
        assert_eq!(code, 0, "{out}");
        let states = sh("ip -n web1 xfrm state");
        let keys: Vec<&str> = states.split_whitespace().filter_map(|word| word.strip_prefix("0x")).collect();
        let keys: Vec<&&str> = keys.iter().filter(|digits| digits.len() >= 40).collect();
        assert!(!keys.is_empty(), "{states}");
        for key in keys {
            assert!(!recording.contains(&key[..16]), "{key}");
        }
        let spec = HostSpec::from_json(&text).unwrap();
        assert!(played(&recording, &spec).is_empty(), "a kernel that hides keys is believed");
    }
}
