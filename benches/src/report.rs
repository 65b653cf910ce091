//! Runs jobs and says what came of it, for people and for programs.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;

use crate::contest::{self, Results};
use crate::goal::Goal;
use crate::meter::Reading;
use crate::statistics::{Spread, digits, time};
use crate::{jobs, legend};

/// What was measured of one contestant.
#[derive(Debug, Serialize)]
struct Row {
    contestant: String,
    /// Nanoseconds.
    time: Option<Spread>,
    /// Of each round the median, in nanoseconds.
    rounds: Vec<f64>,
    /// Of each round, which part of the processors' time the hypervisor took away.
    stolen: Vec<f64>,
    /// The time divided by that of the first contestant, round by round.
    ratio: Option<Spread>,
    memory_kib: Option<u64>,
    system_calls: Option<f64>,
    goals: Vec<String>,
    note: Option<String>,
}

/// One table of the report.
#[derive(Debug, Serialize)]
struct Table {
    job: &'static str,
    what: &'static str,
    size: usize,
    rounds: usize,
    rows: Vec<Row>,
}

/// What the command line asks for.
#[derive(Default)]
struct Options {
    quick: bool,
    json: Option<PathBuf>,
    markdown: Option<PathBuf>,
    jobs: Vec<String>,
}

impl Options {
    fn read(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => options.quick = true,
                "--json" => options.json = Some(words.next().context("--json needs a file")?.into()),
                "--markdown" => {
                    options.markdown = Some(words.next().context("--markdown needs a file")?.into())
                }
                option if option.starts_with('-') => bail!("there is no option {option}"),
                name => {
                    jobs::known(name)?;
                    options.jobs.push(name.to_owned());
                }
            }
        }
        Ok(options)
    }
}

/// Runs jobs, prints a table for each as it is done, and writes all of them where that is asked for.
pub fn run(words: &[&str]) -> Result<()> {
    let options = Options::read(words)?;
    let mut tables = Vec::new();
    let mut jobs = jobs::all();
    jobs.retain(|job| options.jobs.is_empty() || options.jobs.iter().any(|name| name == job.name));
    let mut text = legend::head(&kernel(), options.quick, &jobs);
    print!("{text}");
    for job in jobs {
        let sizes = if options.quick { job.sizes.quick } else { job.sizes.whole };
        let before = tables.len();
        for &(size, rounds) in sizes {
            let results = contest::run(&job, size, rounds)?;
            let rows = rows(&results, job.goals.iter().filter(|goal| size >= goal.from));
            let table = Table { job: job.name, what: job.what, size, rounds, rows };
            let markdown = table.markdown();
            print!("{markdown}");
            text += &markdown;
            tables.push(table);
        }
        if let Some(words) = job.growth.and_then(|growth| growth_of(growth, &tables[before..])) {
            println!("\n{words}");
            let _ = writeln!(text, "\n{words}");
        }
    }
    if let Some(path) = options.markdown {
        fs::write(path, text)?;
    }
    if let Some(path) = options.json {
        let processors = std::thread::available_parallelism()?.get();
        let document = json!({
            "version": 1, "kernel": kernel(), "processors": processors, "quick": options.quick, "tables": tables,
        });
        fs::write(path, format!("{document:#}\n"))?;
    }
    Ok(())
}

