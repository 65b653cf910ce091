//! What Python costs over Rust: the same records to a host with all guests, in each from text on.

use anyhow::{Result, ensure};
use guestnet::{Host, HostSpec};

use crate::goal::{Goal, Most};
use crate::guests::{self, Place};
use crate::job::{Contestant, Job, Missing, Round, Sizes};
use crate::pyroute2::Warm;
use crate::stage;

/// In the environment: a Python that has the package as a wheel has it, built for release.
const PYTHON: &str = "GUESTNET_PYTHON";

pub fn job() -> Job {
    Job {
        name: "python",
        what: "guests from nothing, from records in JSON on: Python over Rust",
        sizes: Sizes { whole: &[(1000, 7)], quick: &[(100, 3)] },
        contestants: vec![
            Contestant::new("guestnet", in_rust),
            Contestant::new("guestnet, Python", in_python),
        ],
        growth: None,
        goals: vec![Goal { who: "guestnet, Python", with: "guestnet", most: Most::Times(1.1), from: 0 }],
    }
}

fn in_rust(count: usize) -> Result<Round> {
    let text = guests::json(count, Place::Host).to_string();
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        let report = meter.once(|| Ok(Host::open()?.apply(&HostSpec::from_json(&text)?)?))?;
        ensure!(report.changes > 0, "nothing was made");
        stage::leave()
    }))
}

fn in_python(count: usize) -> Result<Round> {
    let python =
        std::env::var(PYTHON).map_err(|_| Missing(format!("{PYTHON} names no Python with the package")))?;
    let text = guests::json(count, Place::Host).to_string();
    let spec = HostSpec::from_json(&text)?;
    Ok(Box::new(move |meter| {
        stage::fresh()?;
        let meter = meter.of_processes();
        let warm = Warm::running(&python, include_str!("python.py"), &text)?;
        meter.once(|| warm.work())?;
        ensure!(Host::open()?.verify(&spec)?.is_empty(), "Python has not made the same host");
        stage::leave()
    }))
}
