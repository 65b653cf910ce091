//! Counting system calls, of this process and of all that it starts, with the kernel's tracepoint.

use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};

use crate::sys;

/// In the environment of contestants, whose own /sys has no tracepoints: the number of the tracepoint.
pub const TRACEPOINT: &str = "GUESTNET_BENCH_TRACEPOINT";

/// The number of `raw_syscalls:sys_enter`, for the environment of contestants.
pub fn tracepoint() -> Option<String> {
    let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let read = |place: &str| fs::read_to_string(format!("{place}/events/raw_syscalls/sys_enter/id")).ok();
    places.into_iter().find_map(read).map(|id| id.trim().to_owned())
}

/// A counter of system calls, at rest.
pub struct Counter(OwnedFd);

impl Counter {
    /// Counts the calls of the calling thread and of all threads and processes that come from it.
    pub fn of_calls() -> Result<Self> {
        let id = std::env::var(TRACEPOINT).context("this kernel shows no tracepoints")?;
        Ok(Self(sys::count_tracepoint(id.parse()?).context("open a counter of system calls")?))
    }

    /// Goes on counting.
    pub fn start(&self) {
        sys::enable_counter(&self.0, true);
    }

    /// Stops. What was counted stays.
    pub fn stop(&self) {
        sys::enable_counter(&self.0, false);
    }

    /// How many were counted.
    pub fn read(&self) -> u64 {
        let mut bytes = [0; 8];
        let _ = nix::unistd::read(&self.0, &mut bytes);
        u64::from_ne_bytes(bytes)
    }
}
