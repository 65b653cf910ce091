//! The schemas: those that are kept are those of the command, and a validator that knows nothing of guestnet finds
//! that all that guestnet takes and says is as they say.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use call::{example, parsed, said};
use guestnet::doctor::{Diagnosis, Severity};
use guestnet::document::{
    Described, DoctorDocument, ErrorClass, ErrorDocument, PlanDocument, ReportDocument,
};
use guestnet_lab::{Capability, lab_test, need};
use serde_json::{Value, json};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn kept(document: &str) -> Value {
    parsed(&fs::read_to_string(top().join(format!("schemas/{document}.json"))).unwrap())
}

/// What a validator says against `value`.
fn errors(document: &str, value: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&kept(document)).unwrap();
    validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

fn valid(document: &str, value: &Value) {
    assert_eq!(errors(document, value), Vec::<String>::new(), "{document}: {value:#}");
}

fn invalid(document: &str, value: &Value) {
    assert!(!errors(document, value).is_empty(), "{document}: {value:#}");
}

#[test]
fn the_kept_schemas_are_those_of_the_command() {
    let mut names = Vec::new();
    for document in Described::ALL {
        let (code, out, _) = said(&["schema", document.name()], "");
        assert_eq!(code, 0);
        let file = top().join(format!("schemas/{}.json", document.name()));
        let same = fs::read_to_string(&file).is_ok_and(|kept| kept == out);
        assert!(same, "{} is not what the command prints: cargo xtask schema", file.display());
        jsonschema::draft202012::meta::validate(&parsed(&out))
            .unwrap_or_else(|e| panic!("{document:?}: {e}"));
        names.push(format!("{}.json", document.name()));
    }
    let files = fs::read_dir(top().join("schemas")).unwrap();
    let mut files: Vec<String> = files.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
    assert_eq!(said(&["schema"], "").1, said(&["schema", "spec"], "").1);
}

#[test]
fn examples_are_as_the_schema_says() {
    for name in ["host1.json", "seed.json"] {
        valid("spec", &parsed(&example(name)));
    }
    valid("spec", &toml::from_str(&example("host2.toml")).unwrap());
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    let spec = readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    valid("spec", &parsed(spec));
    let mut golden = 0;
    for folder in fs::read_dir(top().join("tests/golden")).unwrap() {
        valid("spec", &parsed(&fs::read_to_string(folder.unwrap().path().join("spec.json")).unwrap()));
        golden += 1;
    }
    assert!(golden > 5);
}

/// Each of these is wrong in one place, which the validator finds without guestnet.
#[test]
fn mistakes_are_not() {
    let good = parsed(&example("seed.json"));
    let wrong = [
        ("/version", json!("1")),
        ("/uplnk", json!("eth0")),
        ("/guests", json!({})),
        ("/guests/0/name", json!(1)),
        ("/guests/0/interfaces/0/naem", json!("tap0")),
        ("/guests/0/interfaces/0/serve", json!("yes")),
        ("/guests/0/placement", json!("nowhere")),
        ("/guests/0/tunnels/0/shape", json!("round")),
        ("/guests/0/tunnels/0/states/in/ipv4/key", json!("not hex")),
        ("/guests/0/tunnels/0/states/in/ipv4/key", json!({"file": "relative"})),
        ("/objects", json!({"host": {"routes": [{"kind": "blackhole"}]}})),
    ];
    for (place, value) in wrong {
        let mut bad = good.clone();
        let (parent, name) = place.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[name] = value;
        invalid("spec", &bad);
        assert_eq!(said(&["render", "-f", "-"], &bad.to_string()).0, 65, "{place}");
    }
    let mut without = good;
    without["guests"][0].as_object_mut().unwrap().remove("name");
    invalid("spec", &without);
}

/// What the command says on standard error with `-o json`, which shall be one line.
fn error(arguments: &[&str], input: &str) -> ErrorDocument {
    let (code, out, err) = said(&[arguments, &["-o", "json"]].concat(), input);
    assert_eq!((out.as_str(), err.trim_end().lines().count()), ("", 1), "{err}");
    valid("error", &parsed(&err));
    let document: ErrorDocument = serde_json::from_str(&err).unwrap();
    assert_eq!((i32::from(document.exit_code), document.exit_code), (code, document.class.exit_code()));
    document
}

