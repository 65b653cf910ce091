//! The real command: what it takes, what it prints, with what it exits.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use call::{GUESTNET, example, parsed, said};
use guestnet_lab::{Capability, lab_test, need, need_program};
use serde_json::json;

const GOOD: &str = r#"{"version": 1, "objects": {"namespaces": {"a": {}}}}"#;
const OTHER: &str = "version = 1\n[objects.namespaces.a]\n[objects.namespaces.b]\n";

#[test]
fn a_wrong_call_is_usage() {
    for wrong in [
        &[][..],
        &["frobnicate"],
        &["apply"],
        &["plan", "-f"],
        &["plan", "-f", "-", "--output", "xml"],
        &["show", "extra"],
        &["plan", "-f", "-", "-n", "../x"],
        &["apply", "-f", "-", "--wait", "soon"],
    ] {
        let (code, out, err) = said(wrong, "");
        assert_eq!((code, out.as_str()), (64, ""), "{wrong:?}");
        assert!(err.contains("Usage") || err.contains("--help"), "{wrong:?}: {err}");
    }
}

#[test]
fn help_says_all_there_is() {
    let (code, out, _) = said(&["--help"], "");
    assert_eq!(code, 0);
    for word in
        ["plan", "apply", "add", "show", "verify", "remove", "schema", "render", "--output", "Exit codes:"]
    {
        assert!(out.contains(word), "{word}");
    }
    for code in ["0  in sync", "1  failed", "2  plan", "64  called", "65  the spec", "75  busy", "77  not"] {
        assert!(out.contains(code), "{code}");
    }
    for command in ["plan", "apply", "add", "show", "verify", "remove", "schema", "render"] {
        let (code, out, _) = said(&[command, "--help"], "");
        assert_eq!(code, 0);
        assert!(out.contains("Usage: guestnet"), "{out}");
    }
    let (code, out, _) = said(&["--version"], "");
    assert_eq!((code, out), (0, format!("guestnet {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_bad_spec_is_65_with_all_its_problems() {
    let bad = r#"{"version": 2, "guest": [], "guests": [{"name": "-"}]}"#;
    for command in ["plan", "apply", "add", "verify", "remove", "render"] {
        let (code, out, err) = said(&[command, "-f", "-"], bad);
        assert_eq!((code, out.as_str()), (65, ""), "{command}: {err}");
        assert!(err.starts_with("error: the spec has 3 problems:\n"), "{err}");
        let (code, out, err) = said(&[command, "-f", "-", "-o", "json"], bad);
        assert_eq!((code, out.as_str()), (65, ""), "{command}");
        let error = parsed(&err);
        assert_eq!(error["exit_code"], 65);
        let mut paths: Vec<&str> =
            error["problems"].as_array().unwrap().iter().map(|p| p["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["guest", "guests[0].name", "version"]);
    }
    assert_eq!(said(&["render", "-f", "-", "--format", "toml"], GOOD).0, 65);
    assert_eq!(said(&["render", "-f", "-"], OTHER).0, 65);
    assert_eq!(said(&["render", "-f", "/does/not/exist"], "").0, 1);
}

#[test]
fn rendered_lines_are_for_review_and_hide_keys() {
    let seed = example("seed.json");
    let (code, out, _) = said(&["render", "-f", "-"], &seed);
    assert_eq!(code, 0);
    for line in [
        "ip netns add vm7m86kv",
        "table ip guestnet_nat {",
        "ip -n vm7m86kv tuntap add dev tapvm7m86kv mode tap",
        "aead 'rfc4106(gcm(aes))' '(hidden)' 128",
    ] {
        assert!(out.contains(line), "{line}");
    }
    assert!(!out.contains("c15cd35d") && seed.contains("c15cd35d"));
}

lab_test! {
    fn a_host_is_planned_applied_shown_verified_and_removed() {
        let stdin = |arguments: &[&str]| said(&[arguments, &["-f", "-"]].concat(), GOOD);
        let (code, out, _) = stdin(&["plan"]);
        assert_eq!((code, out.as_str()), (2, "+ a  namespace a\n1 to make, 0 to change, 0 to remove\n"));
        assert_eq!(stdin(&["verify"]).0, 1);
        let (code, out, _) = stdin(&["apply"]);
        assert!(code == 0 && out.starts_with("1 change made ("), "{out}");
        assert_eq!(stdin(&["plan"]), (0, "nothing to do\n".into(), String::new()));
        assert_eq!(stdin(&["verify"]).0, 0);
        assert!(stdin(&["apply"]).1.starts_with("nothing to do ("));

        fs::write("/run/other.toml", OTHER).unwrap();
        assert_eq!(said(&["plan", "-f", "/run/other.toml"], "").0, 2);
        assert_eq!(said(&["apply", "-f", "-", "--format", "toml"], OTHER).0, 0);
        let (code, shown, _) = said(&["show"], "");
        assert_eq!(code, 0);
        assert_eq!(parsed(&shown), json!({"version": 1, "objects": {"namespaces": {"a": {}, "b": {}}}}));
        assert_eq!(said(&["verify", "-f", "-"], &shown).0, 0);

        assert_eq!(said(&["remove", "-f", "-"], GOOD).0, 0);
        assert_eq!(parsed(&said(&["show"], "").1)["objects"], json!({"namespaces": {"b": {}}}));

        // What is added leaves the rest; what is applied does not.
        let (code, out, _) = stdin(&["plan", "--add"]);
        assert_eq!((code, out.as_str()), (2, "+ a  namespace a\n1 to make, 0 to change, 0 to remove\n"));
        assert!(stdin(&["add"]).1.starts_with("1 change made ("));
        assert!(stdin(&["add"]).1.starts_with("nothing to do ("));
        assert_eq!(stdin(&["plan", "--add"]), (0, "nothing to do\n".into(), String::new()));
        assert_eq!(parsed(&said(&["show"], "").1)["objects"], json!({"namespaces": {"a": {}, "b": {}}}));
        assert_eq!(said(&["remove", "-f", "-"], GOOD).0, 0);
        assert_eq!(said(&["remove"], "").0, 0);
        assert_eq!(parsed(&said(&["show"], "").1), json!({"version": 1}));
    }

    fn programs_read_json() {
        let spec = json!({"version": 1, "objects": {
            "host": {"links": [{"name": "v0", "kind": {"veth": {"peer": "v1"}}}], "routes": [{"to": "10.0.0.0/8", "kind": "blackhole"}]},
            "files": [{"path": "a.conf", "content": "a\n"}]}}).to_string();
        let (code, out, _) = said(&["plan", "-f", "-", "--output", "json"], &spec);
        let plan = parsed(&out);
        assert_eq!((code, &plan["version"], &plan["conflicts"]), (2, &json!(1), &json!([])));
        let changes = plan["changes"].as_array().unwrap();
        assert_eq!(changes.len(), 4);
        assert_eq!(changes[2], json!({"operation": "create", "namespace": null, "kind": "route",
            "text": "route blackhole 10.0.0.0/8", "object": {"to": "10.0.0.0/8", "kind": "blackhole"}, "was": null}));

        let (code, out, _) = said(&["-o", "json", "apply", "-f", "-"], &spec);
        let report = parsed(&out);
        assert_eq!((code, &report["version"], &report["changes"]), (0, &json!(1), &json!(4)));
        assert_eq!((&report["files"], &report["left"]), (&json!(["a.conf"]), &json!([])));
        assert!(report["microseconds"].as_u64().unwrap() > 0 && report["phases"][0]["phase"].is_string());

        // Somebody else's in the way.
        support::sh("ip link add v2 type veth peer name v3");
        let foreign = spec.replace("v0", "v2");
        let (code, out, _) = said(&["plan", "-f", "-", "-o", "json"], &foreign);
        assert_eq!(code, 1);
        assert!(parsed(&out)["conflicts"][0].as_str().unwrap().contains("there is v2 veth peer v3"), "{out}");
        let (code, out, err) = said(&["apply", "-f", "-", "-o", "json"], &foreign);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(parsed(&err)["conflicts"][0].as_str().unwrap().contains("v2"), "{err}");

        // Refused by the kernel.
        let refused = spec.replace(r#""kind":"blackhole""#, r#""via":"192.0.2.1","dev":"v0""#);
        assert_ne!(refused, spec);
        let (code, out, err) = said(&["apply", "-f", "-", "-o", "json"], &refused);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        let error = parsed(&err);
        assert_eq!(error["state"], "unchanged");
        assert_eq!(error["refusals"][0]["path"], "objects.host.routes[0]");
        assert_eq!(error["exit_code"], 1);
        assert!(error["errno"].is_number() && error["can_retry"] == false);
        assert_eq!(said(&["verify", "-f", "-"], &spec).0, 0);
    }

    fn a_host_is_a_namespace_too() {
        support::sh("ip netns add other");
        let there = ["-n", "other"];
        assert_eq!(said(&[&["apply", "-f", "-"], &there[..]].concat(), r#"{"version": 1, "objects": {
            "host": {"routes": [{"to": "10.0.0.0/8", "kind": "blackhole"}]}, "files": [{"path": "x", "content": "y"}]}}"#).0, 0);
        assert_eq!(support::sh("ip -n other route"), "blackhole 10.0.0.0/8 proto 103 \n");
        assert_eq!(support::sh("ip route"), "");
        assert!(Path::new("/run/guestnet/netns/other/x").exists());
        // The host around it neither sees nor takes what is in it.
        assert_eq!(parsed(&said(&["show"], "").1), json!({"version": 1}));
        assert_eq!(said(&["remove"], "").0, 0);
        assert!(Path::new("/run/guestnet/netns/other/x").exists());
        assert_eq!(said(&[&["remove"], &there[..]].concat(), "").0, 0);
        assert!(!Path::new("/run/guestnet/netns/other/x").exists());
        assert_eq!(said(&["show", "-n", "missing"], "").0, 1);
    }

    fn a_link_in_use_is_made_again_by_its_name() {
        need(Capability::Tap);
        let with = |multi_queue: bool| {
            let kind = json!({"tap": {"multi_queue": multi_queue}});
            json!({"version": 1, "objects": {"host": {"links": [{"name": "t0", "kind": kind}]}}}).to_string()
        };
        assert_eq!(said(&["apply", "-f", "-"], &with(false)).0, 0);
        support::sh("ip address add 10.77.0.1/24 dev t0");
        let (code, out, _) = said(&["plan", "-f", "-"], &with(true));
        assert!(code == 2 && out.contains("! link t0 is in use (it has the address 10.77.0.1/24)"), "{out}");
        for wrong in [&["apply", "-f", "-", "-o", "json"][..], &["apply", "-f", "-", "--remake", "t1", "-o", "json"]] {
            let (code, _, err) = said(wrong, &with(true));
            let error = parsed(&err);
            assert_eq!((code, &error["class"], &error["can_retry"]), (1, &json!("in_use"), &json!(false)), "{err}");
            assert!(error["conflicts"][0].as_str().unwrap().contains("--remake t0"), "{err}");
        }
        assert_eq!(said(&["apply", "-f", "-", "--remake", "t0"], &with(true)).0, 0);
        assert_eq!(said(&["verify", "-f", "-"], &with(true)).0, 0);
    }

    fn files_go_where_they_are_told() {
        let spec = r#"{"version": 1, "objects": {"files": [{"path": "x", "content": "y"}]}}"#;
        assert_eq!(said(&["apply", "-f", "-", "--files", "/run/there"], spec).0, 0);
        assert!(Path::new("/run/there/x").exists() && !Path::new("/run/guestnet/x").exists());
    }

    fn who_may_not_is_told_so() {
        need_program("setpriv");
        if !guestnet_lab::is_root() || !fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295") {
            guestnet_lab::skip("there is no other user to be");
        }
        // Where anybody may read it.
        fs::copy(GUESTNET, "/run/guestnet-command").unwrap();
        fs::write("/run/spec.json", GOOD).unwrap();
        support::sh("chmod 755 /run /run/guestnet-command");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
        let output = command.args(["/run/guestnet-command", "apply", "-f", "/run/spec.json"]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(77), "{err}");
        assert!(err.contains("hint: run it as root"), "{err}");
    }

    fn colour_is_for_people_at_terminals() {
        need_program("script");
        fs::write("/run/spec.json", GOOD).unwrap();
        let on_a_terminal = |environment: &str| {
            support::sh(&format!("script -qec '{environment} {GUESTNET} plan -f /run/spec.json' /dev/null </dev/null || true"))
        };
        assert!(on_a_terminal("env -u NO_COLOR").contains("\x1b[32m+ a"), "{:?}", on_a_terminal("env -u NO_COLOR"));
        assert!(!on_a_terminal("NO_COLOR=1").contains('\x1b'));
        assert!(!said(&["plan", "-f", "/run/spec.json"], "").1.contains('\x1b'));
    }

    fn nobody_has_to_read_to_the_end() {
        need(Capability::Tap);
        let _outside = support::with_uplink();
        fs::write("/run/spec.json", example("host1.json")).unwrap();
        support::sh(&format!("{GUESTNET} render -f /run/spec.json | head -1"));
        let (code, _, err) = said(&["plan", "-f", "/run/spec.json", "-o", "text"], "");
        assert_eq!(code, 2, "{err}");
    }
}
