//! Secrets reach the command by a file, a descriptor or standard input, and come out of it nowhere.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use call::{GUESTNET, said};
use guestnet_lab::{Capability, lab_test, need, wait_until};
use serde_json::{Value, json};

const SECRET: &str = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";
const KEY: &str = "c15cd35dbb66ecc5460c9d668c42226ab34ddc1400f4593a539079947f1da9f5b81ed171";

/// A tunnel with its secret, as `secret` says where it is.
fn spec(secret: Value) -> String {
    json!({"version": 1, "guests": [{"name": "web1", "endpoint": "2001:db8:1::a1", "tunnels": [{
        "local": "2001:db8:1::a1", "remote": "2001:db8:2::a1",
        "pairs": [{"local": "192.168.0.85/32", "remote": "192.168.0.127/32"}], "secret": secret}]}]})
    .to_string()
}

/// Runs a line of shell in which `$G` is the command.
fn shell(line: &str) -> Output {
    Command::new("bash").args(["-c", line]).env("G", GUESTNET).stdin(Stdio::null()).output().unwrap()
}

fn scratch(name: &str, content: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

fn hides(output: &Output, what: &str) {
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    for digits in [SECRET, KEY] {
        assert!(!said.contains(&digits[..16]) && !said.contains(&digits[24..40]), "{what}: {said}");
    }
}

#[test]
fn every_way_in_means_the_same() {
    let expected = said(&["render", "-f", "-"], &spec(json!(SECRET)));
    assert_eq!(expected.0, 0, "{}", expected.2);
    let secrets = scratch("secrets", &json!({"peer1": SECRET, "other": KEY}).to_string());
    let alone = scratch("alone", &format!("{SECRET}\n"));
    let named = scratch("named", &spec(json!({"named": "peer1"})));
    let file = scratch("file", &spec(json!({"file": alone})));
    let open = scratch("open", &spec(json!({"file": "/dev/fd/3"})));
    for line in [
        format!("$G render -f {file}"),
        format!("$G render -f {open} 3<{alone}"),
        format!("$G render -f {named} --secrets {secrets}"),
        format!("$G render -f {named} --secrets - <{secrets}"),
        format!("$G render -f {named} --secrets fd:3 3<{secrets}"),
        format!("cat {secrets} | $G render -f - --secrets fd:3 3<&0 <{named}"),
        format!("$G render -f <(cat {named}) --secrets <(cat {secrets})"),
    ] {
        let output = shell(&line);
        assert!(output.status.success(), "{line}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected.1, "{line}");
        hides(&output, &line);
    }
    for file in [secrets, alone, named, file, open] {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn mistakes_with_secrets_do_not_repeat_them() {
    let named = scratch("mistaken", &spec(json!({"named": "peer1"})));
    let without = scratch("without", &json!({"peer2": SECRET}).to_string());
    let damaged = scratch("damaged", &format!("{{\"peer1\": {SECRET}}}"));
    let short = scratch("short", &json!({"peer1": &SECRET[..30]}).to_string());
    let misplaced = scratch("misplaced", &spec(json!({"named": SECRET})));
    for (code, line, words) in [
        (65, format!("$G plan -f {named}"), "guests[0].tunnels[0].secret: the secret peer1"),
        (
            65,
            format!("$G plan -f {named} --secrets {without}"),
            "guests[0].tunnels[0].secret: the secret peer1",
        ),
        (65, format!("$G plan -f {named} --secrets {damaged}"), "secrets: "),
        (
            65,
            format!("$G plan -f {named} --secrets {short}"),
            "guests[0].tunnels[0].secret: the secret peer1",
        ),
        (65, format!("$G plan -f {misplaced}"), "guests[0].tunnels[0].secret: where the name"),
        (64, format!("$G plan -f - --secrets - <{named}"), "standard input"),
        (64, format!("$G plan -f {named} --secrets fd:x"), "descriptor"),
        (1, format!("$G plan -f {named} --secrets fd:77"), "file descriptor 77"),
        (1, format!("$G plan -f {named} --secrets /no/such"), "/no/such"),
    ] {
        for form in ["text", "json"] {
            let output = shell(&line.replace("$G", &format!("$G -o {form}")));
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{line}: {err}");
            assert!(err.contains(words), "{line}: {err}");
            hides(&output, &line);
        }
    }
    for file in [named, without, damaged, short, misplaced] {
        fs::remove_file(file).unwrap();
    }
}

/// None of them is opened: nobody writes into the FIFO, and the device has no end.
#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let fifo = scratch("fifo", "");
    fs::remove_file(&fifo).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let named = scratch("named-beside", &spec(json!({"named": "peer1"})));
    for (place, words) in
        [(&*fifo, "it is a FIFO"), ("/dev/zero", "it is a device"), ("/", "it is a directory")]
    {
        let secret = scratch("secret-in", &spec(json!({"file": place})));
        for (code, line, at) in [
            (1, format!("$G plan -f {place}"), "read "),
            (1, format!("$G apply -f {place} --format toml"), "read "),
            (1, format!("$G rekey -f {place}"), "read "),
            (1, format!("$G plan -f {named} --secrets {place}"), "read "),
            (65, format!("$G plan -f {secret}"), "guests[0].tunnels[0].secret: read a pair secret from "),
        ] {
            let output = shell(&format!("timeout 20 {line}").replace("$G", GUESTNET));
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{line}: {err}");
            let said = err.contains(at) && err.contains(place) && err.contains(words);
            assert!(said && err.contains("only regular files are read"), "{line}: {err}");
        }
        fs::remove_file(secret).unwrap();
    }
    fs::remove_file(fifo).unwrap();
    fs::remove_file(named).unwrap();
}

/// What anybody on the machine can see of a process.
fn seen(pid: u32) -> String {
    let bytes = ["cmdline", "environ"].map(|file| fs::read(format!("/proc/{pid}/{file}")).unwrap());
    String::from_utf8_lossy(&bytes.concat()).into_owned()
}

#[test]
fn nobody_sees_them_in_the_process() {
    let mut child = Command::new(GUESTNET)
        .args(["render", "-f", "-", "--secrets", "/dev/fd/0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It waits for the rest, and so is still there to be looked at.
    child.stdin.as_mut().unwrap().write_all(&json!({"peer1": SECRET}).to_string().as_bytes()[..50]).unwrap();
    let waits = || seen(child.id()).contains("render");
    wait_until("the command runs", Duration::from_secs(10), waits).unwrap();
    assert!(!seen(child.id()).contains(&SECRET[..16]));
    drop(child.stdin.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(65), "{err}");
    assert!(!err.contains(&SECRET[..16]), "{err}");
}

lab_test! {
    fn what_is_sent_is_shown_without_them() {
        need(Capability::Tap);
        let _outside = support::with_uplink();
        let mut guest = support::guest("own", 1);
        guest["tunnels"] = serde_json::from_str::<Value>(&spec(json!(SECRET))).unwrap()["guests"][0]["tunnels"].clone();
        guest["endpoint"] = "2001:db8:1::a1".into();
        let spec = json!({"version": 1, "uplink": "uplink", "guests": [guest]}).to_string();
        for verbose in ["-v", "-vv"] {
            for form in ["text", "json"] {
                // Where the kernel has no ESP this ends with its refusal, after the key was sent.
                let (code, out, err) = said(&["apply", "-f", "-", verbose, "-o", form], &spec);
                assert!(code == 0 || err.contains("algorithm not found"), "{err}");
                for line in ["own: make namespace own", "own: send ", "XFRM_MSG_NEWSA", "sysctl net/ipv4/", "NFT_MSG_NEWRULE"] {
                    assert!(err.contains(line), "{line}: {err}");
                }
                assert_eq!(err.contains("own: ask "), verbose == "-vv", "{err}");
                // An interface's name is in the bytes, no key is: neither the secret nor what was derived from it.
                let hex = err.replace([' ', '\n'], "");
                assert_eq!(hex.contains("746170" /* tap */), verbose == "-vv", "{err}");
                let rfc4106 = "rfc4106(".bytes().map(|b| format!("{b:02x}")).collect::<String>();
                for hidden in [SECRET, &rfc4106] {
                    assert!(!hex.contains(&hidden[..16]) && !out.contains(&hidden[..16]), "{hidden}: {err}");
                }
                said(&["remove"], "");
            }
        }
        let (_, _, err) = said(&["plan", "-f", "-"], &spec);
        assert_eq!(err, "");
    }
    fn esp_what_is_kept_has_no_secrets() {
        need(Capability::Esp);
        let file = "/run/spec.json";
        fs::write(file, spec(json!(SECRET))).unwrap();
        assert_eq!(said(&["apply", "-f", file], "").0, 0);
        let kept = shell("find /run/guestnet -type f -exec cat {} +");
        assert!(String::from_utf8_lossy(&kept.stdout).contains("2001:db8:2::a1"), "the tunnel is kept: {kept:?}");
        hides(&kept, "what is kept");
        // And it is known from that what the guest had.
        assert_eq!(said(&["remove", "-f", file], "").0, 0);
        assert_eq!(said(&["show"], "").1.trim(), "{\n  \"version\": 1\n}");
    }
}
