//! Debian's kernel and a static busybox, unpacked without being installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::place;

/// A kernel that is not installed.
pub struct Kernel {
    /// The compressed image.
    pub image: PathBuf,
    /// `lib/modules/VERSION`.
    pub modules: PathBuf,
    /// A busybox that needs no library.
    pub busybox: PathBuf,
}

impl Kernel {
    /// The directory for the kernel of real guests.
    pub fn of_guests() -> PathBuf {
        place::lab().join("guest")
    }

    /// The directory for the second kernel.
    pub fn second() -> PathBuf {
        place::lab().join("kernel")
    }

    /// The kernel whose package, and that of busybox, were unpacked in `place`.
    ///
    /// # Errors
    /// When they were not, or not to the end.
    pub fn unpacked(place: &Path) -> Result<Self> {
        ensure!(
            place::is_whole(place),
            "there is no kernel in {}: `cargo xtask deps` fetches it",
            place.display()
        );
        let image = only_entry(&place.join("boot"), "vmlinuz-")?;
        // On a machine with merged /usr, newer packages put the modules there.
        let modules =
            ["lib/modules", "usr/lib/modules"].iter().find_map(|p| only_entry(&place.join(p), "").ok());
        let modules = modules.context("the kernel's package has no modules")?;
        let busybox = ["bin/busybox", "usr/bin/busybox"].iter().map(|p| place.join(p)).find(|p| p.exists());
        Ok(Self { image, modules, busybox: busybox.context("the package of busybox has no busybox")? })
    }
}

fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    bail!("{} has no {prefix}…", directory.display())
}
