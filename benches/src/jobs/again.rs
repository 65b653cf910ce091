//! The same spec again, on a host that is as it wants: nothing to do. And the host read back.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use guestnet::{Host, HostSpec};

use crate::floor::Floor;
use crate::goal::{Goal, Most};
use crate::guests::{self, Place};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::recording::Recorder;
use crate::{ip, stage};

use super::whole;

pub fn job() -> Job {
    Job {
        name: "again",
        what: "the same spec again, with nothing to do",
        sizes: Sizes { whole: &[(10_000, 5)], quick: &[(1000, 3)] },
        contestants: vec![
            Contestant::new("raw dumps", |n| dumps(n, Asked::AtFirst, false)),
            Contestant::new("raw dumps, sysctls, files", |n| dumps(n, Asked::AtFirst, true)),
            Contestant::new("raw dumps of an open host", |n| dumps(n, Asked::Again, false)),
            Contestant::new("guestnet", again),
            Contestant::new("guestnet, the command", again_by_command),
        ],
        growth: None,
        goals: vec![Goal { who: "guestnet", with: "raw dumps", most: Most::Times(1.1), from: 0 }],
    }
}

pub fn read_back() -> Job {
    Job {
        name: "read-back",
        what: "all that is on the host read back",
        sizes: Sizes { whole: &[(10_000, 5)], quick: &[(1000, 3)] },
        contestants: vec![
            Contestant::new("raw dumps", |n| dumps(n, Asked::AtFirst, false)),
            Contestant::new("guestnet", observe),
            Contestant::new("ip -j, nft -j", by_processes),
        ],
        growth: None,
        goals: Vec::new(),
    }
}

/// A fresh host with guests.
pub fn furnished(count: usize) -> Result<(Host, HostSpec)> {
    let spec = guests::spec(count, Place::Host)?;
    stage::fresh()?;
    let mut host = Host::open()?;
    host.apply(&spec)?;
    Ok((host, spec))
}

/// Which questions.
#[derive(Clone, Copy)]
enum Asked {
    /// All that a host asks which was just opened and knows nothing.
    AtFirst,
    /// Those that a host still asks which has done the same before.
    Again,
}

/// The questions that a reading of the host asks, asked again; and, if wanted, what guestnet has made in files and sysctls
/// read, one by one.
fn dumps(count: usize, asked: Asked, with_files: bool) -> Result<Round> {
    let (made, spec) = furnished(count)?;
    drop(made);
    let mut host = Host::open()?;
    if let Asked::Again = asked {
        ensure!(host.apply(&spec)?.changes == 0, "there was something to do");
    }
    let recorder = Recorder::of(&mut host);
    ensure!(host.apply(&spec)?.changes == 0, "the host is not as it was made");
    let questions = recorder.take()?.only(true);
    drop(host);
    let asks = questions.acts.len();
    ensure!(asks > 0, "nothing was asked");
    let objects = spec.objects()?;
    let sysctls = objects.host.sysctls.iter().map(|sysctl| format!("/proc/sys/{}", sysctl.key));
    let files = objects.files.iter().map(|file| format!("/run/guestnet/{}", file.path));
    let paths: Vec<String> = sysctls.chain(files).filter(|_| with_files).collect();
    let mut floor = Floor::ready(questions)?;
    Ok(Box::new(move |meter| {
        meter.note(format!("{asks} questions"));
        meter.once(|| {
            floor.run()?;
            paths.iter().try_for_each(|path| Ok(fs::read(path).map(drop)?))
        })
    }))
}

fn again(count: usize) -> Result<Round> {
    let (mut host, spec) = furnished(count)?;
    Ok(Box::new(move |meter| {
        let report = meter.once(|| Ok(host.apply(&spec)?))?;
        ensure!(report.changes == 0, "there was something to do");
        Ok(())
    }))
}

fn again_by_command(count: usize) -> Result<Round> {
    let (_, spec) = furnished(count)?;
    fs::write("/run/spec.json", serde_json::to_string(&spec)?)?;
    Ok(Box::new(move |meter| {
        meter.of_processes().once(|| ip::run(&mut whole::guestnet_command("apply", "/run/spec.json")?, ""))
    }))
}

fn observe(count: usize) -> Result<Round> {
    let (mut host, _) = furnished(count)?;
    Ok(Box::new(move |meter| {
        let objects = meter.once(|| Ok(host.observe()?))?;
        ensure!(objects.host.links.len() >= count, "not all was read");
        Ok(())
    }))
}

fn by_processes(count: usize) -> Result<Round> {
    furnished(count)?;
    Ok(Box::new(move |meter| {
        meter.of_processes().once(|| {
            for words in ["link", "address", "route", "-6 route", "neighbour show proxy"] {
                ip::run(Command::new("ip").arg("-j").args(words.split(' ')), "")?;
            }
            ip::run(Command::new("nft").args(["-j", "list", "ruleset"]), "")
        })
    }))
}
