//! `guestnet apply`.

use crate::answer::Answer;
use crate::exit::Failure;
use crate::input::Input;
use crate::place::Place;

/// Make the host as the spec says. What is guestnet's and not in the spec is removed.
#[derive(clap::Args)]
pub struct Apply {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Apply {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        Ok(Answer::new(self.place.open()?.apply(&spec)?))
    }
}
