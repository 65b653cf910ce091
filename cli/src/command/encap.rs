//! `guestnet encap`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use guestnet::core::visible;
use guestnet::encap::EncapSockets;

use crate::answer::Answer;
use crate::exit::Failure;
use crate::place::Place;

/// How often a NAT is reminded of its mapping (RFC 3948 section 4).
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Hold the sockets by which tunnels over UDP receive, for as long as it runs: a service, not a step.
///
/// States and policies stay in the kernel without any process; these sockets do not. It looks at the host's states again
/// and again, opens what they need, and sends NAT keepalives. Where an IKE daemon already has the port, it is not needed.
#[derive(clap::Args)]
pub struct Encap {
    /// How many seconds between two looks at the host's states.
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Encap {
    fn run(self) -> Result<Answer, Failure> {
        let mut host = self.place.open()?;
        let mut sockets = EncapSockets::new();
        let mut kept = Instant::now();
        let mut said = BTreeSet::new();
        loop {
            let mut failed = sockets.refresh(&mut host)?;
            if kept.elapsed() >= KEEPALIVE {
                kept = Instant::now();
                failed.extend(sockets.keep_alive());
            }
            // Each once, and again when it has gone away between.
            let words: BTreeSet<String> = failed.iter().map(ToString::to_string).collect();
            for failure in words.difference(&said) {
                let _ = writeln!(std::io::stderr(), "guestnet: {}", visible(failure));
            }
            said = words;
            std::thread::sleep(Duration::from_secs(self.every));
        }
    }
}
