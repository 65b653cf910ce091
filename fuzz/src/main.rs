//! Binds the targets to libFuzzer: the target that the environment variable `GUESTNET_FUZZ` names is run. `list` prints all.
#![no_main]
#![allow(unsafe_code, missing_docs, reason = "what libFuzzer's macros define")]

use std::sync::OnceLock;

use guestnet_fuzz::mutate::Dice;
use guestnet_fuzz::{TARGETS, Target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Prints the targets, a line each, where that is all that is asked. `main` is libFuzzer's.
fn list() {
    if std::env::var("GUESTNET_FUZZ").is_ok_and(|name| name == "list") {
        TARGETS.iter().for_each(|target| println!("{:12} {}", target.name, target.about));
        std::process::exit(0);
    }
}

fn target() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("GUESTNET_FUZZ").unwrap_or_default();
        Target::called(&name).unwrap_or_else(|| {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            panic!("GUESTNET_FUZZ={name:?} names no target; there are {}", names.join(", "))
        })
    })
}

fuzz_target!(init: list(), |input: &[u8]| (target().run)(input));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut dice = Dice::new(seed.into());
    // Bytes that are changed blindly find what is wrong at the lowest layer, and the ends of texts.
    if !dice.one_in(4)
        && let Some(changed) = data.get(..size).and_then(|input| (target().mutate)(input, &mut dice))
        && let Some(room) = data.get_mut(..changed.len()).filter(|_| changed.len() <= max_size)
    {
        room.copy_from_slice(&changed);
        return changed.len();
    }
    fuzzer_mutate(data, size, max_size)
});
