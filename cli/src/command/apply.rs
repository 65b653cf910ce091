//! `guestnet apply`.

use crate::answer::Answer;
use crate::exit::Failure;
use crate::input::Input;
use crate::place::{Consent, Place};

/// Make the host as the spec says. What is guestnet's and not in the spec is removed.
#[derive(clap::Args)]
pub struct Apply {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    consent: Consent,
}

impl super::Run for Apply {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        let mut host = self.place.open_for(&spec)?;
        self.consent.give(&mut host);
        let report = host.apply(&spec)?;
        self.place.warn(&report.warnings);
        let changed = report.changes > 0;
        Ok(Answer::new(report).of_change(changed))
    }
}
