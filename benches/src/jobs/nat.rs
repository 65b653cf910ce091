//! The table of the translation by itself: loaded with many guests, one guest added to many, read back.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Result, ensure};
use guestnet::core::{Change, Kind, Namespace, Set};
use guestnet::nat::Mode;
use guestnet::nft::Table;
use serde_json::{Value, json};

use crate::floor::Floor;
use crate::goal::{Goal, Most};
use crate::guests::{private, public};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::libnftables::{Library, elements};
use crate::recording::{Recorder, Recording};
use crate::{ip, nat, stage};

pub fn load() -> Job {
    Job {
        name: "load-nat",
        what: "the translation of many guests loaded, from its spec on",
        sizes: Sizes { whole: &[(1000, 10), (100_000, 5)], quick: &[(10_000, 3)] },
        contestants: vec![
            Contestant::new("floor", load_floor),
            Contestant::new("guestnet", load_guestnet),
            Contestant::new("libnftables, JSON", load_libnftables),
            Contestant::new("nft -f", load_nft),
        ],
        growth: None,
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Times(1.25), from: 0 }],
    }
}

pub fn element() -> Job {
    Job {
        name: "nat-element",
        what: "one guest added to the translation of many: two elements",
        sizes: Sizes { whole: &[(10_000, 8), (100_000, 8)], quick: &[(10_000, 3)] },
        contestants: vec![
            Contestant::new("floor", element_floor),
            Contestant::new("guestnet", element_guestnet),
            Contestant::new("libnftables, JSON", element_libnftables),
            Contestant::new("nft -f", element_nft),
            Contestant::new("nft, a process an element", element_nft_twice),
        ],
        growth: Some(("guestnet", 1.5)),
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Longer(5000.0), from: 100_000 }],
    }
}

pub fn read() -> Job {
    Job {
        name: "read-nat",
        what: "the translation of many guests read back",
        sizes: Sizes { whole: &[(100_000, 5)], quick: &[(10_000, 3)] },
        contestants: vec![
            Contestant::new("raw dumps", read_floor),
            Contestant::new("guestnet", read_guestnet),
            Contestant::new("nft -j list", read_nft),
        ],
        growth: None,
        goals: Vec::new(),
    }
}

/// A fresh namespace with the translation of `count` guests.
fn loaded(count: usize) -> Result<Namespace> {
    stage::bare()?;
    let mut namespace = Namespace::current()?;
    nat::send(&mut namespace, &Change::Create(nat::table(&nat::spec(count, Mode::Notrack))?))?;
    Ok(namespace)
}

/// Whether guests `0..count` are translated, as `nft` sees it.
fn has(count: usize) -> Result<()> {
    for n in [0, count - 1] {
        let words = format!("get element ip guestnet_nat inbound32 {{ {} }}", public(n));
        ip::run(Command::new("nft").arg(words), "")?;
    }
    Ok(())
}

fn load_floor(count: usize) -> Result<Round> {
    stage::bare()?;
    let mut namespace = Namespace::current()?;
    let recorder = Recorder::of_namespace(&mut namespace);
    nat::send(&mut namespace, &Change::Create(nat::table(&nat::spec(count, Mode::Notrack))?))?;
    let recording = recorder.take()?;
    drop(namespace);
    stage::leave()?;
    Ok(Box::new(move |meter| {
        stage::bare()?;
        let mut floor = Floor::ready(recording.clone())?;
        meter.once(|| floor.run())?;
        has(count)?;
        drop(floor);
        stage::leave()
    }))
}

fn load_guestnet(count: usize) -> Result<Round> {
    let spec = nat::spec(count, Mode::Notrack);
    Ok(Box::new(move |meter| {
        stage::bare()?;
        let mut namespace = Namespace::current()?;
        meter.once(|| nat::send(&mut namespace, &Change::Create(nat::table(&spec)?)))?;
        has(count)?;
        drop(namespace);
        stage::leave()
    }))
}

fn load_nft(count: usize) -> Result<Round> {
    std::fs::write("/run/nat.nft", nat::table(&nat::spec(count, Mode::Notrack))?.to_nft())?;
    Ok(Box::new(move |meter| {
        stage::bare()?;
        meter.of_processes().once(|| ip::run(Command::new("nft").args(["-f", "/run/nat.nft"]), ""))?;
        has(count)?;
        stage::leave()
    }))
}

/// The two maps and nothing else: less than what the others load.
fn load_libnftables(count: usize) -> Result<Round> {
    drop(Library::open()?);
    let map = |name| {
        json!({ "add": { "map": {
            "family": "ip", "table": "guestnet_nat", "name": name, "type": "ipv4_addr", "map": "ipv4_addr",
            "size": 262_144,
        } } })
    };
    let pairs: Vec<(String, String)> =
        (0..count).map(|n| (public(n).to_string(), private(n).to_string())).collect();
    let back: Vec<(String, String)> =
        pairs.iter().cloned().map(|(public, private)| (private, public)).collect();
    let commands = json!({ "nftables": [
        { "add": { "table": { "family": "ip", "name": "guestnet_nat" } } },
        map("inbound32"), map("outbound32"),
        elements("add", "guestnet_nat", "inbound32", &pairs),
        elements("add", "guestnet_nat", "outbound32", &back),
    ] });
    Ok(Box::new(move |meter| {
        stage::bare()?;
        // Its socket is made with its context, in the namespace of that moment.
        let library = Library::open()?;
        meter.once(|| library.run(&commands))?;
        has(count)?;
        stage::leave()
    }))
}

