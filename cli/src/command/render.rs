//! `guestnet render`.

use std::fmt;

use serde::Serialize;

use crate::answer::Answer;
use crate::exit::Failure;
use crate::input::Input;

/// Print the `ip`, `sysctl` and `nft` lines that a spec amounts to, for review. Secrets are hidden.
#[derive(clap::Args)]
pub struct Render {
    #[command(flatten)]
    input: Input,
}

/// The lines, as a document.
#[derive(Serialize)]
struct Rendered {
    version: u32,
    text: String,
}

impl fmt::Display for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end_matches('\n'))
    }
}

impl super::Run for Render {
    fn run(self) -> Result<Answer, Failure> {
        let objects = self.input.read()?.objects()?;
        Ok(Answer::new(Rendered { version: guestnet::spec::VERSION, text: guestnet::render(&objects) }))
    }
}
