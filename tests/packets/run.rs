//! Sending all cases, and judging what came out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use guestnet_lab::craft::mark::{self, Mark};

use crate::case::{Case, Shot};
use crate::net::{ALL, Placement, Who};
use crate::world::World;
use crate::{corpus, explain};

/// Instead of a paragraph: the kernel keeps fragments to itself until it has all of a packet, where connections are known.
const UNFINISHED: &str = "unfinished";

/// Sends everything and remembers what came out.
struct Range<'a> {
    world: &'a World,
    seen: BTreeSet<(Who, Mark)>,
    number: u16,
}

impl<'a> Range<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, seen: BTreeSet::new(), number: 0 }
    }

    fn look(&mut self) {
        let net = &self.world.net;
        self.seen.extend(self.world.seen().into_iter().map(|(who, mark)| (who, net.untranslated(mark))));
    }

    /// Sends `shot`; the number that it is known by.
    fn fire(&mut self, shot: &Shot) -> Result<u16> {
        for (who, frame) in &shot.before {
            self.number += 1;
            let mut frame = frame.clone();
            mark::stamp(&mut frame, self.number);
            self.world.send(*who, &frame)?;
            self.look();
        }
        self.number += 1;
        for frame in &shot.frames {
            let mut frame = frame.clone();
            mark::stamp(&mut frame, self.number);
            self.world.send(shot.from, &frame)?;
            self.look();
        }
        Ok(self.number)
    }

    /// Where else than at its sender a shot came out.
    fn places(&self, shot: &Shot, number: u16) -> Vec<Who> {
        let mut sent = shot.frames[0].clone();
        mark::stamp(&mut sent, number);
        let Some(mark) = mark::of_frame(&sent).map(|mark| self.world.net.untranslated(mark)) else {
            return Vec::new();
        };
        let came_out = |who: &Who| self.seen.contains(&(*who, mark));
        ALL.into_iter().filter(|who| *who != shot.from && came_out(who)).collect()
    }

    /// Waits until what passes has come out wherever something should: then what was sent before has, too.
    fn settle(&mut self, cases: &[Case]) -> Result<()> {
        let mut last = std::collections::BTreeMap::new();
        for case in cases {
            last.entry(case.to).or_insert(case);
        }
        for (place, case) in last {
            let start = Instant::now();
            loop {
                let number = self.fire(&case.good)?;
                std::thread::sleep(Duration::from_millis(20));
                self.look();
                if self.places(&case.good, number).contains(&place) {
                    break;
                }
                ensure!(
                    start.elapsed() < self.world.patience,
                    "{place} gets nothing, not even {}",
                    case.name
                );
            }
        }
        Ok(())
    }
}

/// Judges all cases of `placement`.
pub fn run(placement: Placement) -> Result<()> {
    let mut world = World::make(placement)?;
    let cases = corpus::cases(&world.net);
    let twins: usize = cases.iter().map(|case| case.drops.len()).sum();
    let wrong = without_a_filter(&world, &cases)?;
    println!(
        "{placement:?}, without a filter: {} frames and {twins} twins, {} wrong",
        cases.len(),
        wrong.len()
    );
    report(&wrong, "without a filter")?;

    world.filter()?;
    world.tunnels()?;
    // Frames are made anew: a connection of before would be known.
    let cases = corpus::cases(&world.net);
    let wrong = with_the_filter(&mut world, &cases)?;
    println!(
        "{placement:?}, with the filter: {} frames and {twins} twins, {} wrong",
        cases.len(),
        wrong.len()
    );
    report(&wrong, "with the filter")?;

    let (asked, wrong) = explained(&world, &cases)?;
    println!("{placement:?}, explained: {asked} frames, {} wrong", wrong.len());
    if asked == 0 {
        bail!("explain was asked about nothing");
    }
    report(&wrong, "explained")
}

/// What `guestnet explain` says is what was seen, of all frames that its words can say.
fn explained(world: &World, cases: &[Case]) -> Result<(usize, Vec<String>)> {
    let spec = world.spec()?;
    let (mut asked, mut wrong) = (0, Vec::new());
    for case in cases {
        let bad = case.drops.iter().map(|twin| (&twin.shot, twin.to.unwrap_or(case.to), false));
        for (shot, place, passes) in std::iter::once((&case.good, case.to, true)).chain(bad) {
            let Some(words) = explain::words(&world.net, shot, place) else { continue };
            asked += 1;
            let text = &words.text;
            match spec.explain(text) {
                Ok(said) if (said.passes != words.is_so(&said.unknown)) == passes => {}
                Ok(said) => wrong.push(format!("{text}: passes: {passes}, but {said}")),
                Err(refused) => wrong.push(format!("{text}: {refused}")),
            }
        }
    }
    Ok((asked, wrong))
}

