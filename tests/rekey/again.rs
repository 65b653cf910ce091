//! The same generation a second time: states are gone, and an apply makes them again under the same keys. What that means
//! for the packets, and that a new generation mends it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet_lab::{Capability, Frame, lab_test, need, wait_until};

use crate::closed::{arrives, listen};
use crate::cost::example;
use crate::world::World;

const IPV6: usize = 1;

/// SPI, sequence number and IV of each packet of ESP in IPv6 (RFC 4106 section 3).
fn initial_vectors(frames: &[Frame]) -> BTreeMap<(u32, u32), u64> {
    let of = |frame: &&Frame| frame.is_esp();
    let read = |frame: &Frame| {
        let (spi, rest) = frame.payload().get(40..)?.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (iv, _) = rest.split_first_chunk()?;
        let key = (u32::from_be_bytes(*spi), u32::from_be_bytes(*sequence));
        Some((key, u64::from_be_bytes(*iv)))
    };
    frames.iter().filter(of).filter_map(read).collect()
}

lab_test! {
    fn states_made_again_under_the_same_keys_are_warned_of_and_a_new_generation_mends_them() -> Result<()> {
        need(Capability::Esp);
        let mut world = World::make()?;
        let sockets = [listen(&world, 0, IPV6)?, listen(&world, 1, IPV6)?];
        let sent = |world: &World, from: usize| {
            arrives(world.guest(from), world.addresses(from)[IPV6], &sockets[1 - from])
        };
        let fabric = world.capture()?;
        for _ in 0..3 {
            ensure!(sent(&world, 0)? && sent(&world, 1)?);
        }
        let before = fabric.stop();
        let spec = world.spec(0)?;
        ensure!(world.hosts[0].plan(&spec)?.warnings().is_empty());

        world.inside(0)?.ip("xfrm state flush")?;
        let warnings = world.hosts[0].plan(&spec)?.warnings().join("\n");
        ensure!(warnings.contains("new generation"), "{warnings}");
        ensure!(world.apply(0)? > 0);
        let fabric = world.capture()?;
        ensure!(!sent(&world, 0)?, "the other end has seen these sequence numbers");
        let after = fabric.stop();
        // No nonce is used twice all the same: the kernel begins at another place for each state.
        let (before_ivs, after_ivs) = (initial_vectors(&before), initial_vectors(&after));
        let both = after_ivs.iter().filter_map(|(packet, iv)| Some((iv, before_ivs.get(packet)?)));
        ensure!(both.clone().count() > 0, "nothing was counted from the start again");
        ensure!(both.into_iter().all(|(after, before)| after != before), "the IVs are the same");
        // Packets to this end, as somebody has recorded them, are taken a second time.
        let to_here = world.hardware_address(0)?;
        let recorded = before.iter().find(|frame| frame.is_esp() && frame.destination() == Some(to_here));
        let recorded = recorded.context("a packet to the first host")?;
        world.send_frame(1, recorded)?;
        ensure!(sockets[0].recv(&mut [0; 64]).is_ok(), "it is not as docs/rekey.md has it");

        let orders = [world.order(0), world.order(1)];
        ensure!(example::round(&mut world.hosts, &orders)? == 1);
        ensure!(sent(&world, 0)? && sent(&world, 1)?);
        wait_until("the old states drain", Duration::from_secs(20), || {
            world.states(0).is_ok_and(|states| states.len() == 2)
        })?;
        world.send_frame(1, recorded)?;
        ensure!(sockets[0].recv(&mut [0; 64]).is_err(), "a recorded packet is taken");
        ensure!(world.hosts[0].plan(&spec)?.is_empty());
        Ok(())
    }
}
