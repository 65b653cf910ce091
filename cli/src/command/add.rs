//! `guestnet add`.

use crate::answer::Answer;
use crate::exit::Failure;
use crate::input::Input;
use crate::place::{Consent, Place};

/// Make what the spec describes and leave all else: one more guest. Costs the same however many there are.
///
/// What a guest had and this spec of it does not say any more stays: remove the old one first, or apply the whole.
#[derive(clap::Args)]
pub struct Add {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    consent: Consent,
}

impl super::Run for Add {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        let mut host = self.place.open()?;
        self.consent.give(&mut host);
        let report = host.add(&spec)?;
        self.place.warn(&report.warnings);
        let changed = report.changes > 0;
        Ok(Answer::new(report).of_change(changed))
    }
}
