//! Configuration files of the daemons that serve guests, as typed documents.
//!
//! A document is a description ([`DnsmasqSpec`]) that is checked as a whole and turned into one
//! [`guestnet_core::File`]. Nothing reaches the file but what its types let through: there is no place for a line
//! break, a comma, a quote or a `#` in any value, so no text of a user becomes configuration.
//!
//! One backend a file: [`dnsmasq`] is the first. Another daemon is a module of its own beside it, with the values
//! of [`value`] where they fit.

pub mod dnsmasq;
pub mod value;

pub use dnsmasq::DnsmasqSpec;
