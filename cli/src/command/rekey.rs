//! `guestnet rekey`.

use guestnet::rekey::Act;

use crate::answer::{Answer, Json};
use crate::exit::{self, Failure};
use crate::input::JsonInput;
use crate::place::Place;

/// Do one act of rekeying for any number of tunnels, and print how each of them stands.
///
/// Takes a step and prints a confirmation, both JSON: docs/rekey.md. Exits with 1 if the act was refused of a tunnel; the
/// confirmation says of which and why.
#[derive(clap::Args)]
pub struct Rekey {
    #[command(flatten)]
    input: JsonInput,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Rekey {
    fn run(self) -> Result<Answer, Failure> {
        let (text, secrets) = self.input.read()?;
        let step = guestnet::rekey::step_from_json(&text, &secrets).map_err(guestnet::Error::from)?;
        let confirmation = self.place.open()?.rekey(&step)?;
        let code = if confirmation.is_whole() { exit::DONE } else { exit::FAILED };
        Ok(Answer::new(Json(confirmation)).with_code(code).of_change(step.act != Act::Observe))
    }
}
