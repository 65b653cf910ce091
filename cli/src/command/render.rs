//! `guestnet render`.

use guestnet::document::RenderedDocument;

use crate::answer::Answer;
use crate::exit::Failure;
use crate::input::Input;

/// Print the `ip`, `sysctl` and `nft` lines that a spec amounts to, for review. Secrets are hidden.
#[derive(clap::Args)]
pub struct Render {
    #[command(flatten)]
    input: Input,
}

impl super::Run for Render {
    fn run(self) -> Result<Answer, Failure> {
        Ok(Answer::new(RenderedDocument::new(self.input.read()?.objects())))
    }
}
