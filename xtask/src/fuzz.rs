//! `cargo xtask fuzz`: inputs changed at random, by libFuzzer, against what reads them. docs/fuzzing.md says more.
//!
//! `fuzz/` is outside of the workspace, so it is built by itself, with what tells the engine where an input has led.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use guestnet_lab::output;

use crate::run::run as run_command;
use crate::{deps, place};

/// How long a smoke run takes, for all targets together.
const SMOKE: Duration = Duration::from_secs(180);

/// Longer inputs are not tried: what is wrong shows in short ones.
const LONGEST: usize = 8192;

/// What is kept of the inputs that were found for a target: so many files, none longer than this.
const KEPT: usize = 30;
const LONGEST_KEPT: usize = 2048;

/// Coverage as libFuzzer wants it, which stable Rust has as a pass of LLVM; what cargo-fuzz says for `--sanitizer none`.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Does what the words behind `cargo xtask fuzz` say.
pub fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // What runs for hours is worth the minutes that it takes to be built fast.
    let profile = if words.contains(&"--hours") { "long" } else { "dev" };
    let engine = Engine::build(profile)?;
    match words.as_slice() {
        ["list"] => {
            print!("{}", engine.list()?);
            Ok(())
        }
        ["--smoke"] => engine.smoke(),
        [target, "--hours", hours] => {
            let hours: f64 = hours.parse().with_context(|| format!("{hours:?} is no number of hours"))?;
            let time = Duration::try_from_secs_f64(hours * 3600.0).context("so long nobody waits")?;
            engine.search(engine.target(target)?, time, None)
        }
        [target, "--minimise"] => engine.minimise(engine.target(target)?),
        [target, inputs @ ..] if !inputs.is_empty() => engine.replay(engine.target(target)?, inputs),
        _ => bail!("say `list`, `--smoke`, or a target with `--hours N`, `--minimise` or files to replay"),
    }
}

/// Replays what is kept, corpora and regressions, in a plain test that needs no engine.
pub fn test() -> Result<()> {
    run_command(cargo("test").arg("--quiet"))
}

/// What the workspace's formatting and lints say, which do not see a crate outside of it.
pub fn lint() -> Result<()> {
    let manifest = place::repository().join("fuzz/Cargo.toml");
    run_command(Command::new("cargo").args(["fmt", "--check", "--manifest-path"]).arg(manifest))?;
    run_command(cargo("clippy").args(["--quiet", "--all-targets", "--", "-D", "warnings"]))
}

/// The program that has all targets.
struct Engine {
    program: PathBuf,
}

fn cargo(what: &str) -> Command {
    let mut command = Command::new("cargo");
    command.arg(what).arg("--manifest-path").arg(place::repository().join("fuzz/Cargo.toml"));
    command.arg("--target-dir").arg(built());
    command
}

fn built() -> PathBuf {
    place::target().join("fuzz")
}

