//! `guestnet remove`.

use crate::answer::Answer;
use crate::exit::Failure;
use crate::input::OptionalInput;
use crate::place::Place;

/// Remove what the spec describes, or without -f all that guestnet has made.
#[derive(clap::Args)]
pub struct Remove {
    #[command(flatten)]
    input: OptionalInput,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Remove {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        let mut host = self.place.open()?;
        let report = match spec {
            Some(spec) => host.remove(&spec)?,
            None => host.remove_all()?,
        };
        self.place.warn(&report.warnings);
        let changed = report.changes > 0;
        Ok(Answer::new(report).of_change(changed))
    }
}