/// What adds guest `n` and what takes it away again.
fn changes(n: usize) -> Result<(Change<Table>, Change<Table>)> {
    let (without, with) = nat::one_more(n)?;
    let add = Change::Replace { old: without.clone(), new: with.clone() };
    Ok((add, Change::Replace { old: with, new: without }))
}

/// How often in one round, in the process.
const TIMES: usize = 200;

fn element_floor(count: usize) -> Result<Round> {
    let mut namespace = loaded(count)?;
    let mut all = Recording::default();
    for n in 0..TIMES {
        let (add, remove) = changes(n)?;
        let recorder = Recorder::of_namespace(&mut namespace);
        nat::send(&mut namespace, &add)?;
        all.acts.extend(recorder.take()?.acts);
        nat::send(&mut namespace, &remove)?;
    }
    // One socket for all of them, as guestnet has.
    let mut floor = Floor::ready(all)?;
    let mut namespace = Namespace::current()?;
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| floor.step(n))?;
        (0..TIMES).try_for_each(|n| nat::send(&mut namespace, &changes(n)?.1))
    }))
}

fn element_guestnet(count: usize) -> Result<Round> {
    let mut namespace = loaded(count)?;
    let changes: Vec<_> = (0..TIMES).map(changes).collect::<Result<_>>()?;
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| nat::send(&mut namespace, &changes[n].0))?;
        changes.iter().try_for_each(|(_, remove)| nat::send(&mut namespace, remove))
    }))
}

/// Commands that add, or delete, guest `n`.
fn commands(verb: &str, n: usize) -> Value {
    let (public, private) = nat::addresses(n);
    json!({ "nftables": [
        elements(verb, "guestnet_nat", "inbound32", &[(public.clone(), private.clone())]),
        elements(verb, "guestnet_nat", "outbound32", &[(private, public)]),
    ] })
}

fn element_libnftables(count: usize) -> Result<Round> {
    loaded(count)?;
    let library = Library::open()?;
    let commands = |verb| (0..TIMES / 4).map(|n| commands(verb, n)).collect::<Vec<_>>();
    let (add, delete) = (commands("add"), commands("delete"));
    Ok(Box::new(move |meter| {
        meter.times(TIMES / 4, |n| library.run(&add[n]))?;
        delete.iter().try_for_each(|commands| library.run(commands))
    }))
}

fn lines(verb: &str, n: usize) -> [String; 2] {
    let (public, private) = nat::addresses(n);
    let line =
        |map, from: &str, to: &str| format!("{verb} element ip guestnet_nat {map} {{ {from} : {to} }}\n");
    [line("inbound32", &public, &private), line("outbound32", &private, &public)]
}

fn nft<S: AsRef<OsStr>>(words: &[S], input: &str) -> Result<()> {
    ip::run(Command::new("nft").args(words), input)
}

fn element_nft(count: usize) -> Result<Round> {
    loaded(count)?;
    Ok(Box::new(move |meter| {
        meter.of_processes().times(10, |n| nft(&["-f", "-"], &lines("add", n).concat()))?;
        (0..10).try_for_each(|n| nft(&["-f", "-"], &lines("delete", n).concat()))
    }))
}

fn element_nft_twice(count: usize) -> Result<Round> {
    loaded(count)?;
    Ok(Box::new(move |meter| {
        let one_by_one = |verb, n| lines(verb, n).iter().try_for_each(|line| nft(&[line], ""));
        meter.of_processes().times(10, |n| one_by_one("add", n))?;
        (0..10).try_for_each(|n| one_by_one("delete", n))
    }))
}

fn read_floor(count: usize) -> Result<Round> {
    let mut namespace = loaded(count)?;
    let recorder = Recorder::of_namespace(&mut namespace);
    Table::observe(&mut namespace, &Set::new())?;
    let mut floor = Floor::ready(recorder.take()?.only(true))?;
    Ok(Box::new(move |meter| meter.once(|| floor.run())))
}

fn read_guestnet(count: usize) -> Result<Round> {
    let mut namespace = loaded(count)?;
    Ok(Box::new(move |meter| {
        let found = meter.once(|| Ok(Table::observe(&mut namespace, &Set::new())?))?;
        let elements: usize =
            found.ours.iter().flat_map(|table| &table.sets).map(|set| set.elements.len()).sum();
        ensure!(elements >= 2 * count, "only {elements} elements were read");
        Ok(())
    }))
}

fn read_nft(count: usize) -> Result<Round> {
    loaded(count)?;
    Ok(Box::new(move |meter| meter.of_processes().once(|| nft(&["-j", "list", "ruleset"], ""))))
}
