//! A guest's interface under another name: 1.6. Rules know guests by these names.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use guestnet_lab::craft::mark;
use guestnet_lab::sh;

use crate::net::Placement;
use crate::net::Who::{self, A, B, Far};
use crate::world::World;

/// How many frames are sent to nobody.
const LOST: usize = 20;

/// Sends from and to guest A, renames its interface, and sends again.
pub fn run(placement: Placement) -> Result<()> {
    let mut world = World::make(placement)?;
    world.filter()?;
    world.announce()?;
    let mut number = 0;
    let ways = [(A, Far), (Far, A), (A, B), (B, A)];
    for (from, to) in ways {
        let start = Instant::now();
        while !comes_out(&world, from, to, &mut number)? {
            ensure!(start.elapsed() < Duration::from_secs(20), "nothing comes from {from} to {to}");
        }
    }
    sh("ip link set tapa down && ip link set tapa name else0 && ip link set else0 up")?;
    // A bridge with a spanning tree lets a port speak after some seconds.
    let (start, before) = (Instant::now(), dropped(&mut world)?);
    while dropped(&mut world)? - before < LOST {
        ensure!(start.elapsed() < Duration::from_secs(20), "what guest A sends is not dropped by 1.6");
        ensure!(!comes_out(&world, A, Far, &mut number)?, "from {A} by the name else0");
    }
    for (from, to) in ways.repeat(LOST) {
        ensure!(!comes_out(&world, from, to, &mut number)?, "from {from} to {to}, by the name else0");
    }
    Ok(())
}

/// How many packets and frames were dropped because a link is under another name.
fn dropped(world: &mut World) -> Result<usize> {
    Ok(world.drops()?.get("1.6").copied().unwrap_or_default() as usize)
}

/// Whether a frame from the one to the other comes out there.
fn comes_out(world: &World, from: Who, to: Who, number: &mut u16) -> Result<bool> {
    *number += 1;
    let mut frame = world.net.udp4(from, to, 4000);
    mark::stamp(&mut frame, *number);
    let mark = mark::of_frame(&frame);
    world.send(from, &frame)?;
    std::thread::sleep(Duration::from_millis(20));
    Ok(world.seen().into_iter().any(|(place, seen)| place == to && Some(seen) == mark))
}