/// The target of the machine. Where it is named, coverage is not asked for in macros and build scripts.
fn host() -> Result<String> {
    let said = output(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say for what machine it is")
}

/// A folder of what is kept of `target`: `corpus` or `regressions`.
fn kept(what: &str, target: &str) -> PathBuf {
    place::repository().join("fuzz").join(what).join(target)
}

impl Engine {
    fn build(profile: &str) -> Result<Self> {
        deps::install_for_fuzzing()?;
        let host = host()?;
        let mut build = cargo("build");
        // Other programs of the crate have no engine to be linked with.
        build.args(["--quiet", "--bin", "guestnet-fuzz", "--features", "engine", "--target", &host]);
        build.args(["--profile", profile]);
        build.env("RUSTFLAGS", COVERAGE);
        run_command(&mut build)?;
        // Cargo's own name for where it puts what the profile `dev` makes.
        let folder = if profile == "dev" { "debug" } else { profile };
        Ok(Self { program: built().join(host).join(folder).join("guestnet-fuzz") })
    }

    /// The targets, a line each, which its name begins.
    fn list(&self) -> Result<String> {
        output(Command::new(&self.program).env("GUESTNET_FUZZ", "list"))
    }

    fn target<'a>(&self, name: &'a str) -> Result<&'a str> {
        let list = self.list()?;
        ensure!(names(&list).any(|known| known == name), "there is no target {name:?}; there are\n{list}");
        Ok(name)
    }

    /// The engine for `target`.
    fn of(&self, target: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("GUESTNET_FUZZ", target).current_dir(place::repository());
        command.args(["-timeout=10", "-rss_limit_mb=2048"]);
        command
    }

    fn smoke(&self) -> Result<()> {
        let list = self.list()?;
        let share = SMOKE / u32::try_from(names(&list).count()).unwrap_or(1).max(1);
        let failed: Vec<String> = names(&list)
            .filter_map(|target| self.search(target, share, Some(1)).err())
            .map(|e| format!("{e:#}"))
            .collect();
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    }

    /// Tries inputs for as long as `time`, up to the first that fails. From one seed follow the same, so that a change is judged
    /// by its own faults; without one they are others each time.
    fn search(&self, target: &str, time: Duration, seed: Option<u32>) -> Result<()> {
        let [found, failures] = ["found", "failures"].map(|what| built().join(what).join(target));
        let folders = [&found, &kept("corpus", target), &kept("regressions", target)];
        for folder in folders.into_iter().chain([&failures]) {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let began = SystemTime::now();
        let mut command = self.of(target);
        command.args(folders);
        command.arg(format!("-max_len={LONGEST}")).arg(format!("-max_total_time={}", time.as_secs().max(1)));
        command.arg(format!("-artifact_prefix={}/", failures.display())).arg("-print_final_stats=1");
        command.args(seed.map(|seed| format!("-seed={seed}")));
        let said = command.output().context("start the engine")?;
        if said.status.success() {
            println!("{target:12} {} inputs, none of them fails", tried(&said));
            return Ok(());
        }
        let mut inputs: Vec<PathBuf> = files(&failures)?;
        inputs.retain(|input| changed(input) >= began);
        let replays = inputs.iter().map(|input| format!("  cargo xtask fuzz {target} {}", input.display()));
        bail!(
            "{target}: an input fails; it is replayed by\n{}\n{}",
            replays.collect::<Vec<_>>().join("\n"),
            end_of(&said)
        )
    }

    fn replay(&self, target: &str, inputs: &[&str]) -> Result<()> {
        let here = std::env::current_dir()?;
        run_command(self.of(target).args(inputs.iter().map(|input| here.join(input))))
    }

    /// Makes the corpus of the few inputs among all that were found that lead furthest.
    fn minimise(&self, target: &str) -> Result<()> {
        let (corpus, found) = (kept("corpus", target), built().join("found").join(target));
        let chosen = built().join("chosen").join(target);
        let _ = fs::remove_dir_all(&chosen);
        for folder in [&corpus, &found, &chosen] {
            fs::create_dir_all(folder)?;
        }
        let mut command = self.of(target);
        command.arg("-set_cover_merge=1").arg(format!("-max_len={LONGEST_KEPT}"));
        let said = command.args([&chosen, &corpus, &found]).output().context("start the engine")?;
        ensure!(said.status.success(), "{}", end_of(&said));
        // Written first is what leads to most that those before it did not reach.
        let mut inputs = files(&chosen)?;
        inputs.sort_by_key(|input| changed(input));
        inputs.truncate(KEPT);
        for old in files(&corpus)? {
            fs::remove_file(old)?;
        }
        for input in &inputs {
            fs::copy(input, corpus.join(input.file_name().unwrap_or_default()))?;
        }
        println!("{target}: {} inputs in {}", inputs.len(), corpus.display());
        Ok(())
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter_map(|line| line.split_whitespace().next())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_file()).collect())
}

fn changed(path: &Path) -> SystemTime {
    path.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn tried(said: &Output) -> String {
    let text = String::from_utf8_lossy(&said.stderr);
    let count = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    count.unwrap_or("no").trim().to_owned()
}

/// The last lines that the engine said, the first of which say what does not hold.
fn end_of(said: &Output) -> String {
    let text = String::from_utf8_lossy(&said.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| line.contains("panicked at") || line.contains("ERROR:"));
    let start = start.unwrap_or(lines.len().saturating_sub(20));
    lines.iter().skip(start).take(40).copied().collect::<Vec<_>>().join("\n")
}
