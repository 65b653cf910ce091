//! Running programs, with what they say in the error.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::sys;

/// Runs `command`; its standard output.
///
/// # Errors
/// When it cannot be started or fails: with its arguments and what it says.
pub fn output(command: &mut Command) -> Result<String> {
    let what = describe(command);
    let done = command.output().with_context(|| format!("start {what}"))?;
    said(&what, done)
}

/// Runs `script` in a shell, in the caller's namespace; its standard output.
///
/// # Errors
/// As [`output`].
pub fn sh(script: &str) -> Result<String> {
    output(Command::new("sh").args(["-ec", script]))
}

/// Has the program killed when the thread that starts it ends, so that nothing outlives a run that was killed.
pub fn die_with_parent(command: &mut Command) {
    sys::before_exec(command, || Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
}

/// Whether the caller is root, if only in its user namespace.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

pub(crate) fn said(what: &str, done: Output) -> Result<String> {
    let words = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(words);
    }
    let complaint = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let complaint = if complaint.is_empty() { words.trim().to_owned() } else { complaint };
    bail!("{what}: {} ({})", complaint, done.status)
}

fn describe(command: &Command) -> String {
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