/// How a contestant's time grows from the smallest size to the largest. The least of each is compared: minutes lie between
/// the two, in which a machine changes its pace.
fn growth_of((who, most): (&str, f64), tables: &[Table]) -> Option<String> {
    let times = |table: &Table| table.rows.iter().find(|row| row.contestant == who)?.time;
    let (smallest, largest) = (tables.first()?, tables.last()?);
    if smallest.size == largest.size {
        return None;
    }
    let (small, large) = (times(smallest)?, times(largest)?);
    let growth = large.min / small.min;
    let verdict = if growth <= most { "met" } else { "**missed**" };
    let (from, to, median) = (smallest.size, largest.size, digits(large.median / small.median));
    let growth = digits(growth);
    Some(format!(
        "{who}: the least at {to} is {growth} × that at {from} (the median {median} ×); ≤ {most} ×: {verdict}"
    ))
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

fn rows<'a>(results: &[Results], goals: impl Iterator<Item = &'a Goal> + Clone) -> Vec<Row> {
    let first = results.first();
    results
        .iter()
        .map(|who| {
            let compared = |with: &Results, by: fn(f64, f64) -> f64| {
                let pairs = who.rounds.iter().zip(&with.rounds);
                Spread::of(pairs.map(|(mine, theirs)| by(middle(mine), middle(theirs))))
            };
            let measured = !who.rounds.is_empty();
            let goals = goals.clone().filter(|goal| goal.who == who.name);
            let goals = goals.filter_map(|goal| {
                let (first, with) = (first?, results.iter().find(|other| other.name == goal.with)?);
                let rounds = who.rounds.iter().zip(&with.rounds).zip(&first.rounds);
                let rounds = rounds.map(|((who, with), first)| [who, with, first].map(middle));
                let found = goal.found(rounds, least(first));
                (!found.is_empty()).then(|| goal.judge(&found))
            });
            let note = who.rounds.last().and_then(|reading| reading.note.clone());
            Row {
                contestant: who.name.clone(),
                time: measured.then(|| Spread::of(who.rounds.iter().flat_map(|r| r.times.iter().copied()))),
                rounds: who.rounds.iter().map(middle).collect(),
                stolen: who.stolen.clone(),
                ratio: first
                    .filter(|first| measured && !first.rounds.is_empty())
                    .map(|first| compared(first, |a, b| a / b)),
                memory_kib: who.memory,
                system_calls: who.calls,
                goals: goals.collect(),
                note: who.missing.clone().or(note),
            }
        })
        .collect()
}

fn least(who: &Results) -> f64 {
    Spread::of(who.rounds.iter().flat_map(|reading| reading.times.iter().copied())).min
}

fn middle(reading: &Reading) -> f64 {
    Spread::of(reading.times.iter().copied()).median
}

impl Table {
    /// The one reason why nobody could do the job.
    fn nothing(&self) -> Option<&str> {
        let reason = self.rows.first()?.note.as_deref()?;
        let same = |row: &Row| row.time.is_none() && row.note.as_deref() == Some(reason);
        self.rows.iter().all(same).then_some(reason)
    }

    /// What the hypervisor took away, in words, if it was anything.
    fn stolen(&self) -> String {
        let turns = || self.rows.iter().flat_map(|row| &row.stolen).map(|part| part * 100.0);
        let (count, sum) = turns().fold((0.0, 0.0), |(count, sum), part| (count + 1.0, sum + part));
        let most = turns().fold(0.0, f64::max);
        if most < 1.0 {
            return String::new();
        }
        format!("; of the processors' time {:.0} % was stolen, in a turn at most {most:.0} %", sum / count)
    }

    fn markdown(&self) -> String {
        let mut out = format!(
            "\n### {}, {}\n\n{}; {} rounds{}.\n\n",
            self.job,
            self.size,
            self.what,
            self.rounds,
            self.stolen()
        );
        if let Some(reason) = self.nothing() {
            let _ = writeln!(out, "Not measured: {reason}.");
            return out;
        }
        let first = self.rows.first().map_or("", |row| row.contestant.as_str());
        let _ = writeln!(out, "| | median | quartiles | least | ÷ {first} | quartiles | memory | calls | |");
        let _ = writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|---|");
        for row in &self.rows {
            let words = row.goals.iter().chain(&row.note).cloned().collect::<Vec<_>>().join("; ");
            let Some(t) = &row.time else {
                let _ = writeln!(out, "| {} | | | | | | | | {words} |", row.contestant);
                continue;
            };
            let ratio = row.ratio.map_or_else(
                || "| ".to_owned(),
                |r| format!("{} | {} – {}", digits(r.median), digits(r.lower), digits(r.upper)),
            );
            let _ = writeln!(
                out,
                "| {} | {} | {} – {} | {} | {ratio} | {} | {} | {words} |",
                row.contestant,
                time(t.median),
                time(t.lower),
                time(t.upper),
                time(t.min),
                row.memory_kib.map(memory).unwrap_or_default(),
                row.system_calls.map(|calls| format!("{calls:.0}")).unwrap_or_default(),
            );
        }
        out
    }
}

fn memory(kib: u64) -> String {
    format!("{} MiB", digits(kib as f64 / 1024.0))
}
