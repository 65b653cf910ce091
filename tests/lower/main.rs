//! Golden folders: what specs come to, as a plan for an empty host and as the lines of other tools. Pure, so they
//! hold on any machine.
//!
//! A new case is a new folder with a `spec.json`; `GUESTNET_BLESS=1` writes the rest, for review.

mod changes;

use std::fs;
use std::path::{Path, PathBuf};

use guestnet::{HostSpec, Plan, render};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn spec(file: &Path) -> HostSpec {
    HostSpec::from_json(&read(file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn cases() -> Vec<(PathBuf, HostSpec)> {
    let folders = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = folders.map(|case| (case.clone(), spec(&case.join("spec.json")))).collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(cases.len() >= 9, "{cases:?}");
    cases
}

fn compare(golden: &Path, made: &str) {
    if std::env::var_os("GUESTNET_BLESS").is_some() {
        fs::write(golden, made).unwrap();
    }
    assert_eq!(made, fs::read_to_string(golden).unwrap_or_default(), "{}", golden.display());
}

#[test]
fn specs_come_to_their_plans() {
    for (case, spec) in cases() {
        let plan = Plan::from_nothing(&spec.objects().unwrap());
        compare(&case.join("plan.txt"), &format!("{plan}\n"));
    }
}

#[test]
fn specs_are_rendered_for_review() {
    for (case, spec) in cases() {
        let text = render(&spec.objects().unwrap());
        compare(&case.join("render.txt"), &text);
        for key in keys(&read(&case.join("spec.json"))) {
            assert!(!text.contains(&key), "{}: a key is shown", case.display());
        }
    }
}

/// Every text that could be a key: hex digits, 40 or more.
fn keys(text: &str) -> Vec<String> {
    let hex = |word: &&str| word.len() >= 40 && word.bytes().all(|b| b.is_ascii_hexdigit());
    text.split('"').filter(hex).map(str::to_owned).collect()
}

#[test]
fn the_seed_is_among_them_as_it_stands_in_the_examples() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/seed.json");
    assert_eq!(read(&folder().join("seed/spec.json")), read(&example));
    assert_eq!(keys(&read(&example)).len(), 4, "its keys are found where they are looked for");
}

#[test]
fn specs_are_written_as_they_are_read() {
    for (case, spec) in cases() {
        let json = serde_json::to_string(&spec).unwrap();
        // What is written has no secrets in it, and so a spec with tunnels is not whole.
        if spec.guests.iter().all(|guest| guest.tunnels.is_empty()) {
            assert_eq!(HostSpec::from_json(&json).unwrap(), spec, "{}", case.display());
            let toml = toml::to_string(&spec).unwrap();
            assert_eq!(HostSpec::from_toml(&toml).unwrap(), spec, "{}", case.display());
        }
    }
}

#[test]
fn objects_are_a_spec_of_the_same_host() {
    for (case, spec) in cases() {
        let objects = spec.objects().unwrap();
        let direct = HostSpec { objects: objects.clone(), ..HostSpec::new() };
        assert!(direct.problems().is_empty(), "{}: {}", case.display(), direct.problems());
        assert_eq!(direct.objects().unwrap(), objects, "{}", case.display());
    }
}

#[test]
fn both_languages_say_the_examples() {
    for name in ["seed.json", "host1.json", "host2.toml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        let text = read(&file);
        let (json, toml) = match name.ends_with(".toml") {
            true => (serde_json::to_string(&toml::from_str::<toml::Value>(&text).unwrap()).unwrap(), text),
            false => {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                (text, toml::to_string(&value).unwrap())
            }
        };
        let (one, other) = (HostSpec::from_json(&json).unwrap(), HostSpec::from_toml(&toml).unwrap());
        assert_eq!(one, other, "{name}");
        assert_eq!(one.objects().unwrap(), other.objects().unwrap(), "{name}");
    }
}

#[test]
fn nothing_can_be_given_twice() {
    let mut tried = 0;
    for (case, _) in cases() {
        let text = read(&case.join("spec.json"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for n in 0..fields(&value) {
            let twice = with_field_twice(&value, &mut { n });
            let said = HostSpec::from_json(&twice).unwrap_err().to_string();
            assert!(said.contains("is given twice"), "{}: {twice}\n{said}", case.display());
            tried += 1;
        }
    }
    assert!(tried > 400, "{tried}");
}

/// How many fields there are at any depth.
fn fields(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Object(map) => map.values().map(|value| 1 + fields(value)).sum(),
        serde_json::Value::Array(list) => list.iter().map(fields).sum(),
        _ => 0,
    }
}

/// The text of `value`, in which the field that `n` counts down to stands twice.
fn with_field_twice(value: &serde_json::Value, n: &mut usize) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let mut parts = Vec::new();
            for (name, value) in map {
                let here = *n == 0;
                *n = n.wrapping_sub(1);
                let part = format!("{name:?}: {}", with_field_twice(value, n));
                parts.extend(here.then(|| part.clone()));
                parts.push(part);
            }
            format!("{{{}}}", parts.join(", "))
        }
        serde_json::Value::Array(list) => {
            let list: Vec<String> = list.iter().map(|value| with_field_twice(value, n)).collect();
            format!("[{}]", list.join(", "))
        }
        other => other.to_string(),
    }
}
