//! Rekeying: a tunnel goes to the next generation of its keys without losing a packet.
//!
//! Make before break, in three acts at each end. A control plane sends each end one [`Step`] an act, and puts what the
//! other end has answered into it:
//!
//! ```text
//!            here                                           there
//! inbound    decrypts the new generation too                decrypts the new generation too
//!               └────────── its standing ──────────┐  ┌────────── its standing ──────────┘
//!                                                  ╳
//!               ┌──────────────────────────────────┘  └──────────────────────────────────┐
//! outbound   encrypts with the new one                      encrypts with the new one
//!               └────────── its standing ──────────┐  ┌────────── its standing ──────────┘
//!                                                  ╳
//!               ┌──────────────────────────────────┘  └──────────────────────────────────┐
//! drain      the kernel lets the old ones expire            the kernel lets the old ones expire
//! ```
//!
//! **Nothing is remembered but by the kernel.** A state says its generation itself ([`crate::State::generation`]), and
//! which generation packets leave by is what the policies of the way out name. So an act is a pure function of what the
//! kernel has ([`Found::advance`]): it adds what is missing to what was found, and the difference is what is done.
//! Repeated, it finds nothing to do. Who crashed starts again with the first act.
//!
//! **Generations only go up.** One that the tunnel has left behind does not come back, however late a step arrives: its
//! keys would count packets from the start again.
//!
//! **A step that comes too early is refused.** What the other end has is known by its [`Standing`]: it holds the SPI and
//! the fingerprint of the key of each of its states, so that no other round, tunnel or key can be confused with it.

mod advance;
mod check;
mod document;
mod due;
mod end;
mod settle;

pub use advance::{Advance, Next};
pub use document::{Act, Confirmation, DEFAULT_DRAIN, Held, Order, Reason, Refused, Standing, Step, VERSION};
pub use due::{Due, RekeyLimits, due};
pub use end::{End, Found};
pub use settle::Settled;
