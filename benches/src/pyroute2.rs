//! pyroute2, in a Python of its own that is warm before the clock runs. What it has no interface for (rulesets) it leaves
//! to `nft`, as its users do.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::ip::Line;
use crate::job::Missing;
use crate::peak;

/// In the environment: a Python that has pyroute2. `cargo xtask bench` makes one.
pub const PYTHON: &str = "GUESTNET_BENCH_PYTHON";

const PROGRAM: &str = include_str!("pyroute2.py");

/// Whether there is a Python with pyroute2.
pub fn find() -> Result<String> {
    let python = std::env::var(PYTHON).map_err(|_| Missing("pyroute2 is not on this machine".to_owned()))?;
    let works = Command::new(&python).args(["-c", "import pyroute2"]).stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return Err(Missing(format!("{python} has no pyroute2")).into());
    }
    Ok(python)
}

/// A Python that waits for a word to begin.
pub struct Warm(Child);

impl Warm {
    /// Starts one on the present host, with what it is to do.
    pub fn start(python: &str, lines: &[Line]) -> Result<Self> {
        let steps: Vec<[&str; 3]> = lines
            .iter()
            .map(|line| match line {
                Line::Ip(netns, words) => ["ip", netns.as_str(), words.as_str()],
                Line::Sysctl(netns, sysctl) => ["sysctl", netns, sysctl],
                Line::Nft(netns, ruleset) => ["nft", netns, ruleset],
            })
            .collect();
        Self::running(python, PROGRAM, &serde_json::to_string(&steps)?)
    }

    /// Starts any program that says `ready` once it is, begins at a line and ends with `done`; it finds `given` in the
    /// file that it is called with.
    pub fn running(python: &str, program: &str, given: &str) -> Result<Self> {
        std::fs::write("/run/given.json", given)?;
        let mut command = peak::weighed(Command::new(python).args(["-I", "-c", program, "/run/given.json"]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        hear(&mut child, "ready")?;
        Ok(Self(child))
    }

    /// Has it do its work.
    pub fn work(mut self) -> Result<()> {
        self.0.stdin.as_mut().context("its input")?.write_all(b"go\n")?;
        hear(&mut self.0, "done")?;
        self.0.stdin = None;
        self.0.wait()?;
        Ok(())
    }
}

fn hear(child: &mut Child, word: &str) -> Result<()> {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().context("its output")?).read_line(&mut line)?;
    if line.trim() != word {
        bail!("Python said {line:?} where {word:?} was due");
    }
    Ok(())
}
