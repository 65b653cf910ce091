//! nf_tables objects: tables with their chains, rules, sets and maps; one atomic transaction for a change; and
//! reading back into the same types.
//!
//! A [`Table`] is what is wanted and what was found. Its rules are made of the kernel's own expressions ([`expr`]),
//! which [`Field`]s and [`statement`]s build in nft's words. Its sets and maps are where guests go: a change of
//! [`Element`]s sends elements only, however large the table, while any other change makes the table anew. Either is
//! one transaction.
//!
//! ```
//! use guestnet_nft::{Chain, DataType, Element, Family, Hook, Rule, Set, Table, ip};
//! # fn main() -> Result<(), String> {
//! let inbound = Set::map("inbound".parse()?, DataType::Ipv4Addr, DataType::Ipv4Addr)
//!     .with([Element::mapping(std::net::Ipv4Addr::new(203, 0, 113, 7), std::net::Ipv4Addr::new(10, 0, 0, 7))]);
//! let rule = Rule::new().with(ip::daddr().set(ip::daddr().map("inbound".parse()?)));
//! let table = Table::new(Family::Ip, "guestnet_nat".parse()?)
//!     .set(inbound)
//!     .chain(Chain::base("pre".parse()?, Hook::Prerouting, -300).rule(rule));
//! assert!(table.to_nft().contains("ip daddr set ip daddr map @inbound"));
//! # Ok(())
//! # }
//! ```
//!
//! libnftnl (GPL-2.0-or-later) writes the messages; reading them is this crate's own.

mod chain;
mod chains;
mod check;
mod counters;
mod datatype;
mod element;
mod elements;
mod encode;
pub mod evaluate;
pub mod expr;
mod family;
mod field;
mod fields;
mod foreign;
mod interval;
mod json;
mod name;
mod observe;
mod read;
mod render;
mod rule;
pub mod ruleset;
mod set;
mod setelem;
mod stateful;
pub mod statement;
mod sys;
mod table;
mod types;
mod uapi;
mod userdata;
mod value;
mod verdict;
mod view;
mod words;

pub use chain::{Base, Chain, ChainType, Hook, Policy};
pub use counters::{Count, counters, counters_of};
pub use datatype::DataType;
pub use element::{Data, Element, Key, Values};
pub use elements::Elements;
pub use expr::Expr;
pub use family::Family;
pub use field::{Field, Load, Operand};
pub use fields::{arp, ct, ether, icmp, icmpv6, ip, ip6, meta, raw, th};
pub use foreign::foreign_tables;
pub use name::{Name, TableName};
pub use rule::{Rule, Statement};
pub use set::{MapType, Set};
pub use stateful::Stateful;
pub use table::{Table, TableKey};
pub use types::Types;
pub use value::Value;
pub use verdict::Verdict;
