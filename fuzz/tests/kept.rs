//! Kept inputs, those of the corpora and those that once failed, run again without an engine.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use guestnet_fuzz::{TARGETS, Target};

/// The inputs in `fuzz/KIND/TARGET`, with their names.
fn inputs(kind: &str, target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target.name);
    let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    files.map(|file| (file.display().to_string(), fs::read(file).unwrap())).collect()
}

fn replay(kind: &str) {
    let all =
        TARGETS.iter().flat_map(|target| inputs(kind, target).into_iter().map(move |input| (target, input)));
    let failed: Vec<String> = all
        .filter(|(target, (_, input))| catch_unwind(|| (target.run)(input)).is_err())
        .map(|(target, (file, _))| format!("{}: {file}", target.name))
        .collect();
    assert!(failed.is_empty(), "inputs that fail:\n{}", failed.join("\n"));
}

#[test]
fn what_once_failed_does_so_no_more() {
    replay("regressions");
}

#[test]
fn the_corpora_hold() {
    replay("corpus");
}

#[test]
fn each_target_has_a_small_corpus() {
    for target in TARGETS {
        let corpus = inputs("corpus", target);
        assert!(!corpus.is_empty() && corpus.len() <= 30, "{}: {} inputs", target.name, corpus.len());
        for (file, input) in corpus {
            assert!(input.len() <= 2048, "{file} has {} bytes", input.len());
        }
    }
    for kind in ["corpus", "regressions"] {
        for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(kind)).into_iter().flatten() {
            let name = folder.unwrap().file_name().into_string().unwrap();
            assert!(Target::called(&name).is_some(), "fuzz/{kind}/{name} is of no target");
        }
    }
}
