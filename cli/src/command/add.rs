//! `guestnet add`.

use crate::answer::Answer;
use crate::exit::Failure;
use crate::input::Input;
use crate::place::Place;

/// Make what the spec describes and leave all else: one more guest. Costs the same however many there are.
///
/// What a guest had and this spec of it does not say any more stays: remove the old one first, or apply the whole.
#[derive(clap::Args)]
pub struct Add {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Add {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        Ok(Answer::new(self.place.open()?.add(&spec)?))
    }
}
