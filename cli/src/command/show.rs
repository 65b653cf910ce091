//! `guestnet show`.

use guestnet::HostSpec;
use guestnet::xfrm::Limits;
use guestnet::xfrm::rekey::RekeyLimits;

use crate::answer::{Answer, Json};
use crate::exit::Failure;
use crate::place::Place;

/// Print what guestnet has made on the host, in the form that `apply` takes: JSON, for people too; or what its tunnels
/// are doing, or what its firewall has dropped.
#[derive(clap::Args)]
pub struct Show {
    /// What to print instead.
    #[arg(value_enum)]
    what: Option<What>,
    /// When keys have served; of `tunnels`, to say when each is due.
    #[command(flatten)]
    limits: RekeyAfter,
    #[command(flatten)]
    place: Place,
}

/// Something else to be shown.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The states of tunnels: age, bytes, packets, what was refused, time to the next rekey.
    Tunnels,
    /// What the firewall has dropped, by namespace and paragraph of its contract (docs/security.md).
    Firewall,
}

#[derive(clap::Args)]
struct RekeyAfter {
    /// A state is due for rekeying when it is so old.
    #[arg(long, value_name = "SECONDS", requires = "what")]
    rekey_seconds: Option<std::num::NonZeroU64>,
    /// A state is due for rekeying when it has carried so much.
    #[arg(long, value_name = "BYTES", requires = "what")]
    rekey_bytes: Option<std::num::NonZeroU64>,
    /// A state is due for rekeying when it has carried so many.
    #[arg(long, value_name = "PACKETS", requires = "what")]
    rekey_packets: Option<std::num::NonZeroU64>,
}

impl super::Run for Show {
    fn run(self) -> Result<Answer, Failure> {
        let mut host = self.place.open()?;
        Ok(match self.what {
            Some(What::Tunnels) => {
                let RekeyAfter { rekey_seconds: seconds, rekey_bytes: bytes, rekey_packets: packets } =
                    self.limits;
                let limits =
                    RekeyLimits { limits: Limits { seconds, bytes, packets }, ..RekeyLimits::default() };
                Answer::new(host.tunnels(&limits)?)
            }
            Some(What::Firewall) => Answer::new(host.drops()?),
            None => Answer::new(Json(HostSpec { objects: host.observe()?, ..HostSpec::default() })),
        })
    }
}
