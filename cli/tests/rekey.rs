//! `guestnet rekey`: a step in, a confirmation out. What it does to tunnels is tried where there is ESP.

use std::io::Write;
use std::process::{Command, Stdio};

use guestnet_lab::lab_test;
use serde_json::{Value, json};

const SECRET: &str = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";

/// Its exit code, standard output and standard error.
fn rekey(step: &Value) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guestnet"));
    command.args(["-o", "json", "rekey", "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(step.to_string().as_bytes());
    let done = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

fn step(act: &str) -> Value {
    json!({ "version": 1, "act": act, "tunnels": [{ "tunnel": {
        "local": "2001:db8::1", "remote": "2001:db8:1::1", "generation": 3, "secret": SECRET,
        "pairs": [{ "local": "10.1.0.0/24", "remote": "10.2.0.0/24" }],
    }}]})
}

lab_test! {
    fn what_is_refused_is_confirmed_with_the_reason_and_without_the_secret() {
        for act in ["inbound", "outbound", "drain"] {
            let (code, out, err) = rekey(&step(act));
            assert_eq!((code, err.as_str()), (1, ""), "{out}");
            let confirmation: Value = serde_json::from_str(&out).unwrap();
            assert_eq!((&confirmation["version"], &confirmation["act"]), (&json!(1), &json!(act)));
            let standing = &confirmation["tunnels"][0];
            let reason = if act == "inbound" { "unknown" } else { "too_early" };
            assert_eq!(standing["refused"]["reason"], reason, "{standing:#}");
            assert_eq!((&standing["generation"], &standing["inbound"]), (&json!(3), &json!([])));
            assert!(!out.contains(&SECRET[..16]), "{out}");
        }
        let (code, out, _) = rekey(&step("observe"));
        assert_eq!(code, 0, "{out}");
        assert!(!out.contains("refused"));
    }

    fn every_mistake_of_a_step_is_told_at_its_place_without_the_secret() {
        let mut wrong = step("inbound");
        wrong["version"] = 7.into();
        wrong["tunnels"][0]["more"] = true.into();
        wrong["tunnels"][0]["tunnel"]["pin_spi"] = "all".into();
        wrong["tunnels"][0]["tunnel"]["pairs"] = json!([]);
        let twice = wrong["tunnels"][0].clone();
        wrong["tunnels"].as_array_mut().unwrap().push(twice);
        let (code, out, err) = rekey(&wrong);
        assert_eq!((code, out.as_str()), (65, ""), "{err}");
        let error: Value = serde_json::from_str(&err).unwrap();
        let problems = error["problems"].as_array().unwrap();
        let paths: Vec<&str> = problems.iter().map(|problem| problem["path"].as_str().unwrap()).collect();
        for path in ["version", "tunnels[0].more", "tunnels[0].tunnel.pin_spi", "tunnels[0].tunnel.pairs", "tunnels[1].tunnel.reqid"] {
            assert!(paths.contains(&path), "{path}: {paths:?}");
        }
        assert!(!err.contains(&SECRET[..16]), "{err}");
    }
}
