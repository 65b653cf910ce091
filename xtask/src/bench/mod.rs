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
const DEADLINE: Duration = Duration::from_secs(3600);

/// The jobs for which the second kernel is there.
const NEED_ESP: [&str; 2] = ["state", "rekey"];

/// The jobs that tests show: a guest from nothing, nothing to do, one element.
const GLANCE: [&str; 4] = ["one-guest", "again", "nat-element", "firewall-element"];

const SECOND_KERNEL: &str = "--second-kernel";

pub use count::{accept, check, check_growth};

/// Runs the jobs that are named, or all.
pub fn run(words: &[String]) -> Result<u8> {
    deps::install()?;
    let program = build()?;
    if words.first().is_some_and(|word| word == "list") {
        run_command(Command::new(program).arg("list"))?;
        return Ok(0);
    }
    let (options, mut jobs): (Vec<&str>, Vec<&str>) =
        words.iter().map(String::as_str).partition(|word| word.starts_with('-'));
    // Whether there are such jobs should be known before anything is installed or booted.
    run_command(Command::new(&program).arg("known").args(&jobs))?;
    let second_kernel = options.contains(&SECOND_KERNEL);
    if second_kernel && jobs.is_empty() {
        jobs.extend(NEED_ESP);
    }
    let name = if second_kernel { "report-second-kernel" } else { "report" };
    let (json, markdown) = (report(&format!("{name}.json"))?, report(&format!("{name}.md"))?);

    let mut command = environment(&program);
    if !second_kernel {
        for (variable, python) in peers::pythons(&jobs) {
            command.arg(format!("{variable}={}", python.display()));
        }
    }
    command.arg(&program).arg("run");
    command.args(options.iter().filter(|option| **option != SECOND_KERNEL)).args(&jobs);
    command.arg("--json").arg(&json).arg("--markdown").arg(&markdown);
    if second_kernel {
        println!("this kernel runs without hardware virtualisation: ratios mean something, times do not");
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let code = vm::run(&words, DEADLINE)?;
        if code != 0 {
            return Ok(code);
        }
    } else {
        run_command(&mut command)?;
    }
    println!("\nthe same in {} and {}", markdown.display(), json.display());
    Ok(0)
}

/// Prints what some jobs cost, in few rounds and at small sizes. Nothing is asserted, nothing installed, and no report of a
/// whole run overwritten.
pub fn glance() -> Result<()> {
    let program = build()?;
    run_command(environment(&program).arg(&program).args(["run", "--quick"]).args(GLANCE))
}

/// What sets the environment of the benchmarks and then starts what it is given.
fn environment(program: &Path) -> Command {
    let mut command = Command::new("env");
    // Cargo has set it for us; the linker of every program that is started would look there first.
    command.args(["-u", "LD_LIBRARY_PATH"]);
    command.arg(format!("GUESTNET_BENCH_COMMAND={}", program.with_file_name("guestnet").display()));
    command
}

/// Has README say what the last whole run has measured.
pub fn write_readme() -> Result<()> {
    let (program, readme) = (build()?, place::repository().join("README.md"));
    run_command(Command::new(program).arg("readme").arg(report("report.json")?).arg(readme))
}

/// Where a report is.
fn report(name: &str) -> Result<PathBuf> {
    let folder = place::target().join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
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
