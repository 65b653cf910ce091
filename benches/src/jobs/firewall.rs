//! One guest added to the filter of many.

use std::process::Command;

use anyhow::Result;
use guestnet::core::{Change, Namespace};
use guestnet::nft::{Table, Value as Nft};
use serde_json::{Value, json};

use crate::firewall::{self, link};
use crate::floor::Floor;
use crate::goal::{Goal, Most};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::libnftables::Library;
use crate::recording::{Recorder, Recording};
use crate::{ip, stage};

pub fn element() -> Job {
    Job {
        name: "firewall-element",
        what: "one guest added to the filter of many: its elements, ten or so in two tables",
        sizes: Sizes { whole: &[(10_000, 8), (100_000, 8)], quick: &[(10_000, 3)] },
        contestants: vec![
            Contestant::new("floor", floor),
            Contestant::new("guestnet", guestnet),
            Contestant::new("libnftables, JSON", libnftables),
            Contestant::new("nft -f", nft),
            Contestant::new("nft, a process an element", nft_each),
        ],
        growth: Some(("guestnet", 1.5)),
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Longer(5000.0) }],
    }
}

/// How often in one round.
const TIMES: usize = 200;

/// A fresh namespace with the filter of `count` guests.
fn loaded(count: usize) -> Result<Namespace> {
    stage::bare()?;
    let mut namespace = Namespace::current()?;
    firewall::make(&mut namespace, &firewall::spec(count)?)?;
    Ok(namespace)
}

/// Whether the last of `count` guests is filtered, as `nft` sees it.
fn has(count: usize) -> Result<()> {
    let words = format!("get element inet guestnet_firewall guests {{ \"{}\" }}", link(count - 1));
    ip::run(Command::new("nft").arg(words), "")
}

/// What adds guest `n`, and what takes it away again.
fn changes(n: usize) -> Result<[Vec<Change<Table>>; 2]> {
    let pairs = firewall::one_more(n)?;
    let add = |(old, new): &(Table, Table)| Change::Replace { old: old.clone(), new: new.clone() };
    let remove = |(old, new): &(Table, Table)| Change::Replace { old: new.clone(), new: old.clone() };
    Ok([pairs.iter().map(add).collect(), pairs.iter().map(remove).collect()])
}

fn floor(count: usize) -> Result<Round> {
    let mut namespace = loaded(count)?;
    has(count)?;
    let changes: Vec<_> = (0..TIMES).map(changes).collect::<Result<_>>()?;
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

fn guestnet(count: usize) -> Result<Round> {
    let mut namespace = loaded(count)?;
    let changes: Vec<_> = (0..TIMES).map(changes).collect::<Result<_>>()?;
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| firewall::send(&mut namespace, &changes[n][0]))?;
        changes.iter().try_for_each(|[_, remove]| firewall::send(&mut namespace, remove))
    }))
}

/// Commands that add, or delete, the elements of guest `n`.
fn commands(verb: &str, n: usize) -> Result<Value> {
    let value = |value: &Nft| match value {
        Nft::Number(number) => json!(number),
        other => json!(other.to_string()),
    };
    let command = |(family, set, key): (String, String, Vec<Nft>)| {
        let key: Vec<Value> = key.iter().map(value).collect();
        let key = if let [one] = &key[..] { one.clone() } else { json!({ "concat": key }) };
        json!({ verb: { "element": { "family": family, "table": "guestnet_firewall", "name": set, "elem": [key] } } })
    };
    let commands: Vec<Value> = firewall::elements(n)?.into_iter().map(command).collect();
    Ok(json!({ "nftables": commands }))
}

fn libnftables(count: usize) -> Result<Round> {
    loaded(count)?;
    let library = Library::open()?;
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| library.run(&commands("add", n)?))?;
        (0..TIMES).try_for_each(|n| library.run(&commands("delete", n)?))
    }))
}

/// The same for `nft`, a line an element.
fn lines(verb: &str, n: usize) -> Result<Vec<String>> {
    let value = |value: &Nft| match value {
        Nft::Ifname(name) => format!("\"{name}\""),
        other => other.to_string(),
    };
    let line = |(family, set, key): (String, String, Vec<Nft>)| {
        let key: Vec<String> = key.iter().map(value).collect();
        format!("{verb} element {family} guestnet_firewall {set} {{ {} }}\n", key.join(" . "))
    };
    Ok(firewall::elements(n)?.into_iter().map(line).collect())
}

fn batch(lines: &[String]) -> Result<()> {
    ip::run(Command::new("nft").args(["-f", "-"]), &lines.concat())
}

fn nft(count: usize) -> Result<Round> {
    loaded(count)?;
    Ok(Box::new(move |meter| {
        meter.of_processes().times(10, |n| batch(&lines("add", n)?))?;
        (0..10).try_for_each(|n| batch(&lines("delete", n)?))
    }))
}

fn nft_each(count: usize) -> Result<Round> {
    loaded(count)?;
    Ok(Box::new(move |meter| {
        let one_by_one =
            |verb, n| lines(verb, n)?.iter().try_for_each(|line| ip::run(Command::new("nft").arg(line), ""));
        meter.of_processes().times(10, |n| one_by_one("add", n))?;
        (0..10).try_for_each(|n| one_by_one("delete", n))
    }))
}
