//! Rekeying under traffic, on a kernel with ESP: a hundred rounds in a row under steady streams of numbered packets, by
//! a control plane that is slow, repeats itself, delivers what is long outdated, and dies.

mod closed;
mod cost;
mod interop;
mod streams;
mod world;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet::rekey::{Act, Standing};
use guestnet_lab::{Capability, lab_test, need, wait_until};

use streams::Streams;
use world::{Chance, World};

/// What the control plane knows, until it dies.
#[derive(Default)]
struct Memory {
    /// How each end stood when it last answered.
    standings: [Option<Standing>; 2],
}

struct ControlPlane<'a> {
    world: &'a mut World,
    chance: Chance,
    memory: Memory,
    /// Steps that were sent, to be delivered once more when nobody expects them.
    sent: Vec<(usize, Act, String)>,
    deaths: usize,
    refused: usize,
}

impl ControlPlane<'_> {
    /// What a round that was begun, by whoever, is about: the generation to go to.
    fn look(&mut self) -> Result<u32> {
        let standings = [self.world.observe(0)?, self.world.observe(1)?];
        let newest =
            standings.iter().filter_map(Standing::newest).max().context("there is no state at all")?;
        let done = standings.iter().all(|standing| {
            let uses = standing.outbound.iter().any(|held| held.used && held.generation == newest);
            let rest =
                standing.inbound.iter().chain(&standing.outbound).filter(|held| held.generation < newest);
            uses && rest.into_iter().all(|held| held.until.is_some())
        });
        Ok(if done { newest + 1 } else { newest })
    }

    /// Goes on with whatever there is to do, and dies on the way or comes to the end of a round.
    fn live(&mut self) -> Result<()> {
        self.memory = Memory::default();
        let generation = self.look()?;
        for act in [Act::Inbound, Act::Outbound, Act::Drain] {
            let first = self.chance.below(2);
            for end in [first, 1 - first] {
                if self.chance.one_in(12) {
                    self.deaths += 1;
                    return Ok(());
                }
                self.trouble()?;
                let peer = if act == Act::Inbound { None } else { self.memory.standings[1 - end].clone() };
                let step = self.world.step(end, act, generation, peer.as_ref());
                for _ in 0..=usize::from(self.chance.one_in(3)) {
                    let standing = self.world.send(end, &step)?;
                    ensure!(
                        standing.refused.is_none(),
                        "{act} {generation} at {end}: {:?}",
                        standing.refused
                    );
                    self.memory.standings[end] = Some(standing);
                }
                self.sent.push((end, act, step));
            }
        }
        Ok(())
    }

    /// What goes wrong between two steps.
    fn trouble(&mut self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(self.chance.below(4) as u64));
        if !self.sent.is_empty() && self.chance.one_in(5) {
            let (end, _, step) = self.sent[self.chance.below(self.sent.len())].clone();
            self.refused += usize::from(self.world.send(end, &step)?.refused.is_some());
        }
        if self.chance.one_in(20) {
            self.world.open_again(self.chance.below(2))?;
        }
        if self.chance.one_in(20) {
            let end = self.chance.below(2);
            ensure!(self.world.apply(end)? == 0, "the spec finds nothing to do, whatever round it is");
        }
        Ok(())
    }
}

lab_test! {
    fn a_hundred_rekeys_lose_nothing_double_nothing_and_show_nothing() -> Result<()> {
        need(Capability::Esp);
        const ROUNDS: u32 = 100;
        let mut world = World::make()?;
        let fabric = world.capture()?;
        let streams = Streams::start(&world)?;
        let chance = Chance(0x5eed);
        let began = std::time::Instant::now();
        let mut plane = ControlPlane {
            world: &mut world, chance, memory: Memory::default(), sent: Vec::new(), deaths: 0, refused: 0,
        };
        while plane.look()? <= ROUNDS {
            plane.live()?;
        }
        let (deaths, refused) = (plane.deaths, plane.refused);
        ensure!(deaths > 10 && refused > 10, "{deaths} deaths and {refused} refusals are not enough of a test");
        let numbers = streams.stop()?;
        eprintln!("{ROUNDS} rounds, {deaths} deaths, {refused} late steps refused, {numbers} packets, {:?}", began.elapsed());
        ensure!(numbers > 1000, "{numbers} packets are no stream");
        world.nothing_in_clear(&fabric.stop())?;

        for end in [0, 1] {
            wait_until("the old states drain", Duration::from_secs(20), || {
                world.states(end).is_ok_and(|states| states.len() == 2)
            })?;
            ensure!(world.states(end)? == world.expected_states(end, ROUNDS)?);
            ensure!(world.apply(end)? == 0);
        }
        Ok(())
    }
}
