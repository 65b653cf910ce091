//! Links: veth pairs across namespaces, taps, bridges and their ports, dummies, xfrm interfaces.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::name::{LinkName, Mac, Netns, NetnsName};
use crate::problem::{Path, Problems};
use crate::set::Object;

mod bridge;
mod conf;
mod encode;
mod read;

pub use bridge::{BridgeOptions, PortOptions};
pub(crate) use conf::Conf;
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
    /// The bridge whose port it is, whoever made that (`ip link set … master`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<LinkName>,
    /// What the bridge does with the port. Means nothing without one.
    #[serde(default, skip_serializing_if = "PortOptions::is_default")]
    pub port: PortOptions,
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
    /// An interface through which packets are routed into the tunnels that have its id, `ip link add … type xfrm if_id
    /// …` (kernel 4.19, `CONFIG_XFRM_INTERFACE`). What no policy takes is dropped.
    Xfrm(XfrmOptions),
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

/// How an xfrm interface is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct XfrmOptions {
    /// The id that its policies and states have (`if_id`); one interface of a namespace has it.
    pub if_id: NonZeroU32,
}

impl Link {
    /// An interface that is up, everything else left to the kernel.
    pub fn new(name: LinkName, kind: LinkKind) -> Self {
        Self { name, kind, mtu: None, mac: None, up: true, bridge: None, port: PortOptions::default() }
    }

    /// Notes what is wrong with the link itself.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if let Some(mtu) = self.mtu.filter(|mtu| !(68..=65535).contains(mtu)) {
            problems.at(&path.field("mtu"), format!("{mtu} is not an MTU: 68 to 65535"));
        }
        if let LinkKind::Other(kind) = &self.kind {
            problems.at(&path.field("kind"), format!("guestnet cannot make a link of kind {kind:?}"));
        }
        if let LinkKind::Bridge(options) = &self.kind
            && let Some(problem) = options.problem()
        {
            problems.at(&path.field("kind").field("bridge").field("ageing"), problem);
        }
        if self.bridge.is_none() && !self.port.is_default() {
            problems.at(&path.field("bridge"), "is missing: options of its port are given");
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
            && (self.bridge.is_none() || self.port == found.port)
    }
}

impl LinkKind {
    /// Whether a link of the kind `old` can be made into one of this kind. Bridges take all their options in place.
    fn can_follow(&self, old: &Self) -> bool {
        matches!((self, old), (Self::Bridge(_), Self::Bridge(_))) || self.accepts(old)
    }

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
            write!(f, " master {bridge}{}", self.port)?;
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
            Self::Bridge(bridge) => bridge.fmt(f),
            Self::Dummy => f.write_str("dummy"),
            Self::Xfrm(xfrm) => write!(f, "xfrm if_id {:#x}", xfrm.if_id),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}
