//! Links: veth pairs across namespaces, taps, bridges and their ports, dummies.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{LinkName, Mac, Netns, NetnsName};
use crate::problem::{Path, Problems};
use crate::set::Object;

mod encode;
mod read;

pub(crate) use encode::{mark, mark_loopback};
pub use read::VethEnd;
pub(crate) use read::{Names, dump_request, get_loopback, get_request};

/// A network interface.
///
/// What is left out of a wanted link is the kernel's to choose, and any choice of it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its name, the key.
    pub name: LinkName,
    /// What it is.
    pub kind: LinkKind,
    /// The largest packet, in bytes without the Ethernet header: 68 to 65535, from 1280 on for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Whether it is up (`ip link set … up`).
    #[serde(default = "yes")]
    pub up: bool,
    /// The bridge whose port it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<LinkName>,
}

fn yes() -> bool {
    true
}

/// What a link is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LinkKind {
    /// One end of a pair, `ip link add … type veth`. The other end may be in another namespace.
    Veth(Peer),
    /// A tap that a virtual machine monitor opens, `ip tuntap add … mode tap`.
    Tap(TapOptions),
    /// An Ethernet bridge.
    Bridge(BridgeOptions),
    /// An interface that drops what is sent to it.
    Dummy,
    /// A kind that guestnet does not make; only ever observed.
    Other(String),
}

/// The other end of a veth pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name.
    pub peer: LinkName,
    /// Its namespace; left out: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NetnsName>,
}

/// How a tap is made; see `linux/if_tun.h`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TapOptions {
    /// The user who may open it without privilege (`user`), by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// The group whose members may open it without privilege (`group`), by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Several queues (`multi_queue`): the monitor opens it once for each.
    #[serde(default)]
    pub multi_queue: bool,
    /// A `struct virtio_net_hdr` before each frame (`vnet_hdr`), so that checksums and segmentation are left to
    /// whoever needs them.
    #[serde(default)]
    pub vnet_hdr: bool,
}

/// How a bridge is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BridgeOptions {
    /// Spanning tree (`stp_state`).
    #[serde(default)]
    pub stp: bool,
    /// Forward by VLAN (`vlan_filtering`).
    #[serde(default)]
    pub vlan_filtering: bool,
}

impl Link {
    /// An interface that is up, everything else left to the kernel.
    pub fn new(name: LinkName, kind: LinkKind) -> Self {
        Self { name, kind, mtu: None, mac: None, up: true, bridge: None }
    }

    /// Notes what is wrong with the link itself.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if let Some(mtu) = self.mtu.filter(|mtu| !(68..=65535).contains(mtu)) {
            problems.at(&path.field("mtu"), format!("{mtu} is not an MTU: 68 to 65535"));
        }
        if let LinkKind::Other(kind) = &self.kind {
            problems.at(&path.field("kind"), format!("guestnet cannot make a link of kind {kind:?}"));
        }
        if self.name.as_str() == "lo" {
            problems.at(&path.field("name"), "the loopback is the kernel's");
        }
    }

    /// The other end of a veth, as a link that the kernel fills in.
    pub fn other_end(&self, mine: &Netns) -> Option<(Netns, Self)> {
        let LinkKind::Veth(peer) = &self.kind else { return None };
        let namespace = match mine {
            Netns::Host => None,
            Netns::Named(name) => Some(name.clone()),
        };
        let back = LinkKind::Veth(Peer { peer: self.name.clone(), namespace });
        Some((peer.netns(), Self::new(peer.peer.clone(), back)))
    }
}

impl Peer {
    /// The namespace that the other end is in.
    pub fn netns(&self) -> Netns {
        self.namespace.clone().map_or(Netns::Host, Netns::Named)
    }
}

impl Object for Link {
    type Key = LinkName;
    const KIND: &'static str = "link";

    fn key(&self) -> LinkName {
        self.name.clone()
    }

    fn accepts(&self, found: &Self) -> bool {
        self.kind.accepts(&found.kind)
            && (self.mtu.is_none() || self.mtu == found.mtu)
            && (self.mac.is_none() || self.mac == found.mac)
            && self.up == found.up
            && self.bridge == found.bridge
    }
}

impl LinkKind {
    fn accepts(&self, found: &Self) -> bool {
        match (self, found) {
            // The name of an other end that could not be found is reported as Other("veth").
            (Self::Veth(_), Self::Other(kind)) => kind == "veth",
            _ => self == found,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)?;
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(mac) = self.mac {
            write!(f, " address {mac}")?;
        }
        if let Some(bridge) = &self.bridge {
            write!(f, " master {bridge}")?;
        }
        f.write_str(if self.up { " up" } else { " down" })
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Veth(Peer { peer, namespace: None }) => write!(f, "veth peer {peer}"),
            Self::Veth(Peer { peer, namespace: Some(netns) }) => write!(f, "veth peer {peer} netns {netns}"),
            Self::Tap(tap) => {
                f.write_str("tap")?;
                if let Some(owner) = tap.owner {
                    write!(f, " user {owner}")?;
                }
                if let Some(group) = tap.group {
                    write!(f, " group {group}")?;
                }
                f.write_str(if tap.multi_queue { " multi_queue" } else { "" })?;
                f.write_str(if tap.vnet_hdr { " vnet_hdr" } else { "" })
            }
            Self::Bridge(bridge) => {
                f.write_str("bridge")?;
                f.write_str(if bridge.stp { " stp_state 1" } else { "" })?;
                f.write_str(if bridge.vlan_filtering { " vlan_filtering 1" } else { "" })
            }
            Self::Dummy => f.write_str("dummy"),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}
