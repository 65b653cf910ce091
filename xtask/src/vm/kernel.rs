//! Debian's kernel and a static busybox, fetched as packages and unpacked without being installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use guestnet_lab::output;

use crate::deps;
use crate::place;
use crate::run::run;

/// Depends on the package of the newest kernel.
const METAPACKAGE: &str = "linux-image-amd64";
const BUSYBOX: &str = "busybox-static";

/// A kernel that is not installed.
pub struct Kernel {
    /// The compressed image.
    pub image: PathBuf,
    /// `lib/modules/VERSION`.
    pub modules: PathBuf,
    /// A busybox that needs no library.
    pub busybox: PathBuf,
}

/// Fetches what is not here yet.
pub fn fetch() -> Result<Kernel> {
    ensure!(cfg!(target_arch = "x86_64"), "the second kernel is only set up for x86_64");
    let place = place::lab().join("kernel");
    if !place.join("complete").exists() {
        fetch_into(&place)?;
    }
    let image = only_entry(&place.join("boot"), "vmlinuz-")?;
    // On a machine with merged /usr, newer packages put the modules there.
    let modules = ["lib/modules", "usr/lib/modules"].iter().find_map(|p| only_entry(&place.join(p), "").ok());
    let modules = modules.context("the kernel's package has no modules")?;
    let busybox = ["bin/busybox", "usr/bin/busybox"].iter().map(|p| place.join(p)).find(|p| p.exists());
    Ok(Kernel { image, modules, busybox: busybox.context("the package of busybox has no busybox")? })
}

fn fetch_into(place: &Path) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place).with_context(|| format!("remove the unfinished {}", place.display()))?;
    }
    fs::create_dir_all(place)?;
    if !deps::has_lists() {
        run(deps::apt_get()?.arg("update"))?;
    }
    let kernel = newest_kernel()?;
    println!(
        "this kernel has no ESP; fetching {kernel} ({}) as a second kernel, not installed",
        size(&kernel)
    );
    for package in [kernel.as_str(), BUSYBOX] {
        if let Err(stale) = download(package, place) {
            // The lists may name a package that has been replaced since.
            run(deps::apt_get()?.arg("update")).with_context(|| format!("{stale:#}"))?;
            let package = if package == BUSYBOX { BUSYBOX.to_owned() } else { newest_kernel()? };
            download(&package, place)?;
        }
    }
    for entry in fs::read_dir(place)? {
        let package = entry?.path();
        if package.extension().is_some_and(|e| e == "deb") {
            output(Command::new("dpkg").arg("-x").arg(&package).arg(place))?;
            fs::remove_file(package)?;
        }
    }
    Ok(fs::write(place.join("complete"), "")?)
}

fn newest_kernel() -> Result<String> {
    let said = output(Command::new("apt-cache").args(["depends", METAPACKAGE]))?;
    concrete_kernel(&said).with_context(|| format!("{METAPACKAGE} is in no package source of this machine"))
}

/// The kernel's package in what `apt-cache depends` says of the metapackage.
fn concrete_kernel(depends: &str) -> Option<String> {
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

fn size(package: &str) -> String {
    let said =
        output(Command::new("apt-cache").args(["show", "--no-all-versions", package])).unwrap_or_default();
    let bytes = said.lines().find_map(|line| line.strip_prefix("Size: ")?.trim().parse::<u64>().ok());
    bytes.map_or_else(|| "size unknown".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000))
}

/// Needs no root; root is asked to do without the download user, who may not write here.
fn download(package: &str, place: &Path) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "APT::Sandbox::User=root", "download", package]).current_dir(place);
    output(&mut command).map(drop)
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
