//! The ground under guestnet: keyed sets and their difference, netlink sessions, network namespaces, and the
//! plain objects that live in a namespace (links, addresses, routes, sysctls) or beside it (files).
//!
//! Everything on a host is a keyed set. An object is the same type whether it is desired or observed, so a
//! plan is a subtraction ([`diff::diff`]) and a verification is a plan that came out empty.

pub mod act;
pub mod address;
pub mod conntrack;
pub mod diff;
mod discreet;
pub mod error;
pub mod extras;
pub mod file;
pub mod input;
pub mod kind;
pub mod life;
pub mod link;
pub mod name;
pub mod netlink;
pub mod netns;
pub mod owner;
pub mod problem;
pub mod recall;
pub mod records;
#[cfg(feature = "replay")]
pub mod replay;
pub mod route;
pub mod schema;
pub mod set;
mod sys;
pub mod sysctl;
pub mod tap;
mod text;
pub mod trust;
mod visible;

#[doc(hidden)]
pub use schemars;

pub use act::{Act, Deed, Watch};
pub use address::Address;
pub use diff::Change;
pub use discreet::without_keys;
pub use error::{Error, KernelError, Result};
pub use extras::{Extras, Mendable};
pub use file::{File, FilePath};
pub use kind::{Context, Kind, Message, Outbox, Pass, Phase, Protocol, Ripple, Step};
pub use link::{Link, LinkKind};
pub use name::{LinkName, Mac, Netns, NetnsName};
pub use netns::Namespace;
pub use problem::{Path, Problem, Problems};
pub use recall::Transcript;
pub use route::{Route, RouteKind};
pub use set::{Foreign, Object, Observed, Set};
pub use sysctl::Sysctl;
pub use text::number;
pub use visible::{visible, visible_lines};
