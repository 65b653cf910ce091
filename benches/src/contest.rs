//! The contestants of a job, each in a process and in namespaces of its own, by turns.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use guestnet_lab::{die_with_parent, enter, isolate};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::job::{Job, Missing};
use crate::meter::{Meter, Reading};
use crate::stolen::Ticks;
use crate::{jobs, perf, stage};

/// What a contestant answers to a word from the one who started it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ready,
    Missing(String),
    Read(Reading),
    Failed(String),
}

/// What is asked of it.
const TIME: &str = "time";
const COUNT: &str = "count";
const WEIGH: &str = "weigh";

/// Between the turns of two: the least, and the most where turns were disturbed.
const PAUSE: Duration = Duration::from_millis(30);
const REST: Duration = Duration::from_secs(10);

/// Which part of the processors' time may be stolen in a turn, and how often one is taken at most until it is less.
const TOLERATED: f64 = 0.05;
const TRIES: usize = 3;

/// All that was read of one contestant.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// Its name.
    pub name: String,
    /// A reading for each round.
    pub rounds: Vec<Reading>,
    /// Of each, which part of the processors' time the hypervisor took away.
    pub stolen: Vec<f64>,
    /// KiB.
    pub memory: Option<u64>,
    /// System calls for one time that the job was done.
    pub calls: Option<f64>,
    /// Whether processes that it starts do the work.
    pub by_processes: bool,
    /// Why there is nothing more.
    pub missing: Option<String>,
}

/// Runs `job` with `size` in `rounds` rounds. In each every contestant has its turn, in another order each time.
pub fn run(job: &Job, size: usize, rounds: usize) -> Result<Vec<Results>> {
    let mut turns = Vec::new();
    for contestant in &job.contestants {
        let mut results = Results { name: contestant.name.to_owned(), ..Results::default() };
        let mut process = None;
        if size > contestant.most {
            results.missing = Some(format!("left out beyond {}", contestant.most));
        } else {
            let (started, answer) = Process::start(job.name, contestant.name, size)?;
            match answer {
                Answer::Ready => process = Some(started),
                Answer::Missing(reason) => results.missing = Some(reason),
                Answer::Failed(reason) => results.missing = Some(format!("failed: {}", short(&reason))),
                Answer::Read(_) => {
                    results.missing = Some("failed: it answered before it was asked".to_owned())
                }
            }
        }
        turns.push((results, process));
    }
    // What is not timed comes first: it makes everybody warm.
    for who in &mut turns {
        if let Some(reading) = turn(who, COUNT) {
            (who.0.calls, who.0.memory) = (reading.calls, reading.memory);
            who.0.by_processes = reading.processes;
        }
    }
    for who in turns.iter_mut().filter(|who| who.0.by_processes) {
        if let Some(reading) = turn(who, WEIGH) {
            who.0.memory = reading.memory;
        }
    }
    let mut rest = PAUSE;
    for round in 0..rounds {
        let count = turns.len();
        // Whoever was second is first in the next round; forwards and backwards by turns.
        let order: Vec<usize> = (0..count).map(|n| (n + round) % count).collect();
        let order = if round % 2 == 0 { order } else { order.into_iter().rev().collect() };
        for n in order {
            if let Some((reading, stolen)) = timed(&mut turns[n], &mut rest) {
                turns[n].0.rounds.push(reading);
                turns[n].0.stolen.push(stolen);
            }
        }
    }
    Ok(turns.into_iter().map(|(results, _)| results).collect())
}

/// A turn with the clock, and what was stolen in it. One from which much was stolen is taken again after a `rest`, which
/// all that follow need then as well; that from which least was stolen counts.
fn timed(who: &mut (Results, Option<Process>), rest: &mut Duration) -> Option<(Reading, f64)> {
    // Nobody waits for who is not there.
    who.1.as_ref()?;
    let mut best: Option<(Reading, f64)> = None;
    for _ in 0..TRIES {
        // The kernel frees what the one before has left after it has said that it is done.
        sleep(*rest);
        let (began, before) = (Instant::now(), Ticks::now());
        let reading = turn(who, TIME)?;
        let stolen = Ticks::now().stolen_since(before);
        if best.as_ref().is_none_or(|(_, least)| stolen < *least) {
            best = Some((reading, stolen));
        }
        if stolen <= TOLERATED {
            break;
        }
        *rest = began.elapsed().clamp(PAUSE, REST);
    }
    best
}

/// Asks a contestant, if it is still there, for a reading.
fn turn((results, process): &mut (Results, Option<Process>), word: &str) -> Option<Reading> {
    let reason = match process.as_mut()?.ask(word) {
        Ok(Answer::Read(reading)) => return Some(reading),
        Ok(Answer::Failed(reason)) => reason,
        Ok(other) => format!("{other:?}"),
        Err(e) => format!("{e:#}"),
    };
    fail(results, process, reason);
    None
}

/// The start of a reason, on one line, for a table.
fn short(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect()
}

fn fail(results: &mut Results, process: &mut Option<Process>, reason: String) {
    eprintln!("  {} failed: {reason}", results.name);
    results.missing = Some(format!("failed: {}", short(&reason)));
    *process = None;
}

/// A contestant's process.
struct Process {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Process {
    fn start(job: &str, contestant: &str, size: usize) -> Result<(Self, Answer)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["contestant", job, contestant, &size.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(id) = perf::tracepoint() {
            command.env(perf::TRACEPOINT, id);
        }
        isolate(&mut command);
        die_with_parent(&mut command);
        let mut child = command.spawn().context("start a contestant")?;
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().context("a contestant's output")?);
        let mut process = Self { child, to, from };
        let answer = process.hear()?;
        Ok((process, answer))
    }

    fn ask(&mut self, word: &str) -> Result<Answer> {
        let to = self.to.as_mut().context("a contestant's input")?;
        writeln!(to, "{word}").context("the contestant has ended")?;
        self.hear()
    }

    fn hear(&mut self) -> Result<Answer> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("the contestant has ended");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when nobody speaks to it any more.
        self.to = None;
        let _ = self.child.wait();
    }
}

/// A contestant: gets ready, then does a round for each line that it reads.
pub fn child(job: &str, contestant: &str, size: usize) -> Result<()> {
    enter()?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let jobs = jobs::all();
    let job = jobs.iter().find(|known| known.name == job).context("there is no such job")?;
    let contestant = job.contestants.iter().find(|known| known.name == contestant);
    let mut round = match (contestant.context("there is no such contestant")?.enter)(size) {
        Ok(round) => {
            say(&Answer::Ready)?;
            round
        }
        Err(e) => {
            return match e.downcast_ref::<Missing>() {
                Some(Missing(reason)) => say(&Answer::Missing(reason.clone())),
                None => say(&Answer::Failed(format!("{e:#}"))),
            };
        }
    };
    for line in std::io::stdin().lines() {
        let mut meter = match line?.as_str() {
            COUNT => Meter::calls(),
            WEIGH => Meter::memory(),
            _ => Meter::clock(),
        };
        match round(&mut meter) {
            Ok(()) => say(&Answer::Read(meter.reading()))?,
            Err(e) => say(&Answer::Failed(format!("{e:#}")))?,
        }
    }
    drop(round);
    stage::leave()
}

fn say(answer: &Answer) -> Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}
