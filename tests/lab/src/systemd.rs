//! The real systemd as process 1 of a PID namespace, on the test's network and with its `/run`.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::daemon::fresh_file;
use crate::{die_with_parent, output, wait_until};

const UNITS: &str = "/run/systemd/system";

/// A running systemd. It is killed when dropped, and all that it has started with it.
pub struct Systemd(Child);

impl Systemd {
    /// Starts it. Its mounts reach the caller, and the caller's reach it, as those of one host.
    ///
    /// # Errors
    /// When it does not come up; in its words.
    pub fn start() -> Result<Self> {
        fs::create_dir_all(UNITS)?;
        fs::write(format!("{UNITS}/lab.target"), "[Unit]\nDefaultDependencies=no\n")?;
        let log = fresh_file("systemd.log");
        let file = fs::File::create(&log)?;
        let mut command = Command::new("unshare");
        command.args([
            "--pid",
            "--fork",
            "--kill-child",
            "--cgroup",
            "--mount",
            "--propagation",
            "unchanged",
        ]);
        command.args(["--mount-proc", "sh", "-ec"]);
        command.arg(
            "mount --make-private /sys
             mount -t cgroup2 cgroup2 /sys/fs/cgroup
             exec /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=false",
        );
        command.env("container", "lab").stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        die_with_parent(&mut command);
        let systemd = Self(command.spawn().context("start systemd")?);
        wait_until("systemd is up", Duration::from_secs(60), || {
            systemd.systemctl("is-active lab.target").is_ok_and(|state| state.trim() == "active")
        })
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(systemd)
    }

    /// Runs `script` in a unit with `settings` (lines of its section `[Service]`): whether it succeeds, and what it says.
    ///
    /// # Errors
    /// When systemd does not take the unit.
    pub fn run(&self, settings: &str, script: &str) -> Result<(bool, String)> {
        let (text, said) = (fresh_file("unit.sh"), fresh_file("unit.out"));
        fs::write(&text, script)?;
        let (text, log) = (text.display(), said.display());
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sh -e {text}\n\
             StandardOutput=file:{log}\nStandardError=file:{log}\n{settings}\n"
        );
        fs::write(format!("{UNITS}/lab.service"), unit)?;
        self.systemctl("daemon-reload")?;
        let done = self.systemctl("start lab.service").is_ok();
        if !done {
            self.systemctl("reset-failed lab.service")?;
        }
        Ok((done, fs::read_to_string(&said).context("the unit has not run")?))
    }

    /// From inside of its PID namespace: it answers nobody whose number it cannot know.
    fn systemctl(&self, arguments: &str) -> Result<String> {
        let unshare = self.0.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
        let mut command = Command::new("nsenter");
        command.args(["-t", children.trim(), "-p", "-m", "systemctl"]);
        output(command.args(arguments.split(' ')))
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
