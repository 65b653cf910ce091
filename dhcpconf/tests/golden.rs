//! Golden folders: a spec and the file that it makes, or the problems that it has.
//!
//! A new case is a new folder with a `spec.json`; `GUESTNET_BLESS=1` writes the rest, for review.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use guestnet_core::{Path, Problems};
use guestnet_dhcpconf::DnsmasqSpec;
use guestnet_lab::{lab_test, need_program, output, scratch};

fn cases() -> Vec<(PathBuf, DnsmasqSpec)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let case = entry.unwrap().path();
            let text = fs::read_to_string(case.join("spec.json")).unwrap();
            let spec = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", case.display()));
            (case, spec)
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!cases.is_empty());
    cases
}

fn problems(spec: &DnsmasqSpec) -> Problems {
    let mut problems = Problems::new();
    spec.check(&Path::root(), &mut problems);
    problems
}

#[test]
fn specs_make_their_files() {
    for (case, spec) in cases() {
        let problems = problems(&spec);
        let (name, made) = match problems.is_empty() {
            true => ("dnsmasq.conf", spec.to_file("dnsmasq.conf".parse().unwrap()).content),
            false => ("problems.txt", format!("{problems}\n")),
        };
        let golden = case.join(name);
        if std::env::var_os("GUESTNET_BLESS").is_some() {
            fs::write(&golden, &made).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(made, wanted, "{}", golden.display());
    }
}

#[test]
fn specs_are_written_as_they_are_read() {
    for (case, spec) in cases() {
        let text = serde_json::to_string(&spec).unwrap();
        let again: DnsmasqSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(again, spec, "{}", case.display());
    }
}

lab_test! {
    fn the_real_dnsmasq_accepts_the_files() {
        need_program("dnsmasq");
        for (_, spec) in cases().into_iter().filter(|(_, spec)| problems(spec).is_empty()) {
            let path = scratch().join("dnsmasq.conf");
            fs::write(&path, spec.to_file("dnsmasq.conf".parse().unwrap()).content).unwrap();
            output(Command::new("dnsmasq").arg("--test").arg("-C").arg(&path)).unwrap();
        }
    }
}
