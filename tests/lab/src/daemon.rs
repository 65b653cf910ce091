//! Real daemons in a namespace.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{Netns, die_with_parent, scratch, wait_until};

/// A running program. It is killed when dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, whose output goes to a log in the [`scratch`] directory, and waits for it to say `ready`.
    ///
    /// # Errors
    /// When it ends or stays silent; with what it said.
    pub fn start(command: &mut Command, ready: &str) -> Result<Self> {
        let name = command.get_program().to_string_lossy().replace('/', "_");
        let log = fresh_file(&format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        die_with_parent(command);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        let mut daemon = Self { child, log };
        let mut ended = None;
        let waited = wait_until(&format!("{name} says {ready:?}"), Duration::from_secs(5), || {
            ended = daemon.child.try_wait().ok().flatten();
            ended.is_some() || daemon.log().contains(ready)
        });
        match ended {
            Some(status) => bail!("{name} has ended ({status}): {}", daemon.log().trim()),
            None => waited.with_context(|| daemon.log().trim().to_owned()).map(|()| daemon),
        }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the real dnsmasq in `netns` with the configuration in the file `conf`.
///
/// # Errors
/// When dnsmasq does not start, in its words.
pub fn dnsmasq(netns: &Netns, conf: &Path) -> Result<Daemon> {
    let text = fs::read_to_string(conf).with_context(|| format!("read {}", conf.display()))?;
    let mut command = netns.command("dnsmasq");
    // In the foreground, as whoever starts it: a namespace of an ordinary user has no other identity to change to.
    command.arg(format!("--conf-file={}", conf.display())).args(["--no-daemon", "--log-facility=-"]);
    // dnsmasq refuses to be told twice.
    let is_told =
        |option: &str| text.lines().any(|line| line.split('=').next().is_some_and(|l| l.trim() == option));
    let files = [("pid-file", "dnsmasq.pid"), ("dhcp-leasefile", "dnsmasq.leases")];
    for (option, name) in files.into_iter().filter(|(option, _)| !is_told(option)) {
        command.arg(format!("--{option}={}", fresh_file(name).display()));
    }
    Daemon::start(&mut command, "started, version")
}

/// A path in the scratch directory that no one has used.
pub(crate) fn fresh_file(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    scratch().join(format!("{}-{name}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}
