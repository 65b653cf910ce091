//! The tunnels of a host to all of its peers in a mesh, taken to their next keys: the three acts of a round at one end. And
//! the part of it that a kernel without ESP can do as well: policies that lead to a new SPI.

use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use guestnet::Host;
use guestnet::core::{Change, Namespace};
use guestnet::xfrm::{Direction, Policy, Selector, Spd, Spi, Template};
use guestnet_lab::sh;

use crate::floor::Floor;
use crate::goal::{Goal, Most};
use crate::guests::{private, public};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::mesh::Mesh;
use crate::recording::Recorder;
use crate::{ip, stage};

use super::whole;
use super::xfrm::{host, needs_esp, send};

pub fn job() -> Job {
    Job {
        name: "rekey",
        what: "the tunnels to so many peers rekeyed at one end: inbound, outbound, drain",
        sizes: Sizes { whole: &[(10, 3), (1000, 3)], quick: &[(10, 2), (100, 2)] },
        contestants: vec![
            Contestant::new("floor", |n| floor(n, false)),
            Contestant::new("floor and questions", |n| floor(n, true)),
            Contestant::new("guestnet", guestnet),
            Contestant::new("guestnet, the command", command),
            Contestant::new("ip -batch", batches),
            Contestant::new("a process an object", processes).up_to(10),
        ],
        growth: None,
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Times(1.25), from: 0 }],
    }
}

pub fn policies() -> Job {
    Job {
        name: "rekey-policies",
        what: "the policies of so many tunnels given their new SPI at once: what of a rekey needs no ESP",
        sizes: Sizes { whole: &[(1000, 10), (10_000, 10)], quick: &[(1000, 3)] },
        contestants: vec![
            Contestant::new("floor", policies_floor),
            Contestant::new("guestnet", policies_guestnet),
            Contestant::new("ip -batch", policies_batch),
            Contestant::new("a process an object", policies_processes).up_to(1000),
        ],
        growth: None,
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Times(1.25), from: 0 }],
    }
}

/// A fresh host in the mesh, with the first keys.
fn member(mesh: &Mesh) -> Result<Host> {
    stage::fresh()?;
    sh("ip address add 2001:db8::1/128 dev lo nodad")?;
    let mut host = Host::open()?;
    host.apply(&mesh.spec)?;
    Ok(host)
}

/// The mesh, if this kernel can have one.
fn mesh(peers: usize) -> Result<Mesh> {
    needs_esp()?;
    Mesh::of(peers)
}

fn floor(peers: usize, with_questions: bool) -> Result<Round> {
    let mesh = mesh(peers)?;
    let mut host = member(&mesh)?;
    let recorder = Recorder::of(&mut host);
    for step in mesh.steps()? {
        ensure!(host.rekey(&step)?.is_whole(), "{} was refused", step.act);
    }
    let mut recording = recorder.take()?;
    drop(host);
    stage::leave()?;
    if !with_questions {
        recording = recording.only(false);
    }
    Ok(Box::new(move |meter| {
        let mut host = member(&mesh)?;
        let mut floor = Floor::ready(recording.clone())?;
        meter.once(|| floor.run())?;
        mesh.check(&mut host)?;
        drop((host, floor));
        stage::leave()
    }))
}

fn guestnet(peers: usize) -> Result<Round> {
    let mesh = mesh(peers)?;
    let steps = mesh.steps()?;
    Ok(Box::new(move |meter| {
        let mut host = member(&mesh)?;
        meter.once(|| {
            steps.iter().try_for_each(|step| {
                ensure!(host.rekey(step)?.is_whole(), "{} was refused", step.act);
                Ok(())
            })
        })?;
        mesh.check(&mut host)?;
        drop(host);
        stage::leave()
    }))
}

/// A process for each act.
fn command(peers: usize) -> Result<Round> {
    let mesh = mesh(peers)?;
    let files = ["/run/inbound.json", "/run/outbound.json", "/run/drain.json"];
    files.iter().zip(&mesh.steps).try_for_each(|(file, step)| std::fs::write(file, step))?;
    Ok(Box::new(move |meter| {
        let mut host = member(&mesh)?;
        meter.of_processes().once(|| {
            files.iter().try_for_each(|file| ip::run(&mut whole::guestnet_command("rekey", file)?, ""))
        })?;
        mesh.check(&mut host)?;
        drop(host);
        stage::leave()
    }))
}

