//! `cargo xtask firewall`: the firewall judged by packets, on this kernel and in namespaces of its own.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::place;
use crate::run::run;

/// In how many parts rules are left out: a lab lives for minutes.
const PARTS: usize = 16;

/// Where a kernel says whether frames in bridges go through the rules for packets.
const CALLS: &str = "/proc/sys/net/bridge";

/// Sends the frames of `tests/packets`, prints what they came to. Fails when one went wrong. With `mutants`, each rule is left
/// out once instead, and those that no frame misses are printed.
pub fn judge(mutants: bool) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--package", "guestnet", "--test", "packets", "--"]);
    command.args(["--nocapture", "--test-threads", "1"]).current_dir(place::repository());
    if !Path::new(CALLS).exists() {
        println!(
            "left out: bridges whose frames go through the rules for packets; br_netfilter is not loaded"
        );
        command.args(["--skip", "called_up"]);
    }
    // A lab that cannot be made judges nothing.
    command.env("GUESTNET_LAB_REQUIRED", "1").env_remove("GUESTNET_LAB_LATER");
    if !mutants {
        return run(&mut command);
    }
    command.arg("guests_");
    (0..PARTS).try_for_each(|part| run(command.env("GUESTNET_MUTANTS", format!("{part}/{PARTS}"))))
}
