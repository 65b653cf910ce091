//! Filters for guests: default deny, no spoofing, ICMPv6 by RFC 4890, access lists, protection of the host. What may
//! pass, and nothing else, is said in `docs/security.md`, whose paragraphs ([`Paragraph`]) the rules name.
//!
//! Guests are elements of exact sets: the number of rules that a packet crosses does not grow with them, and a guest
//! more changes elements only.
//!
//! ```
//! use guestnet_firewall::{Access, Entry, FirewallSpec, GuestLink, Transport};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut guest = GuestLink::new("tapweb1".parse()?, "02:00:5e:00:53:01".parse()?);
//! guest.addresses = vec!["192.168.0.85/32".parse()?];
//! let https = Entry { protocol: Some(Transport::TCP), ports: vec![443.into()], ..Entry::default() };
//! guest.access = Access { ingress: vec![https], egress: vec![Entry::default()], ..Access::default() };
//! let tables = FirewallSpec { guests: vec![guest], ..FirewallSpec::default() }.lower();
//! assert!(tables[0].to_nft().contains("oifname . meta l4proto . th dport @own_in_port16"));
//! # Ok(())
//! # }
//! ```

mod access;
mod check;
mod drops;
mod explain;
mod guests;
mod lower;
mod message;
mod paragraph;
mod prefixes;
mod rate;
mod released;
mod rules;
mod shape;
mod spec;
mod words;

pub use access::{Access, Entry, Group, GroupName, PortRange, Tier, Transport};
pub use check::{Known, check_ethertypes, check_vlans};
pub use drops::{Drops, drops};
pub use explain::{Decision, Packet};
pub use lower::TABLE;
pub use message::IcmpMessage;
pub use paragraph::Paragraph;
pub use rate::{Rate, RateLimit};
pub use released::released;
pub use rules::owned::is_exclusive;
pub use spec::{FirewallSpec, Guard, GuestLink, HostAccess, LogDrops, TunnelEnds, check_trusted};
