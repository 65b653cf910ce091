//! `guestnet show`.

use guestnet::HostSpec;

use crate::answer::{Answer, Json};
use crate::exit::Failure;
use crate::place::Place;

/// Print what guestnet has made on the host, in the form that `apply` takes: JSON, for people too.
#[derive(clap::Args)]
pub struct Show {
    /// Print instead what the firewall has dropped, by namespace and paragraph of its contract (docs/security.md).
    #[arg(long)]
    counters: bool,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Show {
    fn run(self) -> Result<Answer, Failure> {
        if self.counters {
            return Ok(Answer::new(self.place.open()?.drops()?));
        }
        let objects = self.place.open()?.observe()?;
        Ok(Answer::new(Json(HostSpec { objects, ..HostSpec::default() })))
    }
}
