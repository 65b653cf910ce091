//! Echo requests, many a second, while something else goes on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Daemon, Netns, wait_until};

/// Set where the kernel itself runs under emulation.
const SECOND_KERNEL: &str = "GUESTNET_SECOND_KERNEL";

/// Seconds between two requests. A guest in the second kernel, under emulation in emulation, has time for few.
pub(crate) fn interval() -> &'static str {
    if std::env::var_os(SECOND_KERNEL).is_some() { "1" } else { "0.05" }
}

/// How long replies may be gone before that is an error.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a reply may be on its way before the request is lost.
const LATE: Duration = Duration::from_secs(5);
/// So many replies show that packets pass again.
const ENOUGH: u32 = 3;

/// How many requests were sent, and how many answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub sent: u32,
    pub answered: u32,
}

impl Count {
    fn open(self) -> u32 {
        self.sent.saturating_sub(self.answered)
    }
}

/// A real `ping` that runs until this is dropped.
pub struct Pings<'a> {
    what: String,
    count: Box<dyn Fn() -> Result<Count> + 'a>,
    /// How many of the requests that were looked at have not been answered.
    open: u32,
}

impl<'a> Pings<'a> {
    /// Sends echo requests from the namespace `from` to `to`.
    ///
    /// # Errors
    /// When no reply comes.
    pub fn start(from: &Netns, to: IpAddr) -> Result<Self> {
        let mut ping = from.command("ping");
        ping.args(["-n", "-i", interval(), &to.to_string()]);
        let daemon = Daemon::start(&mut ping, "bytes from")?;
        Self::begin(format!("{} to {to}", from.name()), move || Ok(count(&daemon.log())))
    }

    /// The requests that `count` counts.
    pub(crate) fn begin(what: String, count: impl Fn() -> Result<Count> + 'a) -> Result<Self> {
        let mut pings = Self { what, count: Box::new(count), open: 0 };
        pings.lost()?;
        Ok(pings)
    }

    /// How many echo requests have not been answered since this was last asked. Waits until some more are.
    ///
    /// # Errors
    /// When no more replies come.
    pub fn lost(&mut self) -> Result<u32> {
        let first = (self.count)()?;
        let mut now = first;
        let mut look = || match (self.count)() {
            Ok(count) => {
                now = count;
                count
            }
            Err(_) => first,
        };
        let waited = wait_until(&format!("replies from {}", self.what), PATIENCE, || {
            look().answered >= first.answered + ENOUGH
        });
        // Some may be on their way.
        let mut open = u32::MAX;
        let _ = wait_until("all have been answered", LATE, || {
            open = open.min(look().open());
            open <= self.open
        });
        waited.with_context(|| format!("{first:?}, and then {now:?}"))?;
        Ok(open.saturating_sub(std::mem::replace(&mut self.open, open)))
    }
}

/// Of the requests up to the last that was answered, in what iputils' `ping` says.
fn count(said: &str) -> Count {
    let number =
        |line: &str| line.split_once(" from ")?.1.split_once("seq=")?.1.split(' ').next()?.parse().ok();
    let answered: BTreeSet<u32> = said.lines().filter_map(number).collect();
    let sent = answered.last().copied().unwrap_or_default();
    Count { sent, answered: u32::try_from(answered.len()).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::{Count, count};

    #[test]
    fn replies_are_told_by_their_numbers() {
        let said = "PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.\n\
            64 bytes from 192.0.2.1: icmp_seq=1 ttl=64 time=0.030 ms\n\
            From 192.0.2.9 icmp_seq=2 Destination Host Unreachable\n\
            64 bytes from 192.0.2.1: icmp_seq=4 ttl=64 time=0.030 ms\n";
        assert_eq!(count(said), Count { sent: 4, answered: 2 });
    }
}
