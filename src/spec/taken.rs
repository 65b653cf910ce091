//! What one part of a spec has, another cannot have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::{LinkName, Mac, Netns, NetnsName, Path, Problems};
use ipnet::Ipv6Net;
use smol_str::SmolStr;

/// What can be had: a value and not its text, because most are claimed and never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum What {
    Name(SmolStr),
    Address(IpAddr),
    Prefix(Ipv6Net),
    /// On the segment of a bridge.
    Station(SmolStr, Mac),
}

/// What is taken, of which kind, in which namespace; and by which value of the spec.
pub(super) struct Taken(HashMap<(&'static str, Netns, What), Path>);

impl Taken {
    /// Nothing yet, of about `count` things.
    pub(super) fn with_room(count: usize) -> Self {
        Self(HashMap::with_capacity(count))
    }

    /// Takes `what`, and says whether it was to be had.
    pub(super) fn claim(
        &mut self,
        kind: &'static str,
        netns: &Netns,
        what: impl Into<What>,
        path: &Path,
        problems: &mut Problems,
    ) -> bool {
        match self.0.entry((kind, netns.clone(), what.into())) {
            Entry::Occupied(first) => {
                let (kind, _, what) = first.key();
                let cause = first.get();
                problems.at_because(path, cause, format!("the {kind} {what} is taken by {cause}"));
                false
            }
            Entry::Vacant(free) => {
                free.insert(path.clone());
                true
            }
        }
    }

    /// The value of the spec that has it.
    pub(super) fn by(&self, kind: &'static str, netns: &Netns, what: impl Into<What>) -> Option<&Path> {
        self.0.get(&(kind, netns.clone(), what.into()))
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Station(bridge, mac) => write!(f, "{mac} in {bridge}"),
        }
    }
}

impl From<&str> for What {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<&LinkName> for What {
    fn from(name: &LinkName) -> Self {
        name.as_str().into()
    }
}

impl From<(&LinkName, Mac)> for What {
    fn from((bridge, mac): (&LinkName, Mac)) -> Self {
        Self::Station(bridge.as_str().into(), mac)
    }
}

impl From<&NetnsName> for What {
    fn from(name: &NetnsName) -> Self {
        name.as_str().into()
    }
}

impl From<Ipv4Addr> for What {
    fn from(address: Ipv4Addr) -> Self {
        Self::Address(address.into())
    }
}

impl From<Ipv6Addr> for What {
    fn from(address: Ipv6Addr) -> Self {
        Self::Address(address.into())
    }
}

impl From<Ipv6Net> for What {
    fn from(prefix: Ipv6Net) -> Self {
        Self::Prefix(prefix)
    }
}
