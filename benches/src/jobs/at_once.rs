//! Many guests more, or fewer, at the same time: by a process for each, all at once or one after the other, and by one. A host is
//! locked by one process at a time, so this says what waiting for the lock costs.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use guestnet::{Host, HostSpec};

use crate::guests::{self, Place};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::{ip, peak, stage};

use super::whole::guestnet_command;

/// Guests that stay.
const OTHERS: usize = 10;

pub fn more() -> Job {
    Job {
        name: "at-once",
        what: "guests that come at the same time, by the command",
        sizes: Sizes { whole: &[(100, 6)], quick: &[(20, 2)] },
        growth: None,
        contestants: vec![
            Contestant::new("one add of all", |count| round("add", Way::Together, count)),
            Contestant::new("an add for each, one after the other", |count| round("add", Way::InTurn, count)),
            Contestant::new("an add for each, all at once", |count| round("add", Way::AtOnce, count)),
        ],
        goals: Vec::new(),
    }
}

pub fn fewer() -> Job {
    Job {
        name: "at-once-less",
        what: "guests that leave at the same time, by the command",
        sizes: Sizes { whole: &[(100, 6)], quick: &[(20, 2)] },
        growth: None,
        contestants: vec![
            Contestant::new("one remove of all", |count| round("remove", Way::Together, count)),
            Contestant::new("a remove for each, one after the other", |count| {
                round("remove", Way::InTurn, count)
            }),
            Contestant::new("a remove for each, all at once", |count| round("remove", Way::AtOnce, count)),
        ],
        goals: Vec::new(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Together,
    InTurn,
    AtOnce,
}

/// A round in which `count` guests come or leave.
fn round(verb: &'static str, way: Way, count: usize) -> Result<Round> {
    let others = guests::spec(OTHERS, Place::Host)?;
    let all = guests::spec(OTHERS + count, Place::Host)?;
    let (before, after) = if verb == "add" { (others, all) } else { (all, others) };
    let parts: Vec<HostSpec> =
        (OTHERS..OTHERS + count).map(|n| guests::only(n, Place::Host)).collect::<Result<_>>()?;
    let mut files = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let file = format!("/run/part{n}.json");
        std::fs::write(&file, serde_json::to_string(part)?)?;
        files.push(file);
    }
    if way == Way::Together {
        let whole = HostSpec {
            guests: parts.iter().flat_map(|part| part.guests.clone()).collect(),
            ..parts.first().context("a guest")?.clone()
        };
        std::fs::write("/run/spec.json", serde_json::to_string(&whole)?)?;
        files = vec!["/run/spec.json".to_owned()];
    }
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        Host::open()?.apply(&before)?;
        meter.of_processes().once(|| carry_out(verb, way, &files))?;
        ensure!(Host::open()?.verify(&after)?.is_empty(), "the guests are not as they should be");
        stage::leave()
    }))
}

fn carry_out(verb: &str, way: Way, files: &[String]) -> Result<()> {
    if way != Way::AtOnce {
        return files.iter().try_for_each(|file| ip::run(&mut guestnet_command(verb, file)?, ""));
    }
    let start = |file: &String| -> Result<_> {
        let mut command = peak::weighed(&guestnet_command(verb, file)?);
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
    };
    let started = files.iter().map(start).collect::<Result<Vec<_>>>()?;
    for mut child in started {
        ensure!(child.wait()?.success(), "one of them failed");
    }
    Ok(())
}
