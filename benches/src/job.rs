//! A job: something to be done, and those who do it, each in its own way.

use anyhow::Result;

use crate::goal::Goal;
use crate::meter::Meter;

/// One round of a contestant: prepares, lets the meter measure, checks what was done, cleans up.
pub type Round = Box<dyn FnMut(&mut Meter) -> Result<()>>;

/// Something to be done.
pub struct Job {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is done, for the report.
    pub what: &'static str,
    /// How many guests (elements, policies) there are, and how many rounds: in a whole run, and in a quick one.
    pub sizes: Sizes,
    /// Who does it. The first is what others are compared with.
    pub contestants: Vec<Contestant>,
    /// Who shall take no more than so many times as long at the largest size as at the smallest.
    pub growth: Option<(&'static str, f64)>,
    /// What has been promised.
    pub goals: Vec<Goal>,
}

/// The sizes, with the numbers of rounds, at which a job is done.
pub struct Sizes {
    /// In a whole run.
    pub whole: &'static [(usize, usize)],
    /// In a quick one.
    pub quick: &'static [(usize, usize)],
}

/// Somebody who does a job.
pub struct Contestant {
    /// Its name, as it stands in the report.
    pub name: &'static str,
    /// Beyond this size it would take minutes and is left out.
    pub most: usize,
    /// Prepares it for a size. Called once, in the process that it has for itself, in namespaces of its own.
    pub enter: Box<dyn Fn(usize) -> Result<Round>>,
}

impl Contestant {
    /// A contestant without a limit.
    pub fn new(name: &'static str, enter: impl Fn(usize) -> Result<Round> + 'static) -> Self {
        Self { name, most: usize::MAX, enter: Box::new(enter) }
    }

    /// The contestant, left out beyond `most`.
    pub fn up_to(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// What an `enter` returns when what it needs is not on this machine: the contestant's column stays empty.
#[derive(Debug)]
pub struct Missing(pub String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}
