//! The initial file system: busybox, modules and the script that furnishes the machine and runs the command.

use std::fs;

use anyhow::Result;
use guestnet_lab::vm::{Archive, Kernel, Modules};

use super::modules::{FOR_LAB, FOR_ROOT};

/// An archive for the kernel to boot with.
pub fn build(kernel: &Kernel, init: &str) -> Result<Vec<u8>> {
    let modules = Modules::of(kernel)?;
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "sys", "top", "host", "rw", "first", "then"] {
        archive.add(directory, 0o040_755, &[]);
    }
    archive.add("bin/busybox", 0o100_755, &fs::read(&kernel.busybox)?);
    archive.add("init", 0o100_755, init.as_bytes());
    let mut loaded = Vec::new();
    for (directory, wanted) in [("first", FOR_ROOT), ("then", FOR_LAB)] {
        for (name, bytes) in modules.load_order(wanted)? {
            if !loaded.contains(&name) {
                // In the order of their numbers, which the shell's `*` keeps.
                archive.add(&format!("{directory}/{:03}-{name}.ko", loaded.len()), 0o100_644, &bytes);
                loaded.push(name);
            }
        }
    }
    Ok(archive.finish())
}
