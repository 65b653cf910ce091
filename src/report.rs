//! What an apply did, and how an apply fails.

mod guests;

use std::fmt;
use std::time::Duration;

use guestnet_core::{Error as CoreError, FilePath, NetnsName, Phase, visible};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use guests::Tally;
pub use guests::{Done, GuestReport, Program, Restart};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// How many changes were carried out. 0: the host was already as wanted.
    pub changes: usize,
    /// The files that were written or removed: whoever reads them should be told.
    pub files: Vec<FilePath>,
    /// The namespaces of guests that a host which is gone has left, and that are this host's now.
    pub taken_over: Vec<NetnsName>,
    /// What is ours and was left, with the reason.
    pub left: Vec<String>,
    /// How long the whole took, observing and verifying included, in microseconds.
    pub microseconds: u64,
    /// How long each phase took, in microseconds. What is sent together counts for the first of its phases.
    pub phases: Vec<PhaseTime>,
    /// What was done guest by guest, and what has to be restarted for it; by name. Guests to whom nothing was done are not
    /// among them.
    pub guests: Vec<GuestReport>,
    /// What may not be meant, or is so and no apply mends, a line each; as in the plan that was carried out.
    pub warnings: Vec<String>,
}

/// How long a phase took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTime {
    /// Which: `links`, `routes`.
    pub phase: String,
    /// How long, in microseconds.
    pub microseconds: u64,
}

impl PhaseTime {
    pub(crate) fn new(phase: Phase, time: Duration) -> Self {
        Self { phase: format!("{phase:?}").to_lowercase(), microseconds: microseconds(time) }
    }
}

pub(crate) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.microseconds as f64 / 1000.0;
        match self.changes {
            0 => write!(f, "nothing to do ({ms:.1} ms)")?,
            1 => write!(f, "1 change made ({ms:.1} ms)")?,
            n => write!(f, "{n} changes made ({ms:.1} ms)")?,
        }
        if !self.guests.is_empty() {
            write!(f, "\nguests: {}", guests::counted(&self.guests))?;
        }
        let told = guests::files_to_read(&self.guests);
        for file in self.files.iter().filter(|file| !told.contains(file.as_str())) {
            write!(f, "\nchanged file: {file}")?;
        }
        for name in &self.taken_over {
            write!(f, "\ntaken over: namespace {name}")?;
        }
        for restart in self.guests.iter().flat_map(|guest| &guest.restart) {
            write!(f, "\n{restart}")?;
        }
        for left in &self.left {
            write!(f, "\nleft: {}", visible(left))?;
        }
        for warning in &self.warnings {
            write!(f, "\n? {}", visible(warning))?;
        }
        Ok(())
    }
}

/// Why guestnet could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was changed.
    #[error(transparent)]
    Core(#[from] CoreError),

    /// Something was refused under way.
    #[error("{0}")]
    Apply(Box<Failure>),
}

/// An apply that was refused under way: what, and what state the host was left in.
#[derive(Debug)]
pub struct Failure {
    /// What was refused.
    pub refusals: Vec<Refusal>,
    /// What state the host is in now.
    pub state: State,
}

/// One refused change.
#[derive(Debug)]
pub struct Refusal {
    /// Kind and key of the object.
    pub object: String,
    /// The part of the spec that asked for it, where it is known.
    pub path: Option<String>,
    /// The error.
    pub error: CoreError,
}

/// The state of a host after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As before: what had been done was undone.
    Undone(usize),
    /// As before, but for attributes that others had changed by hand, and that had been put right (docs/drift.md).
    Mended(usize),
    /// Undoing failed too; these lines say what differs from before.
    PartlyUndone(Vec<String>),
    /// Everything was accepted, yet the host is not as wanted: something changes it as we do.
    Unstable(Vec<String>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, refusal) in self.refusals.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", refusal.error)?;
            if let Some(path) = &refusal.path {
                write!(f, "\n  spec:  {}", visible(path))?;
            }
        }
        match &self.state {
            State::Undone(0) => write!(f, "\n  state: nothing was changed"),
            State::Undone(1) => write!(f, "\n  state: undone, the host is as before (1 change reverted)"),
            State::Undone(n) => write!(f, "\n  state: undone, the host is as before ({n} changes reverted)"),
            State::Mended(n) => {
                write!(f, "\n  state: as before, but for attributes that were mended ({n} changes reverted)")
            }
            State::PartlyUndone(lines) => {
                write!(
                    f,
                    "\n  state: undoing failed too; compared with before, still to do:\n    {}",
                    lines.join("\n    ")
                )
            }
            State::Unstable(lines) => write!(
                f,
                "all changes were accepted, but the host still differs; is something else changing it?\n    {}",
                lines.join("\n    ")
            ),
        }
    }
}

impl std::error::Error for Failure {}

impl Error {
    /// The kernel's error number of the first refusal, where there is one.
    pub fn errno(&self) -> Option<i32> {
        self.core().and_then(CoreError::errno)
    }

    /// Whether the caller lacks a right.
    pub fn is_permission(&self) -> bool {
        self.core().is_some_and(CoreError::is_permission)
    }

    /// Whether the same call may succeed later.
    pub fn can_retry(&self) -> bool {
        self.core().is_some_and(CoreError::can_retry)
    }

    pub(crate) fn core(&self) -> Option<&CoreError> {
        match self {
            Self::Core(error) => Some(error),
            Self::Apply(failure) => failure.refusals.first().map(|refusal| &refusal.error),
        }
    }
}
