//! One guest provisioned, as in the first seed: a namespace, a pair, a tap, addresses of both families, routes, sysctls,
//! translation, a proxied neighbour.

use anyhow::Result;
use guestnet::HostSpec;

use crate::goal::{Goal, Most};
use crate::job::{Contestant, Job, Round, Sizes};
use crate::meter::Meter;
use crate::{guests, ip, pyroute2, seed, stage};

use super::whole;

pub fn job() -> Job {
    Job {
        name: "one-guest",
        what: "one guest provisioned on an empty host, as in the first seed",
        sizes: Sizes { whole: &[(1, 20)], quick: &[(1, 3)] },
        growth: None,
        contestants: vec![
            Contestant::new("floor", |_| whole::floor(guests::seed()?, false).map(on_several)),
            Contestant::new("floor and questions", |_| whole::floor(guests::seed()?, true).map(on_several)),
            Contestant::new("guestnet", |_| whole::guestnet(guests::seed()?).map(on_several)),
            Contestant::new("guestnet, the command", |_| whole::command(guests::seed()?).map(on_several)),
            Contestant::new("ip -batch, nft -f", |_| whole::batches(guests::seed()?)),
            Contestant::new("pyroute2, nft -f", |_| with_pyroute2(guests::seed()?)),
            Contestant::new("a process an object", |_| whole::processes(guests::seed()?)),
            Contestant::new("the seed's processes", |_| Ok(Box::new(as_the_seed))),
        ],
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Times(1.25), from: 0 }],
    }
}

/// How many hosts get the guest in one round, one after another: it takes so little time that one says nothing.
const HOSTS: usize = 5;

fn on_several(mut round: Round) -> Round {
    Box::new(move |meter| (0..HOSTS).try_for_each(|_| round(meter)))
}

fn with_pyroute2(spec: HostSpec) -> Result<Round> {
    let python = pyroute2::find()?;
    let lines = ip::lines(&guestnet::render(&spec.objects()?))?;
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        let meter = meter.of_processes();
        let warm = pyroute2::Warm::start(&python, &lines)?;
        meter.once(|| warm.work())?;
        stage::leave()
    }))
}

fn as_the_seed(meter: &mut Meter) -> Result<()> {
    stage::fresh()?;
    seed::prepare()?;
    let count = meter.of_processes().once(seed::provision)?;
    meter.note(format!("{count} processes"));
    stage::leave()
}
