//! What is measured of a round: time; or, since that takes time itself, system calls and memory.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::perf::Counter;
use crate::{peak, sys};

/// What came of a round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reading {
    /// Nanoseconds, one figure for each time that the job was done.
    pub times: Vec<f64>,
    /// By how many KiB the memory of the process grew at most; or the most that a program had which it started.
    pub memory: Option<u64>,
    /// System calls of the process and those it started, for one time that the job was done.
    pub calls: Option<f64>,
    /// The work is done by processes that it starts.
    pub processes: bool,
    /// What else the report should say.
    #[serde(default)]
    pub note: Option<String>,
}

/// What a round is for.
enum Purpose {
    Time,
    /// System calls, where the kernel lets us count them, and the memory of this process.
    Calls(Option<Counter>),
    /// The memory of processes that it starts.
    Memory,
}

/// Measures a round.
pub struct Meter {
    purpose: Purpose,
    parts: f64,
    /// How often the job was done while calls were counted.
    counted: usize,
    reading: Reading,
}

impl Meter {
    fn new(purpose: Purpose) -> Self {
        Self { purpose, parts: 1.0, counted: 0, reading: Reading::default() }
    }

    /// A clock.
    pub fn clock() -> Self {
        Self::new(Purpose::Time)
    }

    /// A counter of system calls and a scale for the process's own memory.
    pub fn calls() -> Self {
        Self::new(Purpose::Calls(Counter::of_calls().ok()))
    }

    /// A scale for the memory of the processes that it starts.
    pub fn memory() -> Self {
        Self::new(Purpose::Memory)
    }

    /// The work is done by processes that are started from now on: their memory counts.
    pub fn of_processes(&mut self) -> &mut Self {
        self.reading.processes = true;
        if let Purpose::Memory = self.purpose {
            peak::begin();
        }
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
        if let Purpose::Memory = self.purpose {
            (0..count).try_for_each(|n| prepare(n).and_then(|()| work(n)))?;
            self.reading.memory = self.reading.memory.max(Some(peak::end()?));
            return Ok(());
        }
        let Purpose::Calls(counter) = &self.purpose else {
            for n in 0..count {
                prepare(n)?;
                let began = Instant::now();
                work(n)?;
                self.reading.times.push(nanoseconds(began.elapsed()) / self.parts);
            }
            return Ok(());
        };
        let mut grown = 0;
        for n in 0..count {
            prepare(n)?;
            // What was freed and kept for later would be taken without growing.
            sys::give_memory_back();
            // Resets the mark of the highest memory use. Not everybody may.
            let _ = fs::write("/proc/self/clear_refs", "5");
            let before = memory("VmRSS:");
            counter.iter().for_each(Counter::start);
            work(n)?;
            counter.iter().for_each(Counter::stop);
            grown = grown.max(memory("VmHWM:").saturating_sub(before));
        }
        self.counted += count;
        self.reading.calls =
            counter.as_ref().map(|counter| counter.read() as f64 / self.counted as f64 / self.parts);
        self.reading.memory = self.reading.memory.max(Some(grown));
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
