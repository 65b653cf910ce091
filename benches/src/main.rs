//! How long guestnet takes, beside the kernel's own floor and beside other tools. `cargo xtask bench` builds and calls it.

#![allow(clippy::print_stderr, reason = "a program")]

mod contest;
mod firewall;
mod floor;
mod goal;
mod guests;
mod ip;
mod job;
mod jobs;
mod legend;
mod libnftables;
mod mesh;
mod meter;
mod middle;
mod nat;
mod peak;
mod perf;
mod pyroute2;
mod readme;
mod recording;
mod report;
mod seed;
mod shapes;
mod stage;
mod statistics;
mod stolen;
mod sys;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
guestnet-bench list                                        the jobs
guestnet-bench known JOB...                                whether there are such jobs
guestnet-bench run [--quick] [--json FILE] [--markdown FILE] [JOB...]
guestnet-bench readme REPORT README                        puts a report's figures into README.md
guestnet-bench count FIGURE [SHAPE GUESTS]                 runs the pure middle once, for callgrind
guestnet-bench shapes                                      the shapes of specs that it can be run for
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => jobs::all().iter().for_each(|job| println!("{:18} {}", job.name, job.what)),
        ["known", names @ ..] => return names.iter().try_for_each(|name| jobs::known(name)),
        ["run", rest @ ..] => return report::run(rest),
        // What `run` starts, one process for each contestant.
        ["contestant", job, contestant, size] => return contest::child(job, contestant, size.parse()?),
        ["readme", report, readme] => return readme::write(report, readme),
        ["weigh", words @ ..] => return peak::weigh(words),
        ["count", figure] => {
            return middle::count(figure, guests::spec(middle::GUESTS, guests::Place::Host)?);
        }
        ["count", figure, shape, guests] => {
            return middle::count(figure, shapes::spec(shape, guests.parse()?)?);
        }
        ["shapes"] => shapes::names().for_each(|name| println!("{name}")),
        _ => bail!("what is {:?}?\n{USAGE}", arguments.join(" ")),
    }
    Ok(())
}
