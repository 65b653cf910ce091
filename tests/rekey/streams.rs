//! Steady streams of numbered packets through each tunnel, in both directions and both families.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::world::World;

const PORT: u16 = 7000;
/// Between two packets of a stream, where there is one tunnel.
const PACE: Duration = Duration::from_millis(30);

/// Words that only stand inside.
pub const INSIDE: &[u8] = b"guestnet-inside";

/// One direction in one family.
struct Stream {
    name: String,
    sender: JoinHandle<std::io::Result<u64>>,
    receiver: JoinHandle<Vec<u64>>,
}

/// All of them.
pub struct Streams {
    streams: Vec<Stream>,
    stop: Arc<AtomicBool>,
    silence: Arc<AtomicBool>,
}

impl Streams {
    /// Begins to send.
    pub fn start(world: &World) -> Result<Self> {
        let (stop, silence) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut streams = Vec::new();
        let pace = PACE * u32::try_from(world.lines().len())?;
        let ways = world.lines().iter().enumerate().flat_map(|line| [(line, 0, 1), (line, 1, 0)]);
        for ((number, line), from, to) in ways {
            for (source, target) in line.addresses(from).into_iter().zip(line.addresses(to)) {
                let bind = |end: usize, address: IpAddr, port| -> Result<UdpSocket> {
                    let socket = world.guest_of(number, end).run(|| UdpSocket::bind((address, port)))?;
                    nix::sys::socket::setsockopt(
                        &socket,
                        nix::sys::socket::sockopt::RcvBufForce,
                        &(8 << 20),
                    )?;
                    Ok(socket)
                };
                let receiving = bind(to, target, PORT)?;
                receiving.set_read_timeout(Some(Duration::from_millis(200)))?;
                let sending = bind(from, source, 0)?;
                let (stop, silence) = (Arc::clone(&stop), Arc::clone(&silence));
                streams.push(Stream {
                    name: format!("{source} to {target}"),
                    sender: std::thread::spawn(move || send(&sending, (target, PORT).into(), pace, &stop)),
                    receiver: std::thread::spawn(move || receive(&receiving, &silence)),
                });
            }
        }
        Ok(Self { streams, stop, silence })
    }

    /// Stops; every number that was sent must have come, once. Returns how many.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = 0;
        let mut receivers = Vec::new();
        for Stream { name, sender, receiver } in self.streams {
            let sent = sender.join().ok().context("the sender")?.with_context(|| name.clone())?;
            receivers.push((name, sent, receiver));
        }
        // What is on its way still comes; the receivers end when nothing has come for a while.
        self.silence.store(true, Ordering::Relaxed);
        for (name, sent, receiver) in receivers {
            let mut numbers = receiver.join().ok().context("the receiver")?;
            numbers.sort_unstable();
            let missing: Vec<u64> =
                (0..sent).filter(|number| numbers.binary_search(number).is_err()).collect();
            ensure!(missing.is_empty(), "{name}: of {sent} these are lost: {missing:?}");
            ensure!(numbers.len() as u64 == sent, "{name}: {sent} were sent, {} came", numbers.len());
            all += sent;
        }
        Ok(all)
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, pace: Duration, stop: &AtomicBool) -> std::io::Result<u64> {
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let packet = [INSIDE, &number.to_be_bytes()].concat();
        socket.send_to(&packet, to)?;
        number += 1;
        std::thread::sleep(pace);
    }
    Ok(number)
}

fn receive(socket: &UdpSocket, silence: &AtomicBool) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut buffer = [0; 64];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let number = buffer[..length].strip_prefix(INSIDE).and_then(|rest| rest.try_into().ok());
                numbers.push(u64::from_be_bytes(number.expect("a packet of ours")));
            }
            Err(_) if silence.load(Ordering::Relaxed) => return numbers,
            Err(_) => {}
        }
    }
}
