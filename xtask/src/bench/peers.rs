//! What is in Python: the one peer that Debian's packages do not bring in a current version, pyroute2; and guestnet's own
//! package. Each in an environment of its own.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{find, run};
use crate::{place, python};

/// The Pythons that `jobs` need, or all jobs if none are named, each with the variable that tells where it is.
pub fn pythons(jobs: &[&str]) -> Vec<(&'static str, PathBuf)> {
    let needed = |job| jobs.is_empty() || jobs.contains(&job);
    let mut pythons = Vec::new();
    if needed("one-guest") {
        pythons.extend(pyroute2().map(|python| ("GUESTNET_BENCH_PYTHON", python)));
    }
    if needed("python") {
        println!("building the Python package");
        match python::for_benchmarks() {
            Ok(python) => pythons.push(("GUESTNET_PYTHON", python)),
            Err(e) => println!("SKIPPED: the Python package was not built, so its rows stay empty: {e:#}"),
        }
    }
    pythons
}

/// A Python that has pyroute2, made if need be. `None`, aloud, where that cannot be: then its column stays empty.
fn pyroute2() -> Option<PathBuf> {
    let folder = place::lab().join("pyroute2");
    let python = folder.join("bin/python");
    let works = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", "import pyroute2"]).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if works(&python) {
        return Some(python);
    }
    println!("installing pyroute2 into {}: one of the peers", folder.display());
    let made = find("python3").ok_or_else(|| anyhow::anyhow!("there is no python3")).and_then(|python3| {
        run(Command::new(python3).args(["-m", "venv"]).arg(&folder))?;
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "pyroute2",
        ]))
    });
    match made {
        Ok(()) if works(&python) => Some(python),
        Ok(()) => {
            println!("SKIPPED: pyroute2 was installed and does not work: its columns stay empty");
            None
        }
        Err(e) => {
            println!("SKIPPED: pyroute2 could not be installed, so its columns stay empty: {e:#}");
            None
        }
    }
}
