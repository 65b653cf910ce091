//! `guestnet plan`.

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
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Plan {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        let mut host = self.place.open()?;
        let plan = if self.add { host.plan_add(&spec)? } else { host.plan(&spec)? };
        let code = match (plan.is_empty(), plan.conflicts().is_empty()) {
            (true, _) => exit::DONE,
            (false, true) => exit::PENDING,
            (false, false) => exit::FAILED,
        };
        Ok(Answer::new(plan).with_code(code).in_colour())
    }
}
