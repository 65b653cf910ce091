//! A second kernel under qemu, for machines whose own kernel has no ESP: Debian's, with the host's file tree.
//!
//! Without hardware virtualisation it is up in some seconds. The root is the host's, read-only below a tmpfs; the
//! checkout and cargo's target directory are the host's own, writable, at the same paths.

mod boot;
mod initramfs;
mod kernel;
mod modules;

use std::time::Duration;

use anyhow::Result;

use crate::deps;

/// Runs `command` (program and arguments) inside, in the checkout, with this environment; its exit code.
pub fn run(command: &[String], deadline: Duration) -> Result<u8> {
    deps::install_for_emulation()?;
    boot::run(&kernel::second()?, command, deadline)
}

/// Installs and fetches what real guests in the lab run on, if it is missing.
pub fn prepare_guests() -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        println!("real guests are left out: they are only set up for x86_64");
        return Ok(());
    }
    deps::install_for_emulation()?;
    kernel::of_guests().map(drop)
}
