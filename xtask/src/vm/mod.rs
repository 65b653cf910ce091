//! A second kernel under qemu, for machines whose own kernel has no ESP: Debian's, with the host's file tree.
//!
//! Without hardware virtualisation it is up in some seconds. The root is the host's, read-only below a tmpfs; the
//! checkout and cargo's target directory are the host's own, writable, at the same paths.

mod boot;
mod initramfs;
mod kernel;
mod module;

use std::time::Duration;

use anyhow::Result;

use crate::deps;

/// Runs `command` (program and arguments) inside, in the checkout, with this environment; its exit code.
pub fn run(command: &[String], deadline: Duration) -> Result<u8> {
    deps::install_for_second_kernel()?;
    let kernel = kernel::fetch()?;
    boot::run(&kernel, command, deadline)
}
