//! The same records provisioned from Rust, Python, Ruby and shell make the same host.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use call::{GUESTNET, example, parsed, said};
use guestnet_lab::{Capability, lab_test, need, need_program};
use serde_json::Value;

const RECORDS: &str = "/run/records.json";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// A program of a language, ready to be given the records.
struct Language(&'static str, Command);

/// The languages that take records.
fn languages() -> Vec<Language> {
    let interpreted = |interpreter: &str, file: &str| {
        let mut command = Command::new(interpreter);
        command.arg(examples().join(file));
        command
    };
    let mut languages = vec![
        Language("Rust", rust()),
        Language("Ruby", interpreted("ruby", "ruby/provision.rb")),
        Language("shell", interpreted("sh", "shell/provision.sh")),
    ];
    languages.extend(python().map(|python| Language("Python", interpreted(&python, "python/provision.py"))));
    for language in &mut languages {
        language.1.arg(RECORDS).env("GUESTNET", GUESTNET);
    }
    languages
}

/// The Python that has the module. `cargo xtask test` makes one and says where; without it only Python is left out.
fn python() -> Option<String> {
    let python = std::env::var("GUESTNET_PYTHON").ok();
    if python.is_none() {
        let words = "Python: GUESTNET_PYTHON does not say which one has the module";
        assert!(std::env::var_os("GUESTNET_LAB_REQUIRED").is_none(), "{words}");
        guestnet_lab::note(words);
    }
    python
}

/// Cargo builds the examples of a package with its tests, and this one is another package's.
fn rust() -> Command {
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/provision");
    if !program.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--package", "guestnet", "--example", "provision"])
            .current_dir(examples());
        assert!(cargo.status().unwrap().success());
    }
    Command::new(program)
}

fn run(language: &mut Language) -> Output {
    language.1.output().unwrap_or_else(|e| panic!("{}: {e}", language.0))
}

/// The host as it is shown, without what tells one run from the other: counters, sequence numbers, and the MAC addresses
/// that the kernel draws for taps.
fn shown() -> Value {
    fn still(value: &mut Value) {
        match value {
            Value::Object(map) => {
                let tap = map.get("kind").is_some_and(|kind| kind == "tap" || kind.get("tap").is_some());
                let fleeting =
                    |name: &str| ["counters", "sequence"].contains(&name) || (tap && name == "mac");
                map.retain(|name, _| !fleeting(name));
                map.values_mut().for_each(still);
            }
            Value::Array(list) => list.iter_mut().for_each(still),
            _ => {}
        }
    }
    let mut host = parsed(&said(&["show"], "").1);
    still(&mut host);
    host
}

/// Provisions `records` from every language, and compares the hosts. Returns the host.
fn all_make_the_same(records: &Value) -> Value {
    fs::write(RECORDS, records.to_string()).unwrap();
    let mut first: Option<Value> = None;
    let languages = languages();
    for mut language in languages {
        let output = run(&mut language);
        assert!(output.status.success(), "{}: {output:?}", language.0);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(!out.starts_with("0 changes"), "{}: {out}", language.0);
        let made = shown();
        let again = run(&mut language);
        assert!(again.status.success(), "{}: {again:?}", language.0);
        assert_eq!(shown(), made, "{} again", language.0);
        match &first {
            Some(first) => {
                support::same(&format!("{first:#}"), &format!("{made:#}"));
            }
            None => first = Some(made),
        }
        assert_eq!(said(&["remove"], "").0, 0);
        assert_eq!(said(&["show"], "").1, "{\n  \"version\": 1\n}\n", "{}", language.0);
    }
    first.unwrap()
}

lab_test! {
    fn the_same_records_make_the_same_host() {
        need(Capability::Tap);
        need_program("ruby");
        need_program("jq");
        let _outside = support::with_uplink();
        // Without tunnels, so on every kernel.
        let mut records = parsed(&example("records.json"));
        for vm in records["vms"].as_array_mut().unwrap() {
            vm["peers"] = Value::Array(Vec::new());
        }
        let host = all_make_the_same(&records);
        assert_eq!(host["objects"]["namespaces"].as_object().unwrap().len(), 2);
    }

    fn the_same_records_make_the_same_tunnels() {
        need(Capability::Tap);
        need(Capability::Esp);
        need_program("ruby");
        need_program("jq");
        let _outside = support::with_uplink();
        let host = all_make_the_same(&parsed(&example("records.json")));
        let own = &host["objects"]["namespaces"]["vm7m86kv"];
        assert_eq!(own["states"].as_array().unwrap().len(), 2, "{own:#}");
    }

    /// What the package's own tests leave out on a kernel without ESP.
    fn python_takes_a_tunnel_to_new_keys() {
        need(Capability::Tap);
        need(Capability::Esp);
        let Some(python) = python() else { return };
        let mut pytest = Command::new(python);
        // Not from where the checkout's own folder `guestnet` would be found first.
        pytest.current_dir(examples().join("../python/tests"));
        pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "-k", "goes_to_new_keys", "test_documents.py"]);
        let output = pytest.output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && out.contains("1 passed"), "{out}");
    }

    fn mistakes_are_understood() {
        need_program("ruby");
        need_program("jq");
        let mut records = parsed(&example("records.json"));
        let secret = records["vms"][0]["peers"][0]["secret"].as_str().unwrap()[..16].to_owned();
        // Two addresses that cannot be, and one that two have.
        records["vms"][0]["public_ipv4"] = "224.0.0.1".into();
        records["vms"][1]["public_ipv6"] = records["vms"][0]["public_ipv6"].clone();
        fs::write(RECORDS, records.to_string()).unwrap();
        for mut language in languages() {
            let output = run(&mut language);
            let err = String::from_utf8_lossy(&output.stderr);
            for words in ["guests[0].interfaces[0].public_ipv4", "guests[1].interfaces[0].public_ipv6"] {
                assert!(err.contains(words), "{}: {err}", language.0);
            }
            assert!(!err.contains(&secret), "{}: {err}", language.0);
            if language.0 != "Rust" {
                assert_eq!(output.status.code(), Some(65), "{}: {err}", language.0);
            }
        }
    }
}
