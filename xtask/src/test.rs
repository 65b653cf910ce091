//! `cargo xtask test`: everything that must hold, in stages.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::run::run as run_command;
use crate::{architecture, bench, deps, fuzz, place, python, python_types, second_kernel};

/// How much is tested.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// Nothing that needs the second kernel.
    Quick,
}

struct Stages {
    done: Vec<(&'static str, bool, Duration)>,
}

impl Stages {
    /// Runs one stage. A failure does not keep the next from running: one run shows all there is to mend.
    fn run(&mut self, name: &'static str, stage: impl FnOnce() -> Result<()>) {
        println!("\n== {name}");
        let start = Instant::now();
        let result = stage();
        if let Err(e) = &result {
            println!("error: {e:#}");
        }
        self.done.push((name, result.is_ok(), start.elapsed()));
    }

    fn report(&self) -> u8 {
        println!();
        for (name, passed, time) in &self.done {
            println!("{:6} {:>7.1} s  {name}", if *passed { "ok" } else { "FAILED" }, time.as_secs_f32());
        }
        u8::from(self.done.iter().any(|(_, passed, _)| !passed))
    }
}

/// Runs all stages; exit code 0 when all have passed.
pub fn run(extent: Extent) -> Result<u8> {
    // Without these nothing else can be built.
    deps::install_all()?;
    let list = place::lab().join("later");
    fs::create_dir_all(place::lab())?;
    let _ = fs::remove_file(&list);

    let mut stages = Stages { done: Vec::new() };
    stages.run("architecture", architecture::check);
    stages.run("length of files", architecture::warn_of_long_files);
    stages.run("formatting", || run_command(&mut cargo("fmt --all --check")));
    stages.run("clippy", || run_command(&mut cargo("clippy --workspace --all-targets -- -D warnings")));
    stages.run("formatting and clippy of fuzzing", fuzz::lint);
    stages.run("documentation", || {
        run_command(cargo("doc --quiet --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
    });
    stages.run("types of the Python package", || python_types::run(true));
    stages.run("Python package", python::test);
    // The languages are compared with the package that was put there.
    stages.run("tests on this kernel", || {
        let mut cargo = cargo("test --workspace --no-fail-fast");
        // A change is judged by its own faults: properties are tried from one seed here, and from others by whoever runs cargo.
        cargo.env("PROPTEST_RNG_SEED", "1");
        run_command(cargo.env("GUESTNET_LAB_LATER", &list).env("GUESTNET_PYTHON", python::interpreter()))
    });
    stages.run("inputs that fuzzing has found", fuzz::test);
    stages.run("a glance at fuzzing", || fuzz::run(&["--smoke".to_owned()]));
    stages.run("instructions of the pure middle", bench::check);
    stages.run("instructions for twice the guests", bench::check_growth);
    stages.run("a glance at the benchmarks", bench::glance);
    let later = second_kernel::count(&list)?;
    match (extent, later) {
        (_, 0) => {}
        (Extent::Whole, _) => stages
            .run("tests in the second kernel", || second_kernel::test(&list, &[], second_kernel::DEADLINE)),
        (Extent::Quick, n) => println!("\nleft out: {n} tests that need the second kernel"),
    }
    Ok(stages.report())
}

/// Cargo, with what it is to do, in the workspace.
pub fn cargo(arguments: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments.split(' ')).current_dir(place::repository());
    command
}
