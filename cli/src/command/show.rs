//! `guestnet show`.

use guestnet::HostSpec;

use crate::answer::{Answer, Json};
use crate::exit::Failure;
use crate::place::Place;

/// Print what guestnet has made on the host, in the form that `apply` takes: JSON, for people too.
#[derive(clap::Args)]
pub struct Show {
    #[command(flatten)]
    place: Place,
}

impl super::Run for Show {
    fn run(self) -> Result<Answer, Failure> {
        let objects = self.place.open()?.observe()?;
        Ok(Answer::new(Json(HostSpec { objects, ..HostSpec::default() })))
    }
}
