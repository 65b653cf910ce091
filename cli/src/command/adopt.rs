//! `guestnet adopt`.

use guestnet::core::owner::Owner;

use crate::answer::Answer;
use crate::exit::Failure;
use crate::place::Place;

/// Take over what a host that is gone has left: its guests' namespaces and files. `apply` does so by itself where that is proved.
///
/// An apply that finds something of a host of which it cannot be proved that it is gone says so, with this command. It is
/// refused when that host lives. What is taken over stays as it is; the next apply makes of it what its spec says.
#[derive(clap::Args)]
pub struct Adopt {
    /// The number of the host, as in `guestnet owner=NUMBER`.
    #[arg(value_name = "OWNER")]
    owner: u64,
    #[command(flatten)]
    place: Place,
}

impl super::Run for Adopt {
    fn run(self) -> Result<Answer, Failure> {
        let report = self.place.open()?.adopt(Owner(self.owner))?;
        let changed = report.changes > 0;
        Ok(Answer::new(report).of_change(changed))
    }
}
