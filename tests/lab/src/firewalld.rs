//! The real firewalld, unpacked and not installed, on a message bus of its own.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::daemon::fresh_file;
use crate::{Daemon, place};

/// A bus on which everybody may say everything: only the daemon and its command know its address.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// A firewalld that runs in the namespace of the thread that started it, with a configuration of its own.
pub struct Firewalld {
    /// With a `firewall-cmd` that talks to this one.
    commands: PathBuf,
    /// Before the bus: the daemon goes first.
    _daemon: Daemon,
    _bus: Daemon,
}

impl Firewalld {
    /// The directory where its packages are unpacked.
    pub fn place() -> PathBuf {
        place::lab().join("firewalld")
    }

    /// Starts it, and waits until it has made its rules.
    ///
    /// # Errors
    /// When it is not unpacked, or does not start; in its words.
    pub fn start() -> Result<Self> {
        ensure!(
            place::is_whole(&Self::place()),
            "there is no firewalld in {}: `cargo xtask deps` fetches it",
            Self::place().display()
        );
        let (socket, conf) = (fresh_file("bus"), fresh_file("bus.conf"));
        let (etc, commands) = (fresh_file("etc-firewalld"), fresh_file("bin"));
        fs::write(&conf, BUS.replace("SOCKET", &socket.to_string_lossy()))?;
        fs::create_dir(&etc)?;
        fs::create_dir(&commands)?;
        let address = format!("unix:path={}", socket.display());
        let variables = variables(&address);
        let mut bus = Command::new(program("usr/bin/dbus-daemon"));
        bus.envs(variables.clone()).args(["--nofork", "--nopidfile", "--print-address"]);
        let bus = Daemon::start(bus.arg(format!("--config-file={}", conf.display())), "unix:path=")?;

        let mut script = "#!/bin/sh\nexec env".to_owned();
        for (name, value) in &variables {
            script += &format!(" '{name}={}'", value.display());
        }
        script += &format!(" {PYTHON} '{}' \"$@\"\n", program("usr/bin/firewall-cmd").display());
        let command = commands.join("firewall-cmd");
        fs::write(&command, script)?;
        fs::set_permissions(&command, Permissions::from_mode(0o755))?;

        let mut daemon = Command::new(PYTHON);
        daemon.arg(program("usr/sbin/firewalld")).envs(variables);
        daemon.args(["--nofork", "--nopid", "--debug=1", "--log-target=console"]);
        daemon.arg("--default-config").arg(Self::place().join("usr/lib/firewalld"));
        daemon.arg("--system-config").arg(&etc);
        // It looks at its own configuration once its rules are in place.
        let daemon = Daemon::start(&mut daemon, "config.GetAll(")?;
        let firewalld = Self { commands, _daemon: daemon, _bus: bus };
        let state = firewalld.sh("firewall-cmd --state")?;
        ensure!(state.trim() == "running", "firewalld is {state}");
        Ok(firewalld)
    }

    /// Runs `script` in a shell whose `firewall-cmd` talks to this firewalld; its output.
    ///
    /// # Errors
    /// As [`crate::sh`].
    pub fn sh(&self, script: &str) -> Result<String> {
        crate::sh(&format!("PATH='{}':$PATH\n{script}", self.commands.display()))
    }
}

/// Debian's own, for which the packages are.
const PYTHON: &str = "/usr/bin/python3";

/// The program in the packages, or the installed one.
fn program(path: &str) -> PathBuf {
    let unpacked = Firewalld::place().join(path);
    if unpacked.exists() { unpacked } else { Path::new("/").join(path) }
}

/// The environment in which the packages' programs find each other, and the bus at `address`.
fn variables(address: &str) -> [(&'static str, OsString); 4] {
    let libraries = Firewalld::place().join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let modules = Firewalld::place().join("usr/lib/python3/dist-packages");
    [
        ("DBUS_SYSTEM_BUS_ADDRESS", address.into()),
        ("PYTHONPATH", modules.into()),
        ("GI_TYPELIB_PATH", libraries.join("girepository-1.0").into()),
        ("LD_LIBRARY_PATH", libraries.into()),
    ]
}
