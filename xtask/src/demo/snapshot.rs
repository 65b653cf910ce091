//! All that a namespace has, as `ip` and `nft` and `/proc` show it, to compare before and after.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use guestnet_lab::{Netns, output};

/// A namespace at a moment.
pub struct Snapshot(String);

impl Snapshot {
    /// Takes it.
    pub fn take(netns: &Netns) -> Result<Self> {
        let mut text = String::new();
        for arguments in [
            "-d link",
            "address",
            "-4 route show table all",
            "-6 route show table all",
            "-6 neighbour show proxy",
            "xfrm state",
            "xfrm policy",
        ] {
            let shown = netns.ip(arguments)?;
            // Lifetimes count down, and carriers change their state with the other end.
            let lines = shown.lines().filter(|line| !line.contains("valid_lft"));
            text.push_str(&format!("== ip {arguments}\n"));
            lines.for_each(|line| text.push_str(&format!("{line}\n")));
        }
        text.push_str("== nft list ruleset\n");
        text.push_str(&output(netns.command("nft").args(["list", "ruleset"]))?);
        text.push_str("== sysctls\n");
        text.push_str(&netns.run(|| {
            let mut lines = Vec::new();
            for place in ["ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh", "ipv4/ip_forward"] {
                sysctls(&Path::new("/proc/sys/net").join(place), &mut lines);
            }
            lines.sort();
            lines.concat()
        }));
        Ok(Self(text))
    }

    /// That nothing differs from `before`.
    pub fn same_as(&self, before: &Self) -> Result<()> {
        let new: Vec<&str> = self.0.lines().filter(|line| !before.0.contains(line)).collect();
        let gone: Vec<&str> = before.0.lines().filter(|line| !self.0.contains(line)).collect();
        ensure!(self.0 == before.0, "new: {}\ngone: {}", new.join("; "), gone.join("; "));
        Ok(())
    }
}

fn sysctls(path: &Path, lines: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            sysctls(&entry.path(), lines);
        }
    } else if let Ok(value) = fs::read_to_string(path) {
        lines.push(format!("{} = {}\n", path.display(), value.trim()));
    }
}
