//! The example's control plane, and what a round costs: one send of changes to a namespace and act, two where policies
//! change too.

use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use guestnet::Deed;
use guestnet_lab::{Capability, lab_test, need};

use crate::world::World;

#[path = "../../examples/rekey.rs"]
pub mod example;

lab_test! {
    fn the_control_plane_of_the_example_rekeys_and_a_round_is_few_messages() -> Result<()> {
        need(Capability::Esp);
        let mut world = World::make()?;
        let orders = [world.order(0), world.order(1)];
        ensure!(example::round(&mut world.hosts, &orders)? == 1);
        ensure!(world.observe(0)?.newest() == Some(1) && world.observe(1)?.newest() == Some(1));

        let cost = Arc::new(Mutex::new((0_usize, 0_usize)));
        for host in &mut world.hosts {
            let cost = Arc::clone(&cost);
            host.watch(move |act| {
                if let Deed::Ask(_, datagram) | Deed::Send(_, datagram) = act.deed {
                    let mut cost = cost.lock().expect("nobody panics with it");
                    *cost = (cost.0 + 1, cost.1 + datagram.bytes().len());
                }
            });
        }
        ensure!(example::round(&mut world.hosts, &orders)? == 2);
        let (sends, bytes) = *cost.lock().expect("nobody panics with it");
        // At each end four acts with two dumps each, and four sends of changes.
        ensure!(sends <= 2 * (4 * 2 + 4), "{sends} datagrams, {bytes} bytes");
        Ok(())
    }
}
