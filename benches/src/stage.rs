//! A fresh host for each round: a namespace with an uplink and nothing else, which is gone before the next.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use guestnet_lab::{Netns, output, sh};
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use std::process::Command;

/// Where guestnet keeps its files.
const FILES: &str = "/run/guestnet";

/// How long the kernel may take to clean up.
const PATIENCE: Duration = Duration::from_secs(240);

/// Moves the calling thread, and what it starts from now on, to a fresh host.
pub fn fresh() -> Result<()> {
    bare()?;
    // An uplink as others make it, joined to nothing. Its name and its index are the same in every fresh host.
    sh("ip link add uplink type veth peer name isp
        ip link set uplink up
        ip link set isp up")?;
    Ok(())
}

/// Moves the calling thread to a fresh namespace with `lo` up.
pub fn bare() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
    sh("ip link set lo up").map(drop)
}

/// Leaves the host, with the namespaces and the files that were made in it, and waits until the kernel has cleaned up:
/// else it would do that while the next contestant is measured.
pub fn leave() -> Result<()> {
    for entry in fs::read_dir("/run/netns")?.flatten() {
        let _ = umount2(&entry.path(), MntFlags::MNT_DETACH);
        let _ = fs::remove_file(entry.path());
    }
    if Path::new(FILES).exists() {
        fs::remove_dir_all(FILES)?;
    }
    // With each link that goes, the kernel looks through all routes that are left: of 10,000 links, for 45 s.
    for routes in ["-6 route flush table main", "-6 route flush table local", "-4 route flush table main"] {
        let _ = output(Command::new("ip").args(routes.split(' ')));
    }
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
    settle()
}

/// Namespaces are cleaned up one after another: when the last has gone, all have. A pair that reaches into it tells.
fn settle() -> Result<()> {
    let last = Netns::make("last")?;
    output(Command::new("ip").args("link add witness type veth peer name last netns last".split(' ')))?;
    drop(last);
    let began = Instant::now();
    while nix::net::if_::if_nametoindex("witness").is_ok() {
        ensure!(began.elapsed() < PATIENCE, "the kernel has not cleaned up in {} s", PATIENCE.as_secs());
        sleep(Duration::from_millis(2));
    }
    Ok(())
}
