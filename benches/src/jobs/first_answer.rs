//! From the return of an apply to the first answer that a guest's namespace gets: done means that a packet passes.
//!
//! The host is bare, so both ends of the first pair have the same index, and the kernel takes the news of their carriers for
//! something that has a second's time (`net/core/link_watch.c`).

use anyhow::{Context, Result, ensure};
use guestnet::{Host, HostSpec};
use guestnet_lab::{Echoed, Netns, ping_of_size, sh};

use crate::goal::{Goal, Most};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::meter::Meter;
use crate::{guests, ip, stage};

/// An address of the host.
const HOST: &str = "2001:db8:ff::1";

/// An address of the guest's namespace itself.
const ENDPOINT: &str = "2001:db8:1::a1";

/// How many echo requests may get no answer, each for a second: what takes longer than one is measured in whole seconds.
const TRIES: usize = 5;

pub fn job() -> Job {
    Job {
        name: "first-answer",
        what: "the first answer that a guest's namespace gets, from the return of the apply that made it on a bare host",
        sizes: Sizes { whole: &[(1, 20)], quick: &[(1, 3)] },
        growth: None,
        contestants: vec![
            Contestant::new("the second answer", |_| {
                after(apply, |meter, netns| {
                    answer(netns)?;
                    meter.once(|| answer(netns))
                })
            }),
            Contestant::new("guestnet", |_| after(apply, |meter, netns| meter.once(|| answer(netns)))),
            Contestant::new("ip -batch, nft -f", |_| {
                after(in_batches, |meter, netns| meter.once(|| answer(netns)))
            }),
        ],
        goals: vec![Goal { who: "guestnet", with: "the second answer", most: Most::Longer(5e6), from: 0 }],
    }
}

/// A round that makes a guest in a namespace of its own by `make`, and measures what comes then.
fn after(
    make: impl Fn(&HostSpec) -> Result<()> + 'static,
    measure: impl Fn(&mut Meter, &Netns) -> Result<()> + 'static,
) -> Result<Round> {
    let mut spec = guests::json(1, guests::Place::Own);
    spec["guests"][0]["endpoint"] = ENDPOINT.into();
    let spec = HostSpec::from_json(&spec.to_string())?;
    let name = spec.guests.first().context("a guest")?.name.to_string();
    Ok(Box::new(move |meter| {
        stage::bare()?;
        sh(&format!("ip address add {HOST}/128 dev lo"))?;
        make(&spec)?;
        measure(meter, &Netns::open(&name)?)?;
        stage::leave()
    }))
}

fn apply(spec: &HostSpec) -> Result<()> {
    ensure!(Host::open()?.apply(spec)?.changes > 0, "nothing was made");
    Ok(())
}

fn in_batches(spec: &HostSpec) -> Result<()> {
    ip::in_batches(&ip::batches(&ip::lines(&guestnet::render(&spec.objects()?))?))
}

fn answer(netns: &Netns) -> Result<()> {
    let host = HOST.parse()?;
    for _ in 0..TRIES {
        if ping_of_size(netns, None, host, 84)? == Echoed::Reply {
            return Ok(());
        }
    }
    anyhow::bail!("no answer in {TRIES} s")
}
