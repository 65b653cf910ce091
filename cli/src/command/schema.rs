//! `guestnet schema`.

use guestnet::HostSpec;

use crate::answer::{Answer, Json};
use crate::exit::Failure;

/// Print the JSON Schema of a spec.
#[derive(clap::Args)]
pub struct Schema {}

impl super::Run for Schema {
    fn run(self) -> Result<Answer, Failure> {
        Ok(Answer::new(Json(HostSpec::schema())))
    }
}
