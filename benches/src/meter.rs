//! What is measured of a round: time, memory, system calls.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::perf::Counter;

/// What came of a round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reading {
    /// Nanoseconds, one figure for each time that the job was done.
    pub times: Vec<f64>,
    /// By how many KiB the memory of the process grew at most, or the most that a program it started had.
    pub memory: u64,
    /// System calls of the process and those it started, for one time that the job was done.
    pub calls: Option<f64>,
    /// What else the report should say.
    #[serde(default)]
    pub note: Option<String>,
}

/// Measures a round. Counting system calls slows them down, so it is done in a round without a clock.
pub struct Meter {
    counter: Option<Counter>,
    processes: bool,
    parts: f64,
    reading: Reading,
}

impl Meter {
    /// A clock.
    pub fn clock() -> Self {
        Self { counter: None, processes: false, parts: 1.0, reading: Reading::default() }
    }

    /// A counter of system calls, where the kernel lets us count.
    pub fn calls() -> Self {
        Self { counter: Counter::of_calls().ok(), processes: false, parts: 1.0, reading: Reading::default() }
    }

    /// The work is done by processes that it starts: their memory counts.
    pub fn of_processes(&mut self) -> &mut Self {
        self.processes = true;
        self
    }

    /// The work does the job so many times at once: figures are for one.
    pub fn for_each_of(&mut self, parts: usize) -> &mut Self {
        self.parts = parts as f64;
        self
    }

    /// Does the job once.
    pub fn once<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut work = Some(work);
        let mut result = None;
        self.times(1, |_| {
            if let Some(work) = work.take() {
                result = Some(work()?);
            }
            Ok(())
        })?;
        result.context("the work was not done")
    }

    /// Does the job `count` times; `work` is told which time it is.
    pub fn times(&mut self, count: usize, mut work: impl FnMut(usize) -> Result<()>) -> Result<()> {
        self.times_between(count, |_| Ok(()), &mut work)
    }

    /// Does the job `count` times, and before each, unmeasured, `prepare`.
    pub fn times_between(
        &mut self,
        count: usize,
        mut prepare: impl FnMut(usize) -> Result<()>,
        mut work: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        // Resets the mark of the highest memory use. Not everybody may.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let before = memory("VmRSS:");
        let mut times = Vec::with_capacity(count);
        for n in 0..count {
            prepare(n)?;
            if let Some(counter) = &self.counter {
                counter.start();
                work(n)?;
                counter.stop();
            } else {
                let began = Instant::now();
                work(n)?;
                times.push(nanoseconds(began.elapsed()) / self.parts);
            }
        }
        let own = memory("VmHWM:").saturating_sub(before);
        let of_processes = match getrusage(UsageWho::RUSAGE_CHILDREN) {
            Ok(usage) if self.processes => u64::try_from(usage.max_rss()).unwrap_or(0),
            _ => 0,
        };
        self.reading.memory = self.reading.memory.max(own).max(of_processes);
        self.reading.times.append(&mut times);
        self.reading.calls =
            self.counter.as_ref().map(|counter| counter.read() as f64 / count as f64 / self.parts);
        Ok(())
    }

    /// A time that somebody else took, in nanoseconds.
    pub fn took(&mut self, nanoseconds: f64) {
        self.reading.times.push(nanoseconds);
    }

    /// Says something in the report.
    pub fn note(&mut self, words: impl Into<String>) {
        self.reading.note = Some(words.into());
    }

    /// What was measured.
    pub fn reading(self) -> Reading {
        self.reading
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// A line of `/proc/self/status`, in KiB.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