/// Prints what went wrong, and fails if anything did.
pub fn report(wrong: &[String], when: &str) -> Result<()> {
    for line in wrong {
        println!("  {line}");
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{} of the frames went wrong {when}", wrong.len()) }
}

/// All frames come out: they are well made, and the lab carries them.
fn without_a_filter(world: &World, cases: &[Case]) -> Result<Vec<String>> {
    let mut range = Range::new(world);
    range.settle(cases)?;
    let mut fired = Vec::new();
    for case in cases {
        fired.push((case, range.fire(&case.good)?, None));
        for twin in &case.drops {
            fired.push((case, range.fire(&twin.shot)?, Some(twin)));
        }
    }
    range.settle(cases)?;
    let mut wrong = Vec::new();
    for (case, number, twin) in fired {
        let shot = twin.map_or(&case.good, |twin| &twin.shot);
        let place = twin.and_then(|twin| twin.to).unwrap_or(case.to);
        let came_out = range.places(shot, number);
        let detail = twin.map(|twin| format!(" but {}", twin.detail)).unwrap_or_default();
        match (came_out.contains(&place), twin.and_then(|twin| twin.unseen)) {
            (true, None) | (false, Some(_)) => {}
            (false, None) => wrong.push(format!(
                "{}: {}{detail}: did not come out at {place}, but at {came_out:?}",
                case.paragraph, case.name
            )),
            (true, Some(reason)) => wrong.push(format!(
                "{}: {}{detail}: came out at {place}, which was not thought possible: {reason}",
                case.paragraph, case.name
            )),
        }
    }
    Ok(wrong)
}

/// What has to pass comes out, and of the twins nothing, anywhere; and the paragraph that dropped each has counted it.
pub fn with_the_filter(world: &mut World, cases: &[Case]) -> Result<Vec<String>> {
    Range::new(world).settle(cases)?;
    world.announce()?;
    let mut seen = BTreeSet::new();
    let (mut number, mut counts, mut fired) = (0, world.drops()?, Vec::new());
    for case in cases {
        for twin in std::iter::once(None).chain(case.drops.iter().map(Some)) {
            let shot = twin.map_or(&case.good, |twin| &twin.shot);
            let is_unfinished = twin.is_some_and(|twin| twin.paragraph.contains(UNFINISHED));
            // A bridge's own hello, which a guest does not get, may be counted at the same moment: not three times.
            let attempts = if is_unfinished { 3 } else { 1 };
            let (mut mark, mut rose) = (0, Vec::new());
            for _ in 0..attempts {
                let mut range = Range { world, seen, number };
                mark = range.fire(shot)?;
                (seen, number) = (range.seen, range.number);
                let now = world.drops()?;
                let risen = now.iter().filter(|(paragraph, count)| counts.get(*paragraph) != Some(count));
                rose = risen.map(|(paragraph, _)| paragraph.clone()).collect();
                counts = now;
                if rose.is_empty() {
                    break;
                }
            }
            fired.push((case, twin, mark, rose));
        }
    }
    let mut range = Range { world, seen, number };
    range.settle(cases)?;
    let mut wrong = Vec::new();
    for (case, twin, mark, rose) in fired {
        let name = &case.name;
        let Some(twin) = twin else {
            let came_out = range.places(&case.good, mark);
            if !came_out.contains(&case.to) {
                wrong.push(format!("{}: {name}: should pass, and was dropped by {rose:?}", case.paragraph));
            }
            for place in case.never.iter().filter(|place| came_out.contains(place)) {
                wrong.push(format!("{}: {name}: came out at {place}", case.paragraph));
            }
            continue;
        };
        let (paragraph, detail) = (twin.paragraph, &twin.detail);
        let came_out = range.places(&twin.shot, mark);
        if !came_out.is_empty() {
            wrong.push(format!(
                "{paragraph}: {name} but {detail}: should be dropped, and came out at {came_out:?}"
            ));
            continue;
        }
        let excused = twin.unseen.is_some() || rose.is_empty() && paragraph.contains(UNFINISHED);
        if !excused && !rose.iter().any(|rose| paragraph.split(' ').any(|one| one == rose)) {
            wrong.push(format!("{paragraph}: {name} but {detail}: was dropped by {rose:?}"));
        }
    }
    Ok(wrong)
}