#[test]
fn wrong_calls_are_documents_too() {
    for call in [&["frobnicate"][..], &[], &["plan"], &["plan", "-f"], &["show", "--wait", "soon"]] {
        let error = error(call, "");
        assert_eq!(error.class, ErrorClass::Usage, "{call:?}");
        assert!(!error.message.contains('\x1b') && !error.message.starts_with("error"), "{}", error.message);
    }
    for json in ["-ojson", "--output=json"] {
        assert!(said(&[json, "plan"], "").2.starts_with('{'));
    }
    assert!(!said(&["plan"], "").2.starts_with('{'));
    // Help is asked for, not a mistake.
    let (code, out, err) = said(&["plan", "--help", "-o", "json"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("Usage"), "{out}");
}

lab_test! {
    fn what_the_command_says_is_as_the_schemas_say() {
        need(Capability::Tap);
        let _outside = support::with_uplink();
        let own = support::guest("own", 1);
        let mut spec = json!({ "version": 1, "uplink": "uplink", "guests": [own, support::guest_in_host("in", 2)],
            "objects": {"host": {"routes": [{"to": "10.0.0.0/8", "kind": "blackhole"}]}}});
        let json = |arguments: &[&str], spec: &Value| {
            let (_, out, err) = said(&[arguments, &["-o", "json"]].concat(), &spec.to_string());
            assert_eq!(err, "", "{arguments:?}");
            parsed(&out)
        };
        let plan = json(&["plan", "-f", "-"], &spec);
        valid("plan", &plan);
        let read: PlanDocument = serde_json::from_value(plan.clone()).unwrap();
        let kinds: std::collections::BTreeSet<&str> = read.changes.iter().map(|c| c.kind.as_str()).collect();
        assert_eq!(kinds.len(), 8, "{kinds:?}");
        // With states and policies, which a kernel may lack but a plan does not.
        let seed = json(&["plan", "-f", "-"], &parsed(&example("seed.json")));
        valid("plan", &seed);
        assert!(seed["changes"].as_array().unwrap().iter().any(|c| c["object"]["key"]["kept"].is_string()), "{seed}");
        let report = json(&["apply", "-f", "-"], &spec);
        valid("report", &report);
        let report: ReportDocument = serde_json::from_value(report).unwrap();
        assert!(report.changes >= read.changes.len() && !report.files.is_empty() && !report.phases.is_empty());
        let shown = json(&["show"], &spec);
        valid("host", &shown);
        valid("spec", &shown);
        assert_eq!(json(&["plan", "-f", "-"], &shown)["changes"], json!([]));
        // Of every sign, and with something in the way.
        spec["guests"].as_array_mut().unwrap().pop();
        spec["guests"][0]["interfaces"][0]["mtu"] = 1400.into();
        spec["objects"]["host"]["links"] = json!([{"name": "v0", "kind": {"veth": {"peer": "v1"}}}]);
        support::sh("ip link add v0 type veth peer name v2");
        let plan = json(&["verify", "-f", "-"], &spec);
        valid("plan", &plan);
        let operations: Vec<&str> = plan["changes"].as_array().unwrap().iter().map(|c| c["operation"].as_str().unwrap()).collect();
        assert!(["create", "replace", "delete"].iter().all(|o| operations.contains(o)), "{operations:?}");
        assert_eq!(plan["conflicts"].as_array().unwrap().len(), 1);
        let conflict = error(&["apply", "-f", "-"], &spec.to_string());
        assert_eq!((conflict.class, conflict.conflicts.len()), (ErrorClass::Conflict, 1));
        support::sh("ip link del v0");
        valid("report", &json(&["remove"], &spec));
    }

    fn what_the_doctor_says_is_as_the_schema_says() {
        let _outside = support::with_uplink();
        let doctor = |guests: &[Value]| {
            let spec = json!({"version": 1, "uplink": "uplink", "guests": guests}).to_string();
            let (code, out, err) = said(&["doctor", "-f", "-", "-o", "json"], &spec);
            assert_eq!(err, "");
            valid("doctor", &parsed(&out));
            (code, serde_json::from_str::<DoctorDocument>(&out).unwrap())
        };
        support::sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.uplink.rp_filter=0");
        let mut guest = support::guest_in_host("in", 1);
        guest["interfaces"] = json!([]);
        assert_eq!(doctor(&[guest.clone()]), (0, DoctorDocument::from(&Diagnosis::default())));
        let (code, text, _) = said(&["doctor", "-f", "-"], r#"{"version": 1}"#);
        assert_eq!((code, text.as_str()), (0, "nothing is in the way\n"));
        // A note changes nothing, a warning is 2, an error is 1.
        let worst = |document: &DoctorDocument| document.findings[0].severity;
        support::sh("sysctl -qw net.ipv4.conf.uplink.rp_filter=1");
        let (code, document) = doctor(&[guest.clone()]);
        assert_eq!((code, worst(&document)), (0, Severity::Note), "{document:?}");
        support::sh("nft add table inet t; nft 'add chain inet t c { type filter hook input priority 0; policy drop; }'");
        let (code, document) = doctor(&[guest.clone()]);
        assert_eq!((code, worst(&document)), (2, Severity::Warning), "{document:?}");
        support::sh("ip link set uplink down; ip link set uplink name gone");
        let (code, document) = doctor(&[guest.clone()]);
        assert_eq!((code, worst(&document)), (1, Severity::Error), "{document:?}");
        let spec = json!({"version": 1, "uplink": "uplink", "guests": [guest]}).to_string();
        let (_, text, _) = said(&["doctor", "-f", "-"], &spec);
        assert!(text.contains("error: the uplink uplink is not there: ") && text.contains("\n  remedy: "), "{text}");
    }

    fn what_other_commands_say_is_as_the_schemas_say() {
        need(Capability::Tap);
        let _outside = support::with_uplink();
        let spec = json!({"version": 1, "uplink": "uplink", "firewall": {}, "guests": [support::guest("own", 1)]});
        let json = |arguments: &[&str]| {
            let (code, out, err) = said(&[arguments, &["-o", "json"]].concat(), &spec.to_string());
            assert_eq!(err, "", "{arguments:?}");
            (code, parsed(&out))
        };
        valid("rendered", &json(&["render", "-f", "-"]).1);
        let (code, explained) = json(&["explain", "-f", "-", "from 198.51.100.7 to guest own tcp 22"]);
        valid("explanation", &explained);
        assert_eq!(explained["passes"], code == 0, "{explained}");
        assert_eq!(json(&["apply", "-f", "-"]).0, 0);
        let drops = json(&["show", "firewall"]).1;
        valid("drops", &drops);
        assert!(!drops["drops"].as_array().unwrap().is_empty(), "{drops}");
        valid("tunnels", &json(&["show", "tunnels"]).1);
        let step = json!({"version": 1, "act": "observe", "tunnels": []});
        valid("step", &step);
        let (_, out, err) = said(&["rekey", "-f", "-", "-o", "json"], &step.to_string());
        assert_eq!(err, "");
        valid("confirmation", &parsed(&out));
    }

    fn many_namespaces_need_many_descriptors() {
        let guests: Vec<Value> = (0..50).map(|n| json!({"name": format!("g{n}")})).collect();
        std::fs::write("/run/spec.json", json!({"version": 1, "guests": guests}).to_string()).unwrap();
        let doctor = |limit: u32| {
            let line = format!("ulimit -n {limit}; {} doctor -f /run/spec.json || true", call::GUESTNET);
            support::sh(&line).contains("[few-descriptors]")
        };
        assert!(doctor(200) && !doctor(300));
    }

    fn errors_are_as_the_schema_says() {
        let said = error(&["apply", "-f", "-"], r#"{"version": 1, "guest": []}"#);
        assert_eq!((said.class, said.problems.len()), (ErrorClass::Spec, 1));
        let said = error(&["apply", "-f", "/does/not/exist"], "");
        assert_eq!((said.class, said.errno_name.as_deref()), (ErrorClass::System, Some("ENOENT")));
        // What was done before the refusal is undone.
        let refused = r#"{"version": 1, "objects": {"host": {
            "links": [{"name": "v0", "kind": {"veth": {"peer": "v1"}}}],
            "routes": [{"to": "10.0.0.0/8", "via": "192.0.2.1", "dev": "v0"}]}}}"#;
        let said = error(&["apply", "-f", "-"], refused);
        assert_eq!((said.class, said.state), (ErrorClass::Refused, guestnet::document::HostState::Undone));
        assert_eq!(said.refusals[0].path.as_deref(), Some("objects.host.routes[0]"));
        assert!(said.refusals[0].errno_name.is_some() && said.message.contains("10.0.0.0/8"), "{said:?}");
    }
}
