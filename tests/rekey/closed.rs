//! What is for the other end's private prefixes leaves encrypted or not at all, and comes so: whatever becomes of states
//! and policies, at every moment.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use guestnet_lab::{Capability, Frame, Netns, lab_test, need};

use crate::streams::INSIDE;
use crate::world::World;

const PORT: u16 = 9000;

/// Packets for the other end's guest in both families: from the guest, and from its namespace, whose own address no
/// policy names.
fn pester(world: &World, end: usize) -> Result<()> {
    let inside = world.inside(end)?;
    let own: IpAddr = format!("2001:db8:{end}::a").parse()?;
    let send = |netns: &Netns, source: IpAddr, target: IpAddr| {
        // What is refused at once, because there is no way, is not sent either.
        let sent = netns
            .run(|| UdpSocket::bind((source, 0)).and_then(|socket| socket.send_to(INSIDE, (target, PORT))));
        drop(sent);
    };
    let targets = world.addresses(1 - end);
    for _ in 0..3 {
        for (source, target) in world.addresses(end).into_iter().zip(targets) {
            send(world.guest(end), source, target);
        }
        send(&inside, own, targets[1]);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn in_clear(world: &World, frames: &[Frame]) -> usize {
    let private = || world.addresses(0).into_iter().chain(world.addresses(1));
    frames.iter().filter(|frame| private().any(|address| frame.mentions(address))).count()
}

/// Whether a datagram that a guest of the other host sends to this one's arrives.
pub fn arrives(from: &Netns, source: IpAddr, socket: &UdpSocket) -> Result<bool> {
    let sending = from.run(|| UdpSocket::bind((source, 0)))?;
    sending.send_to(INSIDE, socket.local_addr()?)?;
    Ok(socket.recv_from(&mut [0; 64]).is_ok())
}

/// A socket of a guest in one of the families, that does not wait for long.
pub fn listen(world: &World, end: usize, family: usize) -> Result<UdpSocket> {
    let address = world.addresses(end)[family];
    let socket = world.guest(end).run(|| UdpSocket::bind((address, PORT)))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

lab_test! {
    fn nothing_leaves_in_clear_whatever_is_flushed() -> Result<()> {
        need(Capability::Esp);
        let mut world = World::make()?;
        let inside = world.inside(0)?;
        // The host itself would send on whatever comes, and the fabric would take it.
        world.lead_all_to_the_fabric()?;
        let fabric = world.capture()?;
        pester(&world, 0)?;
        for flush in ["state", "policy", "both"] {
            if flush != "policy" {
                inside.ip("xfrm state flush")?;
                pester(&world, 0)?;
            }
            if flush != "state" {
                inside.ip("xfrm policy flush")?;
                pester(&world, 0)?;
            }
            ensure!(world.apply(0)? > 0, "the apply repairs");
            pester(&world, 0)?;
        }
        // No tunnel, and one again: before its first state.
        world.apply_without_tunnels(0)?;
        ensure!(world.apply(0)? > 0);
        pester(&world, 0)?;
        world.nothing_in_clear(&fabric.stop())?;

        // The test can fail: it is the table that keeps it.
        let fabric = world.capture()?;
        inside.ip("xfrm policy flush")?;
        inside.nft("delete table inet guestnet_tunnels")?;
        pester(&world, 0)?;
        let seen = in_clear(&world, &fabric.stop());
        ensure!(seen > 0, "without the net nothing is seen either");
        ensure!(world.apply(0)? > 0);
        let fabric = world.capture()?;
        pester(&world, 0)?;
        world.nothing_in_clear(&fabric.stop())
    }

    fn nothing_is_taken_in_clear_from_those_who_claim_to_be_the_other_end() -> Result<()> {
        need(Capability::Esp);
        let mut world = World::make()?;
        let inside = world.inside(0)?;
        world.lead_all_to_the_fabric()?;
        let liar = &world.impersonate(1)?;
        for family in [0, 1] {
            let (source, socket) = (world.addresses(1)[family], listen(&world, 0, family)?);
            ensure!(arrives(world.guest(1), source, &socket)?, "the tunnel carries it");
            ensure!(!arrives(liar, source, &socket)?, "the policies drop what is in clear");
            inside.ip("xfrm policy flush")?;
            ensure!(!arrives(liar, source, &socket)?, "the net drops what is in clear");
            inside.nft("delete table inet guestnet_tunnels")?;
            ensure!(arrives(liar, source, &socket)?, "without both it would come");
            ensure!(world.apply(0)? > 0);
            ensure!(arrives(world.guest(1), source, &socket)?, "the tunnel carries it again");
            ensure!(!arrives(liar, source, &socket)?);
        }
        Ok(())
    }
}
