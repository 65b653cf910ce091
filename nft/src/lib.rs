//! nf_tables objects: tables with their chains, rules, sets and maps; one atomic transaction for a change; and
//! reading back into the same types.
mod chain;
mod check;
mod datatype;
mod element;
mod encode;
pub mod expr;
mod family;
mod field;
mod interval;
mod json;
mod name;
mod observe;
mod read;
mod render;
mod rule;
mod set;
pub mod statement;
mod sys;
mod table;
mod userdata;
mod value;
mod verdict;
mod words;

pub use chain::{Base, Chain, ChainType, Hook, Policy};
pub use datatype::DataType;
pub use element::{Data, Element, Key};
pub use expr::Expr;
pub use family::Family;
pub use field::{Field, Load, Operand, arp, ct, ether, icmp, icmpv6, ip, ip6, meta, raw, th};
pub use name::{Name, TableName};
pub use rule::{Rule, Statement};
pub use set::{MapType, Set};
pub use table::{Table, TableKey};
pub use value::Value;
pub use verdict::Verdict;
