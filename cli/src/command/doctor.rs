//! `guestnet doctor`.

use guestnet::core::NetnsName;
use guestnet::doctor::{Severity, examine};

use crate::answer::Answer;
use crate::exit::{self, Failure};
use crate::input::OptionalInput;

/// Say what this kernel, its modules, sysctls and limits mean for a spec, with a remedy each. Changes nothing.
///
/// Exits with 0 if nothing is in the way (there may be notes), with 2 if guests will notice something (a warning), and
/// with 1 if the spec cannot be applied or applying it cuts something off (an error).
#[derive(clap::Args)]
pub struct Doctor {
    #[command(flatten)]
    input: OptionalInput,
    /// The host is the namespace that `ip netns` calls so; without it the one that the command runs in.
    #[arg(long, short = 'n', value_name = "NAME")]
    netns: Option<NetnsName>,
}

impl super::Run for Doctor {
    fn run(self) -> Result<Answer, Failure> {
        let spec = self.input.read()?;
        let diagnosis = examine(self.netns.as_ref(), spec.as_deref())?;
        let code = match diagnosis.worst() {
            Some(Severity::Error) => exit::FAILED,
            Some(Severity::Warning) => exit::PENDING,
            _ => exit::DONE,
        };
        Ok(Answer::new(diagnosis).with_code(code))
    }
}
