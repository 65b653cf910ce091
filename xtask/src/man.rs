//! `cargo xtask man`: man pages and completions of the command, laid out as they are installed: `cp -r target/share /usr`.

use std::process::Command;

use anyhow::Result;

use crate::place;
use crate::run::run;

/// Writes them into `target/share`.
pub fn write() -> Result<()> {
    let arguments = ["run", "--quiet", "--package", "guestnet-cli", "--example", "generate", "--", "share"];
    run(Command::new("cargo").args(arguments).arg(place::target().join("share")))
}
