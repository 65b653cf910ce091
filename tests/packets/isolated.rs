//! Isolated ports of a bridge, and the host as a way around them: 6.11.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use guestnet_lab::craft::ethernet;
use guestnet_lab::craft::mark;
use guestnet_lab::sh;

use crate::net::Placement;
use crate::net::Who::{A, B, C, Far};
use crate::world::World;

/// How many frames are sent to nobody.
const LOST: usize = 20;

/// Isolates the ports of all guests: no frame passes between them, and what the host routes their lists decide.
pub fn run(placement: Placement) -> Result<()> {
    let mut world = World::make(placement)?;
    world.filter()?;
    world.announce()?;
    let host = world.net.next_hop(A, Far);
    let mut number = 0;
    let mut comes_out = |to, port: u16, by_host: bool| -> Result<bool> {
        number += 1;
        let mut frame = world.net.udp4(A, to, port);
        if by_host {
            frame = ethernet::to(&frame, host);
        }
        mark::stamp(&mut frame, number);
        let mark = mark::of_frame(&frame);
        world.send(A, &frame)?;
        std::thread::sleep(Duration::from_millis(20));
        Ok(world.seen().into_iter().any(|(place, seen)| place == to && Some(seen) == mark))
    };
    for by_host in [false, true] {
        let start = Instant::now();
        while !comes_out(B, 4000, by_host)? {
            ensure!(
                start.elapsed() < Duration::from_secs(20),
                "nothing comes to {B}, by the host: {by_host}"
            );
        }
    }
    sh("for tap in tapa tapb tapc; do bridge link set dev $tap isolated on; done")?;
    for _ in 0..LOST {
        ensure!(!comes_out(B, 4000, false)?, "a frame passes between isolated ports");
        ensure!(!comes_out(B, 4050, true)?, "by the host passes what an entry denies");
        ensure!(!comes_out(C, 4000, true)?, "by the host passes what no entry fits");
    }
    ensure!(comes_out(B, 4000, true)?, "the host has ceased to route");
    Ok(())
}
