//! A host that comes back: the same states at the same generation, and the other end takes what they send for old packets.
//! States, keys and policies of both are as wanted; the counters tell.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use guestnet::rekey::RekeyLimits;
use guestnet_lab::{Capability, lab_test, need, wait_until};

use crate::closed::{arrives, listen};
use crate::cost::example;
use crate::streams::INSIDE;
use crate::world::World;

const IPV6: usize = 1;

/// A guest that sends a datagram every 20 ms until it is dropped.
struct Talks(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Talks {
    fn start(world: &World, from: usize, to: &UdpSocket) -> Result<Self> {
        let socket = world.guest(from).run(|| UdpSocket::bind((world.addresses(from)[IPV6], 0)))?;
        socket.connect(to.local_addr()?)?;
        let goes_on = Arc::new(AtomicBool::new(true));
        let told = Arc::clone(&goes_on);
        let thread = std::thread::spawn(move || {
            while told.load(Ordering::Relaxed) {
                // What is lost is lost.
                let _ = socket.send(INSIDE);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Ok(Self(goes_on, Some(thread)))
    }
}

impl Drop for Talks {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}

lab_test! {
    fn a_host_that_came_back_is_seen_at_both_ends_and_a_new_generation_mends_it() -> Result<()> {
        need(Capability::Esp);
        let mut world = World::make()?;
        let specs = [world.spec(0)?, world.spec(1)?];
        let sockets = [listen(&world, 0, IPV6)?, listen(&world, 1, IPV6)?];
        let sent = |world: &World, from: usize| {
            arrives(world.guest(from), world.addresses(from)[IPV6], &sockets[1 - from])
        };
        // More than the guest that talks below sends while it is looked twice, and than a window has: what the end that
        // came back sends fails the integrity check there.
        for _ in 0..1000 {
            ensure!(sent(&world, 0)? && sent(&world, 1)?);
        }
        for (host, spec) in world.hosts.iter_mut().zip(&specs) {
            let plan = host.verify(spec)?;
            ensure!(plan.holds() && plan.warnings().is_empty(), "{plan}");
        }

        world.reboot(0)?;
        let plan = world.hosts[0].plan(&specs[0])?;
        let begins = "1 tunnel begins here with nothing left of an earlier life: 2001:db8:0::a - 2001:db8:1::a in a \
                      (generation 0): if it was in use before, as on a host that has rebooted";
        let begins = begins.replace("db8:0::", "db8::");
        let said = plan.warnings().join("\n");
        ensure!(said.contains(&begins) && said.contains("take the tunnel to a new generation"), "{said}");
        let report = world.hosts[0].apply(&specs[0])?;
        ensure!(report.warnings == plan.warnings(), "{report}");
        world.plug_again(0)?;
        ensure!(!sent(&world, 0)?, "the other end has seen these sequence numbers");
        ensure!(sent(&world, 1)?);

        // The end that stayed: it refuses, for as long as something comes.
        let talks = Talks::start(&world, 0, &sockets[1])?;
        wait_until("some are refused", Duration::from_secs(20), || {
            let tunnels = world.hosts[1].tunnels(&RekeyLimits::default()).expect("they can be read");
            tunnels.tunnels.iter().flat_map(|tunnel| &tunnel.states).any(|state| state.counters.refused() >= 20)
        })?;
        let plan = world.hosts[1].verify(&specs[1])?;
        ensure!(plan.is_empty() && !plan.holds(), "{plan}");
        let [refusing] = plan.refusing() else { anyhow::bail!("{plan}") };
        for words in
            ["tunnel 2001:db8:1::a - 2001:db8::a in b: refuses packets: ", " and took none", "take the tunnel to a new generation"]
        {
            ensure!(refusing.contains(words), "{words}: {refusing}");
        }
        ensure!(plan.to_string().ends_with("nothing to change, and 1 tunnel refuses packets"), "{plan}");
        drop(talks);
        let began = Instant::now();
        let plan = world.hosts[1].verify(&specs[1])?;
        ensure!(plan.holds() && plan.warnings().join("\n").contains(" has refused "), "nothing comes now: {plan}");
        ensure!(began.elapsed() < Duration::from_secs(10));
        let tunnels = world.hosts[1].tunnels(&RekeyLimits::default())?;
        ensure!(tunnels.to_string().contains("  ? tunnel 2001:db8:1::a - 2001:db8::a in b: the state "), "{tunnels}");

        // The end that came back: the other one counts where it was.
        for _ in 0..5 {
            ensure!(sent(&world, 1)?);
        }
        let plan = world.hosts[0].verify(&specs[0])?;
        let said = plan.warnings().join("\n");
        ensure!(plan.holds() && said.contains("tunnel 2001:db8::a - 2001:db8:1::a in a: the other end counts 1"), "{plan}");

        let orders = [world.order(0), world.order(1)];
        ensure!(example::round(&mut world.hosts, &orders)? == 1);
        for end in [0, 1] {
            ensure!(sent(&world, end)?);
            wait_until("the old states drain", Duration::from_secs(20), || {
                world.states(end).is_ok_and(|states| states.len() == 2)
            })?;
        }
        for (host, spec) in world.hosts.iter_mut().zip(&specs) {
            let plan = host.verify(spec)?;
            ensure!(plan.holds() && plan.warnings().is_empty(), "{plan}");
            ensure!(host.tunnels(&RekeyLimits::default())?.tunnels.iter().all(|tunnel| tunnel.warnings.is_empty()));
        }
        Ok(())
    }
}
