//! The rules, by what they look at.
//!
//! A header that a packet has not, or not whole, matches nothing. So wherever something has to be right, what is right
//! is matched and goes on, and what comes behind is dropped; never the other way round.

pub mod arp;
pub mod bridge;
pub mod discovery;
pub mod guard;
pub mod icmp;
pub mod inet;
pub mod input;
pub mod list;
pub mod owned;
pub mod ports;
pub mod quoted;
pub mod renamed;
pub mod source;
