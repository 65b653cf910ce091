//! `cargo xtask schema`: writes what `guestnet schema` prints into `schemas/`. A test of the command says when it is due.

use std::process::Command;

use anyhow::Result;

use crate::place;
use crate::run::run;

/// Writes the schema of each document.
pub fn write() -> Result<()> {
    let arguments = ["run", "--quiet", "--package", "guestnet-cli", "--example", "generate", "--", "schemas"];
    run(Command::new("cargo").args(arguments).arg(place::repository().join("schemas")))
}
