//! IPsec tunnels between hosts: the kernel's XFRM states and policies (ip-xfrm(8)), and tunnels that yield both.
//!
//! - [`State`] and [`Policy`] are the kernel's own words. They are wanted and found as the same types, so a plan
//!   is a difference, and what is found can be applied again without its secrets (see [`source`]).
//! - [`TunnelSpec`] is one end's description of a tunnel; [`Tunnel`] builds both ends from one. Keys and SPIs are
//!   derived from one secret per pair of hosts (see [`mod@derive`]) or given.
//! - [`rekey`] takes tunnels to the next generation of their keys without losing a packet.
//! - [`inner_mtu`] is what is left of a packet inside the tunnel.
//!
//! Only ESP (RFC 4303) with AES-GCM (RFC 4106): the one algorithm that every kernel with IPsec does fast.

pub mod algorithm;
pub mod counters;
pub mod derive;
pub mod encap;
pub mod key;
pub mod lifetime;
pub mod mtu;
pub mod named;
pub mod policy;
pub mod rekey;
pub mod secret;
pub mod selector;
pub mod source;
pub mod spd;
pub mod spi;
pub mod stat;
pub mod state;
mod sys;
pub mod threshold;
pub mod tunnel;
mod wire;

pub use algorithm::{Algorithm, Icv};
pub use counters::Counters;
pub use encap::{Encap, EncapSocket, Udp};
pub use key::Key;
pub use lifetime::{Lifetimes, Limits};
pub use mtu::inner_mtu;
pub use named::{SecretName, Secrets};
pub use policy::{Action, Direction, Level, Policy, PolicyKey, Template};
pub use secret::{Fingerprint, PairSecret, SecretError};
pub use selector::{Mark, Selector};
pub use source::{KeySource, SecretSource, Source};
pub use spd::Spd;
pub use spi::Spi;
pub use state::{Mode, Sequence, State, StateDirection, StateKey};
pub use threshold::HashThreshold;
pub use tunnel::{Tunnel, TunnelSpec};
