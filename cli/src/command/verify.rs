//! `guestnet verify`.

use crate::answer::Answer;
use crate::exit::{self, Failure};
use crate::input::Input;
use crate::place::Place;

/// Exit with 0 if the host is as the spec says; otherwise print the difference and exit with 1.
#[derive(clap::Args)]
pub struct Verify {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Verify {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        let plan = self.place.open()?.verify(&spec)?;
        let code = if plan.is_empty() { exit::DONE } else { exit::FAILED };
        Ok(Answer::new(plan).with_code(code).in_colour())
    }
}
