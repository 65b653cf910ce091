//! The command `guestnet`, as a user calls it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use guestnet_lab::Netns;

use crate::place;

/// The built command.
pub fn program() -> PathBuf {
    place::target().join("release/guestnet")
}

/// Calls it for `host` with `arguments`; what it answers, whatever the exit code.
pub fn call(host: &Netns, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program());
    command.args(arguments).args(["--netns", host.name()]).current_dir(place::repository());
    command.output().with_context(|| format!("start {}", program().display()))
}

/// Calls it and expects exit code `code`; what it prints.
pub fn expect(host: &Netns, arguments: &[&str], code: i32) -> Result<String> {
    let output = call(host, arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(
        output.status.code() == Some(code),
        "guestnet {} ended with {}: {text}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(text)
}

/// The file that guestnet has written for the daemons of `host`.
pub fn file(host: &Netns, path: &str) -> PathBuf {
    Path::new("/run/guestnet/netns").join(host.name()).join(path)
}
