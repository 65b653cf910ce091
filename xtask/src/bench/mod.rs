//! `cargo xtask bench`: builds the benchmarks as they will be shipped, gets the peers, and runs them.

mod count;
mod peers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::run::run as run_command;
use crate::{deps, place, vm};

/// How long the second kernel may take.
const DEADLINE: Duration = Duration::from_secs(1800);

pub use count::{accept, check};

/// Runs the jobs that are named, or all.
pub fn run(words: &[String]) -> Result<u8> {
    deps::install()?;
    if words.first().is_some_and(|word| word == "list") {
        run_command(Command::new(build()?).arg("list"))?;
        return Ok(0);
    }
    let python = peers::pyroute2();
    let program = build()?;
    let out = place::target().join("bench");
    std::fs::create_dir_all(&out)?;
    let (json, markdown) = (out.join("report.json"), out.join("report.md"));
    let mut command = Command::new(&program);
    command.arg("run").args(words).arg("--json").arg(&json).arg("--markdown").arg(&markdown);
    command.env("GUESTNET_BENCH_COMMAND", program.with_file_name("guestnet"));
    if let Some(python) = python {
        command.env("GUESTNET_BENCH_PYTHON", python);
    }
    if let Some(jobs) = words.strip_prefix(&["--second-kernel".to_owned()]) {
        return in_the_second_kernel(&program, jobs);
    }
    run_command(&mut command)?;
    println!("\nthe same in {} and {}", markdown.display(), json.display());
    Ok(0)
}

/// The jobs that this kernel may lack something for. Without hardware virtualisation only ratios mean anything.
fn in_the_second_kernel(program: &Path, jobs: &[String]) -> Result<u8> {
    let mut command = vec![program.to_string_lossy().into_owned(), "run".to_owned(), "--quick".to_owned()];
    command.extend(if jobs.is_empty() { vec!["state".to_owned()] } else { jobs.to_vec() });
    vm::run(&command, DEADLINE)
}

/// Builds the benchmarks and the command; where the benchmarks are.
fn build() -> Result<PathBuf> {
    println!("building the benchmarks and the command guestnet");
    run_command(
        Command::new("cargo")
            .args(["build", "--quiet", "--profile", "bench"])
            .args(["--package", "guestnet-bench", "--package", "guestnet-cli"])
            .current_dir(place::repository()),
    )?;
    Ok(place::target().join("release").join("guestnet-bench"))
}
