//! Debian's kernels and a static busybox.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use guestnet_lab::output;
use guestnet_lab::vm::Kernel;

use crate::packages;

const BUSYBOX: &str = "busybox-static";

/// A package that depends on the package of the newest kernel of its kind.
struct Metapackage {
    name: &'static str,
    why: &'static str,
}

const SECOND: Metapackage =
    Metapackage { name: "linux-image-amd64", why: "a second kernel, because this one lacks something" };

/// Smaller, and booted in half the time.
const GUEST: Metapackage = Metapackage { name: "linux-image-cloud-amd64", why: "a real guest in the lab" };

/// The second kernel; fetched if it is not here yet.
pub fn second() -> Result<Kernel> {
    SECOND.fetched(&Kernel::second())
}

/// The kernel of real guests; fetched if it is not here yet.
pub fn of_guests() -> Result<Kernel> {
    GUEST.fetched(&Kernel::of_guests())
}

impl Metapackage {
    fn fetched(&self, place: &Path) -> Result<Kernel> {
        ensure!(cfg!(target_arch = "x86_64"), "kernels are fetched for x86_64 only");
        packages::unpack(place, self.why, || Ok(vec![self.newest()?, BUSYBOX.to_owned()]))?;
        Kernel::unpacked(place)
    }

    fn newest(&self) -> Result<String> {
        let said = output(Command::new("apt-cache").args(["depends", self.name]))?;
        concrete_kernel(&said)
            .with_context(|| format!("{} is in no package source of this machine", self.name))
    }
}

/// The kernel's package in what `apt-cache depends` says of the metapackage.
fn concrete_kernel(depends: &str) -> Option<String> {
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::concrete_kernel;

    #[test]
    fn the_metapackage_names_the_kernel() {
        let said = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n  Suggests: firmware\n";
        assert_eq!(concrete_kernel(said).as_deref(), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(concrete_kernel("linux-image-amd64\n"), None);
    }
}
