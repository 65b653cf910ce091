//! Rekeying under traffic, on a kernel with ESP: a hundred rounds in a row under steady streams of numbered packets, by
//! a control plane that is slow, repeats itself, delivers what is long outdated, and dies.

mod again;
mod chance;
mod closed;
mod control_plane;
mod cost;
mod interop;
mod line;
mod mesh;
mod reboot;
mod refused;
mod streams;
mod world;

use std::time::Duration;

use anyhow::{Result, ensure};
use guestnet_lab::{Capability, lab_test, need, wait_until};

use chance::Chance;
use control_plane::ControlPlane;
use streams::Streams;
use world::World;

lab_test! {
    fn a_hundred_rekeys_beside_others_lose_nothing_double_nothing_and_show_nothing() -> Result<()> {
        need(Capability::Esp);
        const ROUNDS: [u32; 4] = [100, 20, 20, 20];
        let mut world = World::with(ROUNDS.len())?;
        let fabric = world.capture()?;
        let streams = Streams::start(&world)?;
        let mut plane = ControlPlane::new(&mut world, Chance(0x5eed));
        plane.take_to(&ROUNDS)?;
        let ControlPlane { deaths, refused, alone, together, .. } = plane;
        ensure!([deaths, refused, alone, together].iter().all(|number| *number >= 10), "not enough of a test: {alone} steps of one tunnel, {together} of several, {deaths} deaths, {refused} late steps refused");
        let numbers = streams.stop()?;
        ensure!(numbers > 1000, "{numbers} packets are no stream");
        world.nothing_in_clear(&fabric.stop())?;

        for end in [0, 1] {
            wait_until("the old states drain", Duration::from_secs(20), || {
                world.states(end).is_ok_and(|states| states.len() == 2 * ROUNDS.len())
            })?;
            ensure!(world.states(end)? == world.expected_states(end, &ROUNDS)?);
            ensure!(world.apply(end)? == 0);
        }
        Ok(())
    }
}
