//! `guestnet plan`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use guestnet::core::replay::Recording;

use crate::answer::Answer;
use crate::exit::{self, Failure};
use crate::input::Input;
use crate::place::Place;

/// Print what would change; exits with 2 if something would.
#[derive(clap::Args)]
pub struct Plan {
    /// What `add` would do, instead of `apply`.
    #[arg(long)]
    add: bool,
    /// Write what the kernel answers to FILE, to report a fault with it. It holds addresses, names and rules, also of others, and
    /// no keys.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Plan {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        let mut host = self.place.open_for(&spec)?;
        let recorder = self.record.as_ref().map(|_| host.record()).transpose()?;
        let plan = if self.add { host.plan_add(&spec) } else { host.plan(&spec) };
        // A plan that fails is what is worth a report.
        if let (Some(file), Some(recorder)) = (&self.record, recorder) {
            write(file, &recorder.recording())?;
        }
        let plan = plan?;
        self.place.warn(plan.warnings());
        let code = match (plan.is_empty(), plan.conflicts().is_empty()) {
            (true, _) => exit::DONE,
            (false, true) => exit::PENDING,
            (false, false) => exit::FAILED,
        };
        Ok(Answer::new(plan).with_code(code).in_colour())
    }
}

/// Writes `recording` to `file`, for its owner only.
fn write(file: &Path, recording: &Recording) -> Result<(), Failure> {
    let failed = |e| Failure::io(format!("write the recording to {}", file.display()), e);
    let text = serde_json::to_vec(recording).map_err(|e| failed(e.into()))?;
    let mut opened = OpenOptions::new();
    let opened = opened.write(true).create(true).truncate(true).mode(0o600).open(file);
    opened.and_then(|mut opened| opened.write_all(&text)).map_err(failed)
}
