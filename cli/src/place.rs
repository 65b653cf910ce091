//! Which host.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use guestnet::core::{LinkName, NetnsName, visible};
use guestnet::{CheckedSpec, Host};

use crate::exit::Failure;
use crate::watch::watch;

/// Which host.
#[derive(clap::Args)]
pub struct Place {
    /// The host is the namespace that `ip netns` calls so; without it the one that the command runs in.
    #[arg(long, short = 'n', value_name = "NAME")]
    netns: Option<NetnsName>,
    /// The directory for the files of daemons [default: /run/guestnet, or /run/guestnet/netns/NAME with -n].
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// How many seconds to wait for another apply on this host [default: 30].
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Say on standard error what is sent to the kernel, a line an act; twice also what is asked of it, and all bytes but
    /// those of IPsec. No secret is shown.
    #[arg(long, short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Consent to changes by which somebody suffers.
#[derive(clap::Args)]
pub struct Consent {
    /// Delete this link and make it again if it cannot be changed in place, although somebody uses it: a monitor that has a
    /// tap open has to open it again. May be given several times.
    #[arg(long, value_name = "LINK")]
    remake: Vec<LinkName>,
}

impl Consent {
    /// Allows it to the next call of `host`.
    pub fn give(self, host: &mut Host) {
        host.may_remake(self.remake);
    }
}

impl Place {
    /// The host, for which `spec` is meant.
    pub fn open_for(&self, spec: &CheckedSpec) -> Result<Host, Failure> {
        let mut host = self.open()?;
        host.prepare(spec);
        Ok(host)
    }

    /// The host.
    pub fn open(&self) -> Result<Host, Failure> {
        let mut host = match &self.netns {
            Some(name) => Host::in_namespace(name)?,
            None => Host::open()?,
        };
        if let Some(directory) = &self.files {
            host = host.files_in(directory);
        }
        if let Some(seconds) = self.wait {
            host = host.wait_at_most(Duration::from_secs(seconds));
        }
        if self.verbose > 0 {
            watch(&mut host, self.verbose);
        }
        Ok(host)
    }

    /// Says warnings on standard error too, where what is sent is shown there.
    pub fn warn(&self, warnings: &[String]) {
        if self.verbose > 0 {
            for warning in warnings {
                // Whoever cannot read this finds it in the answer.
                let _ = writeln!(io::stderr(), "warning: {}", visible(warning));
            }
        }
    }
}
