//! `guestnet plan`.

use crate::answer::Answer;
use crate::exit::{self, Failure};
use crate::input::Input;
use crate::place::Place;

/// Print what would change; exits with 2 if something would.
#[derive(clap::Args)]
pub struct Plan {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Plan {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        let plan = self.place.open()?.plan(&spec)?;
        let code = match (plan.is_empty(), plan.conflicts().is_empty()) {
            (true, _) => exit::DONE,
            (false, true) => exit::PENDING,
            (false, false) => exit::FAILED,
        };
        Ok(Answer::new(plan).with_code(code).in_colour())
    }
}
