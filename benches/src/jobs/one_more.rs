//! One guest more on a host with many; and one lost element of theirs found and put back.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet::{Host, HostSpec};
use guestnet_lab::sh;

use crate::floor::Floor;
use crate::goal::{Goal, Most};
use crate::guests::{self, Place};
use crate::ip;
use crate::job::{Contestant, Job, Round, Sizes};
use crate::recording::Recorder;

use super::again::furnished;
use super::whole;

/// How often in one round: the host stays.
const TIMES: usize = 5;

/// How often an element gets lost in one round.
const LOSSES: usize = 2;

/// Takes guest `n` away again, as somebody else would, and lets the kernel finish: it frees a link after the call has
/// returned, on whatever processor is idle, and who makes the next one at once waits for its locks.
fn away(n: usize) -> Result<()> {
    let (public, private) = (guests::public(n), guests::private(n));
    sh(&format!(
        "ip link del tap{n:05}
        rm -rf /run/guestnet/vm{n:05}
        nft 'delete element ip guestnet_nat inbound32 {{ {public} }}
        delete element ip guestnet_nat outbound32 {{ {private} }}'"
    ))?;
    sleep(Duration::from_millis(20));
    Ok(())
}

pub fn job() -> Job {
    Job {
        name: "one-more",
        what: "one guest more in the host's namespace",
        sizes: Sizes { whole: &[(10, 12), (10_000, 12)], quick: &[(10, 4), (1000, 4)] },
        contestants: vec![
            Contestant::new("floor", floor),
            Contestant::new("guestnet", add),
            Contestant::new("guestnet, all applied", apply),
            Contestant::new("guestnet, the command", command),
            Contestant::new("ip -batch, nft -f", batches),
        ],
        growth: Some(("guestnet, the command", 1.2)),
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Times(2.0), from: 10_000 }],
    }
}

/// One guest less, where the others stay.
pub fn less() -> Job {
    Job {
        name: "one-less",
        what: "one guest less in the host's namespace",
        sizes: Sizes { whole: &[(10, 12), (10_000, 12)], quick: &[(10, 4), (1000, 4)] },
        contestants: vec![
            Contestant::new("guestnet", remove),
            Contestant::new("guestnet, all applied", apply_less),
            Contestant::new("guestnet, the command", remove_by_command),
        ],
        growth: Some(("guestnet, the command", 1.2)),
        goals: Vec::new(),
    }
}

pub fn lost() -> Job {
    Job {
        name: "lost-element",
        what: "one element of the translation that got lost, found and put back",
        sizes: Sizes { whole: &[(10_000, 6)], quick: &[(1000, 3)] },
        contestants: vec![
            Contestant::new("floor and questions", floor_of_lost),
            Contestant::new("guestnet", repair),
            Contestant::new("guestnet, the command", repair_by_command),
        ],
        growth: None,
        goals: Vec::new(),
    }
}

/// A host with guests, a spec with one more, and one with that alone.
fn host_and_specs(count: usize) -> Result<(Host, HostSpec, HostSpec)> {
    let (host, _) = furnished(count)?;
    Ok((host, guests::spec(count + 1, Place::Host)?, guests::only(count, Place::Host)?))
}

fn floor(count: usize) -> Result<Round> {
    let (mut host, after, one) = host_and_specs(count)?;
    let tap = format!("tap{count:05}");
    let recorder = Recorder::of(&mut host);
    host.add(&one)?;
    let recording = recorder.take()?.only(false);
    let old = nix::net::if_::if_nametoindex(tap.as_str())?;
    away(count)?;
    host.watch(|_| ());
    let mut checked = false;
    Ok(Box::new(move |meter| {
        for _ in 0..TIMES {
            // The index that the next interface will have: one more than that of one made and deleted now.
            let next = sh("ip link add try type bridge; ip -o link show try; ip link del try")?;
            let next: u32 = next.split(':').next().context("an index")?.trim().parse()?;
            sleep(Duration::from_millis(20));
            let mut floor = Floor::ready(recording.clone().with_index(old, next + 1))?;
            meter.once(|| floor.run())?;
            once(&mut checked, || is_there(&mut host, &after))?;
            away(count)?;
        }
        Ok(())
    }))
}

/// Reading a large host to check it is slow, and what was right in the round that is not timed will be so again.
fn once(checked: &mut bool, check: impl FnOnce() -> Result<()>) -> Result<()> {
    if std::mem::replace(checked, true) { Ok(()) } else { check() }
}

fn is_there(host: &mut Host, after: &HostSpec) -> Result<()> {
    let plan = host.verify(after)?;
    ensure!(plan.is_empty(), "the guest is not as it should be:\n{plan}");
    Ok(())
}

/// Another new guest each time: nobody but guestnet does anything on the host meanwhile.
fn add(count: usize) -> Result<Round> {
    let (mut host, _) = furnished(count)?;
    let mut next = count;
    let mut checked = false;
    Ok(Box::new(move |meter| {
        for _ in 0..TIMES {
            let one = guests::only(next, Place::Host)?;
            next += 1;
            sleep(Duration::from_millis(20));
            meter.once(|| Ok(host.add(&one)?))?;
        }
        once(&mut checked, || is_there(&mut host, &guests::spec(next, Place::Host)?))
    }))
}