/// A process of `ip` for each act.
fn batches(peers: usize) -> Result<Round> {
    let mesh = mesh(peers)?;
    let acts = mesh.lines()?.map(|lines| lines.join("\n") + "\n");
    Ok(Box::new(move |meter| {
        let mut host = member(&mesh)?;
        meter.of_processes().once(|| acts.iter().try_for_each(|act| batch(act)))?;
        mesh.check(&mut host)?;
        drop(host);
        stage::leave()
    }))
}

fn batch(lines: &str) -> Result<()> {
    ip::run(Command::new("ip").args(["-batch", "-"]), lines)
}

fn one_by_one(lines: &[String]) -> Result<()> {
    lines.iter().try_for_each(|line| ip::run(Command::new("ip").args(line.split_whitespace()), ""))
}

fn processes(peers: usize) -> Result<Round> {
    let mesh = mesh(peers)?;
    let lines = mesh.lines()?.concat();
    Ok(Box::new(move |meter| {
        let mut host = member(&mesh)?;
        meter.of_processes().once(|| one_by_one(&lines))?;
        meter.note(format!("{} processes", lines.len()));
        mesh.check(&mut host)?;
        drop(host);
        stage::leave()
    }))
}

/// The policy for guest `n`, which leads to a state of its own.
fn policy(n: usize, generation: usize) -> Result<Policy> {
    let spi: Spi =
        format!("{:#010x}", 0x1000 + 2 * n + generation).parse().map_err(|e| anyhow::anyhow!("{e}"))?;
    let selector = Selector::new(IpAddr::from(public(0)).into(), IpAddr::from(private(n)).into());
    let mut template = Template::tunnel(host(1), host(2), 0x6700_0000);
    template.spi = Some(spi);
    Ok(Policy::through(selector, Direction::Out, template))
}

/// What gives each of `count` policies its new SPI.
fn new_spis(count: usize) -> Result<Vec<Change<Policy>>> {
    (0..count).map(|n| Ok(Change::Replace { old: policy(n, 0)?, new: policy(n, 1)? })).collect()
}

/// A fresh namespace with `count` policies, in which `work` gives each of them its new SPI. Fresh for each round: to search
/// them costs up to twice as much in one namespace as in the next, for as long as it lasts.
fn pinned(count: usize, work: impl FnOnce(&mut Namespace) -> Result<()>) -> Result<()> {
    stage::bare()?;
    let mut namespace = Namespace::current()?;
    let old = (0..count).map(|n| Ok(Change::Create(policy(n, 0)?))).collect::<Result<Vec<_>>>()?;
    send(&mut namespace, &old)?;
    // By itself the kernel's hash grows sooner for one than for another, and whoever searches longer seems slower.
    Spd::grow(&mut namespace)?;
    work(&mut namespace)?;
    has_new_spi(count)?;
    drop(namespace);
    stage::leave()
}

fn policies_floor(count: usize) -> Result<Round> {
    let mut recording = None;
    pinned(count, |namespace| {
        let recorder = Recorder::of_namespace(namespace);
        send(namespace, &new_spis(count)?)?;
        recording = Some(recorder.take()?);
        Ok(())
    })?;
    let recording = recording.context("nothing was recorded")?;
    Ok(Box::new(move |meter| {
        pinned(count, |_| {
            let mut floor = Floor::ready(recording.clone())?;
            meter.once(|| floor.run())
        })
    }))
}

fn policies_guestnet(count: usize) -> Result<Round> {
    let new = new_spis(count)?;
    Ok(Box::new(move |meter| pinned(count, |namespace| meter.once(|| send(namespace, &new)))))
}

fn policy_lines(count: usize) -> Result<Vec<String>> {
    (0..count)
        .map(|n| Ok(policy(n, 1)?.to_ip()["ip ".len()..].replace("policy add", "policy update")))
        .collect()
}

fn policies_batch(count: usize) -> Result<Round> {
    let lines = policy_lines(count)?.join("\n") + "\n";
    Ok(Box::new(move |meter| pinned(count, |_| meter.of_processes().once(|| batch(&lines)))))
}

fn policies_processes(count: usize) -> Result<Round> {
    let lines = policy_lines(count)?;
    Ok(Box::new(move |meter| pinned(count, |_| meter.of_processes().once(|| one_by_one(&lines)))))
}

/// Whether the last policy leads to its new state, as `ip` sees it.
fn has_new_spi(count: usize) -> Result<()> {
    let shown = sh("ip xfrm policy")?;
    let spi = format!("spi {:#010x}", 0x1000 + 2 * (count - 1) + 1);
    ensure!(shown.contains(&spi), "no policy has {spi}");
    Ok(())
}
