//! How much memory programs take that are started. The kernel counts for a program what was there before it: the memory of
//! whoever started it. So in a round for this a small process stands between.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};

/// Whether this is such a round.
static WANTED: AtomicBool = AtomicBool::new(false);

/// A line for each program: KiB.
const NOTES: &str = "/run/peaks";

/// From now on programs are weighed.
pub fn begin() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Until now; the most that one had, in KiB.
pub fn end() -> Result<u64> {
    WANTED.store(false, Ordering::Relaxed);
    let notes = fs::read_to_string(NOTES)?;
    fs::remove_file(NOTES)?;
    Ok(notes.lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0))
}

/// The same program with the same words, as it is or with a process between that weighs it.
pub fn weighed(command: &Command) -> Command {
    let own = std::env::current_exe().ok().filter(|_| WANTED.load(Ordering::Relaxed));
    let mut weighed = match own {
        None => Command::new(command.get_program()),
        Some(own) => {
            let mut between = Command::new(own);
            between.arg("weigh").arg(command.get_program());
            between
        }
    };
    weighed.args(command.get_args());
    weighed
}

/// The process between: starts the program, notes what it took, and ends as it ended.
pub fn weigh(words: &[&str]) -> Result<()> {
    let (program, arguments) = words.split_first().context("a program")?;
    let status = Command::new(program).args(arguments).status()?;
    let most = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(NOTES)?
        .write_all(format!("{most}\n").as_bytes())?;
    std::process::exit(status.code().or(status.signal()).unwrap_or(1));
}