fn apply(count: usize) -> Result<Round> {
    let (mut host, after, _) = host_and_specs(count)?;
    Ok(Box::new(move |meter| {
        let report = meter.once(|| Ok(host.apply(&after)?))?;
        ensure!(report.changes > 0, "nothing was added");
        away(count)
    }))
}

fn command(count: usize) -> Result<Round> {
    let (mut host, after, one) = host_and_specs(count)?;
    std::fs::write("/run/spec.json", serde_json::to_string(&one)?)?;
    let mut checked = false;
    Ok(Box::new(move |meter| {
        for _ in 0..TIMES {
            meter
                .of_processes()
                .once(|| ip::run(&mut whole::guestnet_command("add", "/run/spec.json")?, ""))?;
            once(&mut checked, || is_there(&mut host, &after))?;
            away(count)?;
        }
        Ok(())
    }))
}

fn remove(count: usize) -> Result<Round> {
    let (mut host, _) = furnished(count)?;
    let (all, one) = (guests::spec(count, Place::Host)?, guests::only(count, Place::Host)?);
    let mut checked = false;
    Ok(Box::new(move |meter| {
        for _ in 0..TIMES {
            host.add(&one)?;
            sleep(Duration::from_millis(20));
            meter.once(|| Ok(host.remove(&one)?))?;
        }
        once(&mut checked, || is_there(&mut host, &all))
    }))
}

fn apply_less(count: usize) -> Result<Round> {
    let (mut host, _) = furnished(count)?;
    let (all, one) = (guests::spec(count, Place::Host)?, guests::only(count, Place::Host)?);
    Ok(Box::new(move |meter| {
        host.add(&one)?;
        sleep(Duration::from_millis(20));
        let report = meter.once(|| Ok(host.apply(&all)?))?;
        ensure!(report.changes > 0, "nothing was removed");
        Ok(())
    }))
}

fn remove_by_command(count: usize) -> Result<Round> {
    let (mut host, _) = furnished(count)?;
    let (all, one) = (guests::spec(count, Place::Host)?, guests::only(count, Place::Host)?);
    std::fs::write("/run/spec.json", serde_json::to_string(&one)?)?;
    let mut checked = false;
    Ok(Box::new(move |meter| {
        for _ in 0..TIMES {
            host.add(&one)?;
            sleep(Duration::from_millis(20));
            meter
                .of_processes()
                .once(|| ip::run(&mut whole::guestnet_command("remove", "/run/spec.json")?, ""))?;
        }
        once(&mut checked, || is_there(&mut host, &all))
    }))
}

/// The lines of the new guest alone, its element by `nft`.
fn batches(count: usize) -> Result<Round> {
    let (_, after, _) = host_and_specs(count)?;
    let known = guestnet::render(&guests::spec(count, Place::Host)?.objects()?);
    let known: std::collections::BTreeSet<&str> = known.lines().collect();
    let rendering = guestnet::render(&after.objects()?);
    let new = rendering.lines().filter(|line| !known.contains(line));
    let new: Vec<&str> = new.filter(|line| line.starts_with("ip ") || line.starts_with("sysctl ")).collect();
    let mut lines = ip::lines(&new.join("\n"))?;
    let (public, private) = (guests::public(count), guests::private(count));
    let element = |map, key: std::net::Ipv4Addr, data| {
        format!("add element ip guestnet_nat {map} {{ {key} : {data} }}")
    };
    let nft = [element("inbound32", public, private), element("outbound32", private, public)].join("\n");
    lines.push(ip::Line::Nft(String::new(), nft));
    let batches = ip::batches(&lines);
    Ok(Box::new(move |meter| {
        for _ in 0..TIMES {
            meter.of_processes().once(|| ip::in_batches(&batches))?;
            away(count)?;
        }
        Ok(())
    }))
}

/// Takes the element of the first guest away, behind guestnet's back.
fn lose() -> Result<()> {
    sh(&format!("nft delete element ip guestnet_nat inbound32 '{{ {} }}'", guests::public(0))).map(drop)
}

fn floor_of_lost(count: usize) -> Result<Round> {
    let (mut host, spec) = furnished(count)?;
    lose()?;
    let recorder = Recorder::of(&mut host);
    host.apply(&spec)?;
    let mut floor = Floor::ready(recorder.take()?)?;
    host.watch(|_| ());
    Ok(Box::new(move |meter| {
        meter.times_between(LOSSES, |_| lose(), |_| floor.run())?;
        ensure!(host.verify(&spec)?.is_empty(), "the floor has not put the element back");
        Ok(())
    }))
}

fn repair(count: usize) -> Result<Round> {
    let (mut host, spec) = furnished(count)?;
    Ok(Box::new(move |meter| {
        for _ in 0..LOSSES {
            lose()?;
            let report = meter.once(|| Ok(host.apply(&spec)?))?;
            ensure!(report.changes == 1, "{} changes where one was due", report.changes);
        }
        Ok(())
    }))
}

fn repair_by_command(count: usize) -> Result<Round> {
    let (_, spec) = furnished(count)?;
    std::fs::write("/run/spec.json", serde_json::to_string(&spec)?)?;
    Ok(Box::new(move |meter| {
        for _ in 0..LOSSES {
            lose()?;
            meter
                .of_processes()
                .once(|| ip::run(&mut whole::guestnet_command("apply", "/run/spec.json")?, ""))?;
        }
        Ok(())
    }))
}
