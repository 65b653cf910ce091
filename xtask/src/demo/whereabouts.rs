//! Where the demo runs: on this kernel if it has what is needed, else in the second one.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use guestnet_lab::{Capability, enter, has, isolate};

use crate::run::run;
use crate::{deps, place, vm};

const NEEDED: &[Capability] =
    &[Capability::Esp, Capability::XfrmPolicy, Capability::Tap, Capability::Conntrack];
const DEADLINE: Duration = Duration::from_secs(300);

/// `cargo xtask demo`: finds a kernel and runs the demo there.
pub fn start() -> Result<u8> {
    deps::install()?;
    vm::prepare_guests()?;
    println!("building the command guestnet");
    run(Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "guestnet-cli"])
        .current_dir(place::repository()))?;
    let hosts = hosts()?;
    let guest = with_a_real_guest()?;
    Ok(hosts.max(guest))
}

/// The two hosts, on this kernel or in the second one.
fn hosts() -> Result<u8> {
    let reason = match isolated("demo-probe")?.output() {
        Ok(probe) if probe.status.success() => return isolated_here(),
        Ok(probe) => String::from_utf8_lossy(&probe.stdout).trim().to_owned(),
        Err(e) => format!("this machine allows no namespaces: {e}"),
    };
    println!(
        "{reason}\nso the demo boots a second kernel and runs there (without hardware virtualisation: be patient)"
    );
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    vm::run(&[program, "demo-here".to_owned()], DEADLINE)
}

/// A real guest, on this kernel only.
fn with_a_real_guest() -> Result<u8> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(0);
    }
    match isolated("demo-probe-tap")?.output() {
        Ok(probe) if probe.status.success() => {}
        _ => {
            println!("\nno real guest is shown: this machine allows no namespaces with taps");
            return Ok(0);
        }
    }
    println!("\na real guest, on this kernel (without hardware virtualisation: seconds to boot)");
    let status = isolated("demo-real")?.status().context("start the demo in namespaces of its own")?;
    Ok(u8::from(!status.success()))
}

/// Runs the demo on this kernel, in namespaces of its own.
pub fn isolated_here() -> Result<u8> {
    let status = isolated("demo-inside")?.status().context("start the demo in namespaces of its own")?;
    Ok(u8::from(!status.success()))
}

/// In namespaces of its own: whether this kernel has all the demo of two hosts needs. Says what is missing.
pub fn probe() -> Result<u8> {
    missing(NEEDED)
}

/// The same for what the real guest needs.
pub fn probe_tap() -> Result<u8> {
    missing(&[Capability::Tap])
}

fn missing(needed: &[Capability]) -> Result<u8> {
    enter()?;
    let missing: Vec<String> = needed
        .iter()
        .filter_map(|c| has(*c).err().map(|words| format!("this kernel gives us no {c:?}: {words}")))
        .collect();
    println!("{}", missing.join("\n"));
    Ok(u8::from(!missing.is_empty()))
}

/// This program with another command, in namespaces of its own.
fn isolated(command: &str) -> Result<Command> {
    let mut this = Command::new(std::env::current_exe().context("find xtask itself")?);
    this.arg(command);
    isolate(&mut this);
    Ok(this)
}
