//! A whole host from nothing, in every way.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use guestnet::{Host, HostSpec};

use crate::floor::Floor;
use crate::job::Round;
use crate::recording::{Recorder, Recording};
use crate::{ip, stage};

/// Records an apply, then does it again on a fresh host, which has to be as guestnet wants it afterwards.
pub fn floor(spec: HostSpec, with_questions: bool) -> Result<Round> {
    let mut recording = record(&spec, with_questions)?;
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        let mut here = recording.clone().for_this_host()?;
        for _ in 0..TRIES {
            if here.is_none() {
                stage::leave()?;
                recording = record(&spec, with_questions)?;
                stage::fresh()?;
                here = recording.clone().for_this_host()?;
            }
        }
        let mut floor = Floor::ready(here.context("the marks of hosts differ in length each time")?)?;
        meter.once(|| floor.run())?;
        drop(floor);
        let plan = Host::open()?.verify(&spec)?;
        ensure!(plan.is_empty(), "the floor has not made the same host:\n{plan}");
        stage::leave()
    }))
}

/// How often an apply is recorded anew because the numbers of hosts have grown by a digit. Processors take them from
/// different ranges, so two hosts in turn may have one and the other.
const TRIES: usize = 8;

/// What an apply does on a fresh host.
fn record(spec: &HostSpec, with_questions: bool) -> Result<Recording> {
    stage::fresh()?;
    let mut host = Host::open()?;
    let recorder = Recorder::of(&mut host);
    host.apply(spec)?;
    let recording = recorder.take()?;
    drop(host);
    stage::leave()?;
    Ok(if with_questions { recording } else { recording.only(false) })
}

/// The library, in a host that is open.
pub fn guestnet(spec: HostSpec) -> Result<Round> {
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        let mut host = Host::open()?;
        let report = meter.once(|| Ok(host.apply(&spec)?))?;
        ensure!(report.changes > 0 && host.verify(&spec)?.is_empty(), "nothing was made");
        drop(host);
        stage::leave()
    }))
}

/// In the environment: the command `guestnet`.
pub const COMMAND: &str = "GUESTNET_BENCH_COMMAND";

/// The command `guestnet`, with a spec to apply or to add.
pub fn guestnet_command(verb: &str, file: &str) -> Result<Command> {
    let mut command = Command::new(std::env::var(COMMAND).context("where the command guestnet is")?);
    command.args([verb, "-f", file]);
    Ok(command)
}

/// The command `guestnet`: its process, the reading of the spec, the opening of the host, and the apply.
pub fn command(spec: HostSpec) -> Result<Round> {
    std::fs::write("/run/spec.json", serde_json::to_string(&spec)?)?;
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        meter.of_processes().once(|| ip::run(&mut guestnet_command("apply", "/run/spec.json")?, ""))?;
        ensure!(Host::open()?.verify(&spec)?.is_empty(), "nothing was made");
        stage::leave()
    }))
}

/// `ip -batch`, `sysctl` and `nft -f`: one each for each namespace. What only netlink can say (errors of ICMP) is
/// missing.
pub fn batches(spec: HostSpec) -> Result<Round> {
    let batches = ip::batches(&ip::lines(&guestnet::render(&spec.objects()?))?);
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        meter.of_processes().once(|| ip::in_batches(&batches))?;
        stage::leave()
    }))
}

/// A process of `ip`, `sysctl` or `nft` for each object.
pub fn processes(spec: HostSpec) -> Result<Round> {
    let lines = ip::lines(&guestnet::render(&spec.objects()?))?;
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        meter.of_processes().once(|| ip::one_by_one(&lines))?;
        meter.note(format!("{} processes", lines.len()));
        stage::leave()
    }))
}
