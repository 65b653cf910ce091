//! A control plane for several tunnels at once: each is at its own place, some are stepped together and some alone, and
//! whoever runs it is slow, repeats himself, delivers what is long outdated, and dies.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet::rekey::{Act, Standing};

use crate::chance::Chance;
use crate::world::{World, step, with_peer};

/// Where one tunnel is.
struct Course {
    generation: u32,
    act: Act,
    /// How each end stood after the act before, and how those stand that have done this one.
    before: [Option<Standing>; 2],
    after: [Option<Standing>; 2],
}

impl Course {
    fn of(generation: u32) -> Self {
        Self { generation, act: Act::Inbound, before: [None, None], after: [None, None] }
    }

    /// Once both ends have done the act, the next one.
    fn go_on(&mut self) {
        if self.after.iter().all(Option::is_some) {
            self.before = std::mem::take(&mut self.after);
            match self.act {
                Act::Observe | Act::Inbound => self.act = Act::Outbound,
                Act::Outbound => self.act = Act::Drain,
                Act::Drain => *self = Self::of(self.generation + 1),
            }
        }
    }
}

pub struct ControlPlane<'a> {
    world: &'a mut World,
    chance: Chance,
    /// What it knows, until it dies.
    memory: Option<Vec<Course>>,
    /// Steps that were sent, to be delivered once more when nobody expects them.
    sent: Vec<(usize, String)>,
    pub deaths: usize,
    pub refused: usize,
    /// Steps about one tunnel, and about several.
    pub alone: usize,
    pub together: usize,
}

impl<'a> ControlPlane<'a> {
    pub fn new(world: &'a mut World, chance: Chance) -> Self {
        Self { world, chance, memory: None, sent: Vec::new(), deaths: 0, refused: 0, alone: 0, together: 0 }
    }

    /// Takes each tunnel to its generation, and ends in the middle of no round.
    pub fn take_to(&mut self, generations: &[u32]) -> Result<()> {
        loop {
            let mut courses = match self.memory.take() {
                Some(courses) => courses,
                None => self.look()?,
            };
            let open = |line: &usize| courses[*line].generation <= generations[*line];
            let open: Vec<usize> = (0..courses.len()).filter(open).collect();
            if open.is_empty() {
                return Ok(());
            }
            if self.chance.one_in(60) {
                self.deaths += 1;
                continue;
            }
            self.trouble()?;
            let end = self.chance.below(2);
            self.advance(&mut courses, &open, end)?;
            self.memory = Some(courses);
        }
    }

    /// What rounds were begun, by whoever, and are to be gone through again.
    fn look(&mut self) -> Result<Vec<Course>> {
        let standings = [self.world.observe_all(0)?, self.world.observe_all(1)?];
        let [here, there] = standings.each_ref().map(|standings| standings.iter());
        let generation = |ends: [&Standing; 2]| -> Result<u32> {
            let newest =
                ends.into_iter().filter_map(Standing::newest).max().context("there is no state at all")?;
            let done = ends.iter().all(|standing| {
                let uses = standing.outbound.iter().any(|held| held.used && held.generation == newest);
                let mut rest =
                    standing.inbound.iter().chain(&standing.outbound).filter(|held| held.generation < newest);
                uses && rest.all(|held| held.until.is_some())
            });
            Ok(if done { newest + 1 } else { newest })
        };
        here.zip(there).map(|(here, there)| generation([here, there]).map(Course::of)).collect()
    }

    /// An act at one end for one of the tunnels that wait for it there, or for all that do: the first most often.
    fn advance(&mut self, courses: &mut [Course], open: &[usize], end: usize) -> Result<()> {
        let wait = |line: &&usize| courses[**line].after[end].is_none();
        let waiting: Vec<usize> = open.iter().filter(wait).copied().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let one = if self.chance.one_in(2) { waiting[0] } else { waiting[self.chance.below(waiting.len())] };
        let act = courses[one].act;
        let lines: Vec<usize> = match self.chance.one_in(4) {
            true => vec![one],
            false => waiting.into_iter().filter(|line| courses[*line].act == act).collect(),
        };
        let order = |line: &usize| {
            let course = &courses[*line];
            let order = self.world.lines()[*line].order(end, course.generation);
            with_peer(order, course.before[1 - end].as_ref())
        };
        let step = step(act, lines.iter().map(order).collect());
        for _ in 0..=usize::from(self.chance.one_in(6)) {
            let standings = self.world.send_all(end, &step)?;
            ensure!(standings.len() == lines.len());
            for (line, standing) in lines.iter().zip(standings) {
                let refused = &standing.refused;
                ensure!(refused.is_none(), "{act} of the tunnel {line} at {end}: {refused:?}");
                courses[*line].after[end] = Some(standing);
            }
        }
        *(if lines.len() == 1 { &mut self.alone } else { &mut self.together }) += 1;
        lines.into_iter().for_each(|line| courses[line].go_on());
        self.sent.push((end, step));
        Ok(())
    }

    /// What goes wrong between two steps.
    fn trouble(&mut self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(self.chance.below(4) as u64));
        if !self.sent.is_empty() && self.chance.one_in(10) {
            let (end, step) = self.sent[self.chance.below(self.sent.len())].clone();
            let standings = self.world.send_all(end, &step)?;
            self.refused += usize::from(standings.iter().any(|standing| standing.refused.is_some()));
        }
        if self.chance.one_in(40) {
            self.world.open_again(self.chance.below(2))?;
        }
        if self.chance.one_in(40) {
            let end = self.chance.below(2);
            ensure!(self.world.apply(end)? == 0, "the spec finds nothing to do, whatever round it is");
        }
        Ok(())
    }
}
