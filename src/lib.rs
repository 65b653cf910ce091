//! guestnet gives the guests of a Linux host (virtual machines, namespaces, containers) their network: links, NAT,
//! IPsec tunnels between hosts, proxied neighbours, DHCP and router advertisements, from one description of the host,
//! over netlink.
//!
//! A [`HostSpec`] says what the host shall have. [`Host::plan`] says what would change, [`Host::apply`] changes it,
//! [`Host::verify`] says whether it is so. All three are one subtraction: what is wanted less what is there.
//!
//! ```no_run
//! use guestnet::{Host, HostSpec};
//!
//! let spec = HostSpec::from_json(r#"{
//!     "version": 1,
//!     "guests": [{
//!         "name": "web1",
//!         "interfaces": [{
//!             "name": "tapweb1",
//!             "mac": "02:00:5e:00:53:01",
//!             "public_ipv4": "203.0.113.7",
//!             "private_ipv4": "192.168.0.85"
//!         }]
//!     }]
//! }"#)?;
//! let mut host = Host::open()?;
//! println!("{}", host.plan(&spec)?);
//! println!("{}", host.apply(&spec)?);
//! assert!(host.verify(&spec)?.is_empty());
//! # Ok::<(), guestnet::Error>(())
//! ```
//!
//! Options travel beside the spec (on [`Host`]), never in it: two equal specs always mean the same host.

mod adopt;
mod again;
mod alone;
mod apply;
mod connections;
pub mod doctor;
pub mod document;
mod drops;
pub mod encap;
mod explain;
mod hint;
mod host;
mod lower;
mod namespaces;
mod objects;
mod part;
mod plan;
pub mod rekey;
mod remade;
mod render;
#[cfg(feature = "replay")]
mod replay;
mod report;
mod resolve;
mod snapshot;
pub mod spec;
pub mod tunnels;
mod warning;
mod ways;

pub use guestnet_core as core;
pub use guestnet_dhcpconf as dhcpconf;
pub use guestnet_firewall as firewall;
pub use guestnet_nat as nat;
pub use guestnet_ndp as ndp;
pub use guestnet_nft as nft;
pub use guestnet_xfrm as xfrm;

pub use drops::{HostDrops, NamespaceDrops};
pub use explain::{Explanation, Step};
pub use guestnet_core::{Act, Deed, Problem, Problems};
pub use guestnet_xfrm::{SecretName, Secrets};
pub use host::{DIRECTORY, Host};
pub use objects::{NamespaceObjects, Objects};
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub use part::read_kept;
pub use plan::{Plan, PlannedChange};
pub use render::render;
pub use report::{Done, Error, Failure, GuestReport, PhaseTime, Program, Refusal, Report, Restart, State};
pub use spec::{CheckedSpec, HostSpec};
pub use tunnels::Tunnels;
pub use warning::Warning;
