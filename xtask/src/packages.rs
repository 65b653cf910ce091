//! Debian's packages, fetched and unpacked without being installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use guestnet_lab::{output, place};

use crate::deps;
use crate::run::run;

/// Unpacks the packages that `names` says in `place`, if they are not there yet; `why` is told.
pub fn unpack(place: &Path, why: &str, names: impl Fn() -> Result<Vec<String>>) -> Result<()> {
    if place::is_whole(place) {
        return Ok(());
    }
    if place.exists() {
        fs::remove_dir_all(place).with_context(|| format!("remove the unfinished {}", place.display()))?;
    }
    fs::create_dir_all(place)?;
    if !deps::has_lists() {
        run(deps::apt_get()?.arg("update"))?;
    }
    let packages = names()?;
    println!("fetching {} ({}), not to be installed: {why}", packages.join(", "), size(&packages));
    if let Err(stale) = download(&packages, place) {
        // The lists may name a package that has been replaced since.
        run(deps::apt_get()?.arg("update")).with_context(|| format!("{stale:#}"))?;
        download(&names()?, place)?;
    }
    for entry in fs::read_dir(place)? {
        let package = entry?.path();
        if package.extension().is_some_and(|e| e == "deb") {
            output(Command::new("dpkg").arg("-x").arg(&package).arg(place))?;
            fs::remove_file(package)?;
        }
    }
    Ok(fs::write(place::mark(place), "")?)
}

fn size(packages: &[String]) -> String {
    let said = output(Command::new("apt-cache").args(["show", "--no-all-versions"]).args(packages));
    let said = said.unwrap_or_default();
    let sizes = said.lines().filter_map(|line| line.strip_prefix("Size: ")?.trim().parse::<u64>().ok());
    format!("{} MB", sizes.sum::<u64>().div_ceil(1_000_000))
}

/// Needs no root; root is asked to do without the download user, who may not write here.
fn download(packages: &[String], place: &Path) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "APT::Sandbox::User=root", "download"]).args(packages).current_dir(place);
    output(&mut command).map(drop)
}
