//! Addresses of interfaces.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::extras::{Extras, Mendable};
use crate::name::LinkName;
use crate::problem::{Path, Problems};
use crate::set::Object;

impl Mendable for Besides {}

mod connected;
mod kernel;

pub(crate) use kernel::ip;
pub use kernel::others_on;

/// An address on an interface: `ip address add ADDRESS/LEN dev DEV`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The interface.
    pub dev: LinkName,
    /// The address with the length of its prefix: `192.168.0.1/24`.
    #[schemars(with = "crate::schema::IpInterface")]
    pub address: IpNet,
    /// Make no route to the prefix (`noprefixroute`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub noprefixroute: bool,
    /// Use the IPv6 address at once, without duplicate address detection (`nodad`, RFC 4862 section 5.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub nodad: bool,
    /// Attributes of an address on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub besides: Besides,
}

/// Attributes of an address that guestnet does not make: it tells addresses apart by them, and mends them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Besides {
    /// The address of the other end, where it is in another prefix (`peer`, IPv4).
    pub peer: Option<IpAddr>,
    /// Whether its lifetime is limited (`valid_lft`, `preferred_lft`).
    pub limited: bool,
    /// Whether the kernel's route to its prefix is gone (`ip route flush table main`).
    pub is_unrouted: bool,
    /// All others.
    pub extras: Extras,
}

impl Address {
    /// `address` on `dev`, with a route to its prefix and, for IPv6, duplicate address detection.
    pub fn new(dev: LinkName, address: IpNet) -> Self {
        Self { dev, address, noprefixroute: false, nodad: false, besides: Besides::default() }
    }

    /// Whether a spec can have it: nothing identifies it besides the interface and itself.
    pub fn can_be_wanted(&self) -> bool {
        self.besides.peer.is_none()
    }

    /// Whether it is an IPv6 address that each link has one of (RFC 4291 section 2.5.6).
    pub fn is_link_local(&self) -> bool {
        matches!(self.address, IpNet::V6(address) if address.addr().is_unicast_link_local())
    }
}

impl Address {
    /// Notes what is wrong with the address itself: what the kernel refuses for an interface, or would never use.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let why = match self.address.addr() {
            ip if ip.is_unspecified() => "it is the unspecified address",
            ip if ip.is_multicast() => "it is multicast",
            IpAddr::V4(v4) if v4.is_broadcast() => "it is the broadcast address",
            IpAddr::V6(v6) if v6.is_loopback() && self.dev.as_str() != "lo" => "it is the loopback's",
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "it is an IPv4 address in IPv6 form",
            _ => return,
        };
        let words = format!("{} cannot be the address of {}: {why}", self.address.addr(), self.dev);
        problems.at(&path.field("address"), words);
    }
}

impl Object for Address {
    type Key = AddressKey;
    const KIND: &'static str = "address";

    fn key(&self) -> AddressKey {
        AddressKey(self.dev.clone(), self.address, self.besides.peer)
    }

    /// The link-local address that the kernel has made by itself is as good as one that is added.
    fn accepts(&self, found: &Self) -> bool {
        let nodad = if self.is_link_local() { found.nodad } else { self.nodad };
        let alike = || Self { nodad, besides: found.besides.clone(), ..self.clone() };
        self == found || self.besides.accepts(&found.besides) && alike() == *found
    }
}

/// An address is identified by its interface, itself, the length of its prefix, and the other end in another prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressKey(LinkName, IpNet, Option<IpAddr>);

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.1, self.0)?;
        self.2.map_or(Ok(()), |peer| write!(f, " peer {peer}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.address, self.dev)?;
        f.write_str(if self.noprefixroute { " noprefixroute" } else { "" })?;
        f.write_str(if self.nodad { " nodad" } else { "" })?;
        if let Some(peer) = self.besides.peer {
            write!(f, " peer {peer}")?;
        }
        f.write_str(if self.besides.limited { " of limited lifetime" } else { "" })?;
        f.write_str(if self.besides.is_unrouted { " without the route to its prefix" } else { "" })?;
        self.besides.extras.fmt(f)
    }
}
