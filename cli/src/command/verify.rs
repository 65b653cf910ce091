//! `guestnet verify`.

use crate::answer::Answer;
use crate::exit::{self, Failure};
use crate::input::Input;
use crate::place::Place;

/// Exit with 0 if the host is as the spec says and its tunnels take what comes; otherwise print what differs and exit with 1.
///
/// Where packets of a tunnel have been refused it is looked at for two seconds: one that refuses more and takes none fails
/// (docs/rekey.md).
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
        let plan = self.place.open_for(&spec)?.verify(&spec)?;
        self.place.warn(plan.warnings());
        let code = if plan.holds() { exit::DONE } else { exit::FAILED };
        Ok(Answer::new(plan).with_code(code).in_colour())
    }
}
