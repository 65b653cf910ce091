//! The filter of many guests gets one guest more, or a guest one port.

use std::process::Command;

use anyhow::Result;
use guestnet::core::{Change, Namespace};
use guestnet::nft::{Table, Value as Nft};
use serde_json::{Value, json};

use crate::firewall::{self, More};
use crate::floor::Floor;
use crate::goal::{Goal, Most};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::libnftables::Library;
use crate::recording::{Recorder, Recording};
use crate::{ip, stage};

pub fn element() -> Job {
    Job {
        name: "firewall-element",
        what: "one element added to the filter of many guests: a port of one of them",
        sizes: Sizes { whole: &[(10_000, 8), (100_000, 8)], quick: &[(10_000, 3)] },
        contestants: contestants(More::Port),
        growth: Some(("guestnet", 1.5)),
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Longer(5000.0), from: 100_000 }],
    }
}

pub fn guest() -> Job {
    Job {
        name: "firewall-guest",
        what: "one guest added to the filter of many: its elements, ten or so in two tables",
        sizes: Sizes { whole: &[(10_000, 8), (100_000, 8)], quick: &[(10_000, 3)] },
        contestants: contestants(More::Guest),
        growth: Some(("guestnet", 1.5)),
        goals: Vec::new(),
    }
}

fn contestants(more: More) -> Vec<Contestant> {
    vec![
        Contestant::new("floor", move |count| floor(more, count)),
        Contestant::new("guestnet", move |count| guestnet(more, count)),
        Contestant::new("libnftables, JSON", move |count| libnftables(more, count)),
        Contestant::new("nft -f", move |count| nft(more, count)),
        Contestant::new("nft, a process an element", move |count| nft_each(more, count)),
    ]
}

/// How often in one round.
const TIMES: usize = 200;

/// How often in one round of processes.
const FEW: usize = 10;

/// A fresh namespace with the filter of `count` guests.
fn loaded(count: usize) -> Result<Namespace> {
    stage::bare()?;
    let mut namespace = Namespace::current()?;
    firewall::make(&mut namespace, &firewall::spec(count)?)?;
    Ok(namespace)
}

/// Whether the last of `count` guests is filtered, as `nft` sees it.
fn has(count: usize) -> Result<()> {
    let words = format!("get element inet guestnet_firewall guests {{ \"{}\" }}", firewall::link(count - 1));
    ip::run(Command::new("nft").arg(words), "")
}

/// What adds it for some guests, and what takes it away again.
fn changes(more: More) -> Result<Vec<[Vec<Change<Table>>; 2]>> {
    let change = |n| {
        let tables = more.tables(n)?;
        let change = |(old, new): (&Table, &Table)| Change::Replace { old: old.clone(), new: new.clone() };
        let add = tables.iter().map(|(old, new)| change((old, new))).collect();
        let remove = tables.iter().map(|(old, new)| change((new, old))).collect();
        Ok([add, remove])
    };
    (0..TIMES).map(change).collect()
}

fn floor(more: More, count: usize) -> Result<Round> {
    let mut namespace = loaded(count)?;
    has(count)?;
    let changes = changes(more)?;
    let mut all = Recording::default();
    for [add, remove] in &changes {
        let recorder = Recorder::of_namespace(&mut namespace);
        firewall::send(&mut namespace, add)?;
        all.acts.extend(recorder.take()?.acts);
        firewall::send(&mut namespace, remove)?;
    }
    // One socket for all of them, as guestnet has.
    let mut floor = Floor::ready(all)?;
    let mut namespace = Namespace::current()?;
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| floor.step(n))?;
        changes.iter().try_for_each(|[_, remove]| firewall::send(&mut namespace, remove))
    }))
}

fn guestnet(more: More, count: usize) -> Result<Round> {
    let mut namespace = loaded(count)?;
    let changes = changes(more)?;
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| firewall::send(&mut namespace, &changes[n][0]))?;
        changes.iter().try_for_each(|[_, remove]| firewall::send(&mut namespace, remove))
    }))
}

/// Commands that add, or delete, the elements of guest `n`.
fn commands(more: More, verb: &str, n: usize) -> Result<Value> {
    let value = |value: &Nft| match value {
        Nft::Number(number) => json!(number),
        other => json!(other.to_string()),
    };
    let command = |(family, set, key): (String, String, Vec<Nft>)| {
        let key: Vec<Value> = key.iter().map(value).collect();
        let key = if let [one] = &key[..] { one.clone() } else { json!({ "concat": key }) };
        json!({ verb: { "element": { "family": family, "table": "guestnet_firewall", "name": set, "elem": [key] } } })
    };
    let commands: Vec<Value> = more.elements(n)?.into_iter().map(command).collect();
    Ok(json!({ "nftables": commands }))
}

fn libnftables(more: More, count: usize) -> Result<Round> {
    loaded(count)?;
    let library = Library::open()?;
    let commands = |verb| (0..TIMES).map(|n| commands(more, verb, n)).collect::<Result<Vec<_>>>();
    let (add, delete) = (commands("add")?, commands("delete")?);
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| library.run(&add[n]))?;
        delete.iter().try_for_each(|commands| library.run(commands))
    }))
}

/// The same for `nft`, a line an element.
fn lines(more: More, verb: &str, n: usize) -> Result<Vec<String>> {
    let value = |value: &Nft| match value {
        Nft::Ifname(name) => format!("\"{name}\""),
        other => other.to_string(),
    };
    let line = |(family, set, key): (String, String, Vec<Nft>)| {
        let key: Vec<String> = key.iter().map(value).collect();
        format!("{verb} element {family} guestnet_firewall {set} {{ {} }}\n", key.join(" . "))
    };
    Ok(more.elements(n)?.into_iter().map(line).collect())
}

/// Runs `work` with the lines that add something for some guests, then with those that delete it.
fn by_lines(more: More, count: usize, work: impl Fn(&[String]) -> Result<()> + 'static) -> Result<Round> {
    loaded(count)?;
    let lines = |verb| (0..FEW).map(|n| lines(more, verb, n)).collect::<Result<Vec<_>>>();
    let (add, delete) = (lines("add")?, lines("delete")?);
    Ok(Box::new(move |meter| {
        meter.of_processes().times(FEW, |n| work(&add[n]))?;
        delete.iter().try_for_each(|lines| work(lines))
    }))
}

fn nft(more: More, count: usize) -> Result<Round> {
    by_lines(more, count, |lines| ip::run(Command::new("nft").args(["-f", "-"]), &lines.concat()))
}

fn nft_each(more: More, count: usize) -> Result<Round> {
    let each = |line: &String| ip::run(Command::new("nft").arg(line), "");
    by_lines(more, count, move |lines| lines.iter().try_for_each(each))
}
