//! A guest that leaves the host while the others stay: what was its own is not judged as its own any more.

use anyhow::Result;

use crate::corpus;
use crate::net::{Placement, Who};
use crate::run::{report, with_the_filter};
use crate::world::World;

/// Takes guest A away, and judges what is left.
pub fn run(placement: Placement) -> Result<()> {
    let mut world = World::make(placement)?;
    world.filter()?;
    // While it is there, all comes out that has to.
    let cases = corpus::cases(&world.net);
    let wrong = with_the_filter(&mut world, &cases[..1])?;
    report(&wrong, "before a guest left")?;
    world.leave(Who::A)?;
    let cases = corpus::left(&world.net);
    let twins: usize = cases.iter().map(|case| case.drops.len()).sum();
    let wrong = with_the_filter(&mut world, &cases)?;
    println!(
        "{placement:?}, when a guest has left: {} frames and {twins} twins, {} wrong",
        cases.len(),
        wrong.len()
    );
    report(&wrong, "when a guest had left")
}
