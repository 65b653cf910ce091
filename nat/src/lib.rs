//! 1:1 NAT between public and private addresses, in maps: a guest is elements, so that the number of rules does not
//! grow with the guests and a packet costs the same with one as with a hundred thousand.
//!
//! ```
//! use guestnet_nat::{Mode, NatSpec, Pair};
//! # fn main() -> Result<(), ipnet::AddrParseError> {
//! let spec = NatSpec {
//!     mode: Mode::Tracked,
//!     untranslated: vec!["192.168.0.0/16".parse()?],
//!     pairs: vec![Pair { public: "203.0.113.7/32".parse()?, private: "192.168.0.85/32".parse()? }],
//! };
//! let tables = spec.lower();
//! assert_eq!(tables[0].to_string(), "ip guestnet_nat  10 chains, 19 rules, 3 sets, 2 maps with 28 elements");
//! # Ok(())
//! # }
//! ```
//!
//! # What is translated
//! A packet to a public address goes on to the private one. A packet from a private address leaves from the public
//! one, unless its destination is
//! - in [`NatSpec::untranslated`], which is what tunnels between hosts are for,
//! - a private address of these pairs: neighbours who call each other by their private names see each other's,
//! - of the link alone: link-local, multicast, broadcast ([`LINK_SCOPE`]), and the messages of neighbour discovery,
//! - in [`Mode::Notrack`], an address of the namespace itself. (In [`Mode::Tracked`] such packets never come by.)
//!
//! A packet to a public address was meant for it even where that address lies in `untranslated`. So two guests of one
//! host who call each other by public names see each other's public addresses ("hairpin").
//!
//! What the namespace itself sends from an address of its own is not translated.
//!
//! # ICMP errors
//! An error quotes the packet that it is about, and whoever gets it looks for a socket with the addresses in that
//! quote: without them being translated too, path MTU discovery, "port unreachable" and `traceroute` fail. So the
//! quoted source is translated where the destination is, and the quoted destination where the source is, also in
//! errors that the namespace itself makes about packets that it has translated already. Their addresses stand
//! before any options, at a fixed place. IPv4 (RFC 792): types 3, 11, 12; the quoted header's own checksum absorbs
//! the change. IPv6 (RFC 4443): types 1 to 4; the ICMPv6 checksum is updated. The transport checksum in the quote is
//! left alone: most quotes are too short to check it (RFC 5508 section 4.2).

mod check;
mod lower;
mod rules;
mod spec;

pub use lower::{LINK_SCOPE, TABLE_IPV4, TABLE_IPV6};
pub use rules::{MARK, NEAR};
pub use spec::{Mode, NatSpec, Pair};
