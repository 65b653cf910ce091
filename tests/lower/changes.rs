//! Golden differences: what becomes of a host when its spec does. A folder has the spec `before`, the spec `after`, and the
//! plan that leads from one to the other on a host where the kernel has kept everything as it was sent. Pure, so they hold
//! on any machine.
//!
//! A new case is a new folder with a `before.json` and an `after.json`; `GUESTNET_BLESS=1` writes the plan, for review.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use guestnet::{CheckedSpec, Plan, Secrets};

use super::compare;

struct Case {
    folder: PathBuf,
    before: CheckedSpec,
    after: CheckedSpec,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden_changes");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 40, "{folders:?}");
    folders
        .into_iter()
        .map(|folder| Case {
            before: spec(&folder.join("before.json")),
            after: spec(&folder.join("after.json")),
            folder,
        })
        .collect()
}

fn spec(file: &Path) -> CheckedSpec {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    CheckedSpec::from_json(&text, &Secrets::new()).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// What `plan` does with `sign`, by namespace and name.
fn names(plan: &Plan, sign: char) -> BTreeSet<String> {
    let changes = plan.changes().iter().filter(|change| change.sign() == sign);
    changes.map(|change| format!("{} {}", change.namespace(), change.name())).collect()
}

#[test]
fn changed_specs_come_to_their_plans() {
    for Case { folder, before, after } in cases() {
        let plan = format!("{}\n", after.plan_from(before.objects()).unwrap());
        compare(&folder.join("plan.txt"), &plan);
    }
}

#[test]
fn what_is_the_same_before_and_after_is_in_no_plan() {
    for Case { folder, before, after } in cases() {
        for spec in [&before, &after] {
            let plan = spec.plan_from(spec.objects()).unwrap();
            assert!(plan.is_empty(), "{}: {plan}", folder.display());
        }
        let plan = after.plan_from(before.objects()).unwrap();
        assert!(!plan.is_empty(), "{}: nothing changes", folder.display());
        // Whatever is changed is so in one line; only what has to be made anew has two.
        let mut lines = BTreeSet::new();
        for change in plan.changes() {
            let name = (change.sign(), change.namespace().clone(), change.name());
            assert!(lines.insert(name), "{}: {} twice\n{plan}", folder.display(), change.name());
        }
    }
}

#[test]
fn the_way_back_makes_what_the_way_there_removes() {
    for Case { folder, before, after } in cases() {
        // The host keeps the newest generation of its tunnels: there is no way back.
        if folder.ends_with("tunnel_generation") {
            continue;
        }
        let there = after.plan_from(before.objects()).unwrap();
        let back = before.plan_from(after.objects()).unwrap();
        // What lives on a link goes with it, and is made by itself.
        assert!(names(&there, '-').is_subset(&names(&back, '+')), "{}: {there}\n{back}", folder.display());
        assert!(names(&back, '-').is_subset(&names(&there, '+')), "{}: {there}\n{back}", folder.display());
    }
}

#[test]
fn no_key_is_shown() {
    let mut keys = 0;
    for Case { folder, before, after } in cases() {
        let plan = after.plan_from(before.objects()).unwrap().to_string();
        for file in ["before.json", "after.json"] {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            let hex = |word: &&str| word.len() >= 40 && word.bytes().all(|b| b.is_ascii_hexdigit());
            for key in text.split('"').filter(hex) {
                assert!(!plan.contains(key), "{}: a key is shown", folder.display());
                keys += 1;
            }
        }
    }
    assert!(keys > 20, "{keys} keys are found where they are looked for");
}
