//! `guestnet explain`.

use crate::answer::Answer;
use crate::exit::{self, Failure};
use crate::input::Input;

/// Say what the firewall of a spec does with a packet, from the spec alone; exits with 1 if it drops it.
///
/// The packet is the first of its connection: "from guest web1 to 2001:db8::1 tcp 443".
#[derive(clap::Args)]
pub struct Explain {
    #[command(flatten)]
    input: Input,
    /// The packet: from guest NAME | host | ADDRESS, to guest NAME | host | ADDRESS, a protocol with its port or ICMP type.
    packet: String,
}

impl super::Run for Explain {
    fn run(self) -> Result<Answer, Failure> {
        let explanation = self.input.read()?.explain(&self.packet).map_err(Failure::Usage)?;
        let code = if explanation.passes { exit::DONE } else { exit::FAILED };
        Ok(Answer::new(explanation).with_code(code))
    }
}
