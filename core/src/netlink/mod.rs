//! Netlink, as far as guestnet needs it: send many messages at once, learn which of them were refused and why,
//! and read dumps that are whole.

mod lasting;
mod reply;
mod session;

pub(crate) use reply::replies;
pub use reply::{Attributes, Refusal, Reply};
pub use session::{Dump, Session};
