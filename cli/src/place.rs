//! Which host.

use std::path::PathBuf;
use std::time::Duration;

use guestnet::Host;
use guestnet::core::NetnsName;

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

impl Place {
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
}
