//! Links: veth pairs across namespaces, taps, bridges and their ports, dummies, xfrm interfaces.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::extras::Mendable;
use crate::name::{LinkName, Mac, Netns, NetnsName};
use crate::problem::{Path, Problems};
use crate::set::Object;

mod bridge;
mod conf;
mod encode;
mod flags;
mod in_use;
mod neighbours;
mod read;
mod set;
mod settings;
mod unusual;

pub use bridge::{BridgeOptions, PortOptions};
pub(crate) use conf::Conf;
pub(crate) use encode::{mark, mark_loopback};
pub use flags::Flags;
pub use in_use::{in_use, mac_of, users};
pub use read::VethEnd;
pub(crate) use read::{Names, dump_request, get_loopback, get_request, index_request};
pub use settings::{AddrGenMode, Ipv4Settings, Ipv6Settings, Settings};

/// The largest MTU of a tap: with the Ethernet header 65535 bytes (`tun_net_initialize` in the kernel).
pub const MOST_OF_TAP: u32 = 65535 - 14;

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
    /// The largest packet, in bytes without the Ethernet header: 68 to 65535 (of a tap, to 65521), from 1280 on for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The MAC address. A tap is made with it, and keeps another that was set since: some monitors set one when they open
    /// it.
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
    /// How it deals with packets and neighbours.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// Flags of a link on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub besides: Flags,
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

/// How a tap is made; see `linux/if_tun.h`, TUNSETIFF.
///
/// A tap that somebody has open cannot be changed by others, so where one of these differs it is made anew. The rest of
/// what an opener may set (`IFF_NO_PI`, `IFF_NAPI`, offloads, the number of queues, the carrier) is neither made nor
/// compared.
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
    /// whoever needs them. The tap is made so; from then on the last who opened it decides (`IFF_VNET_HDR`), and either
    /// is accepted.
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
        Self {
            name,
            kind,
            mtu: None,
            mac: None,
            up: true,
            bridge: None,
            port: PortOptions::default(),
            settings: Settings::default(),
            besides: Flags::default(),
        }
    }

    /// Notes what is wrong with the link itself.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let most = if matches!(self.kind, LinkKind::Tap(_)) { MOST_OF_TAP } else { 65535 };
        if let Some(mtu) = self.mtu.filter(|mtu| !(68..=most).contains(mtu)) {
            problems.at(&path.field("mtu"), format!("{mtu} is not an MTU of this link: 68 to {most}"));
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
        self.settings.check(self.mtu, &path.field("settings"), problems);
        if let Some(why) = self.name.reserved() {
            problems.at(&path.field("name"), why);
        }
        if let LinkKind::Veth(peer) = &self.kind {
            let path = path.field("kind").field("veth").field("peer");
            if let Some(why) = peer.peer.reserved() {
                problems.at(&path, why);
            }
            if peer.namespace.is_none() && peer.peer == self.name {
                problems.at(&path, format!("{} is the name of this end", peer.peer));
            }
        }
    }

    /// The link without what the kernel gives to every new one, as a spec would say it.
    #[must_use]
    pub fn in_short(self) -> Self {
        Self { settings: self.settings.unusual(), ..self }
    }

    /// Its settings, and ARP where a link that is found has lost what each of its kind has.
    fn settings_for(&self, found: &Self) -> Settings {
        let is_lost = self.kind.is_ethernet() && found.settings.arp == Some(false);
        let arp = self.settings.arp.or(is_lost.then_some(true));
        Settings { arp, ..self.settings.clone() }
    }

    /// What becomes of `found` when it is changed into this link in place: of a tap its opener decides the MAC address and
    /// the header before each frame.
    fn in_place_of(&self, found: &Self) -> Cow<'_, Self> {
        let (LinkKind::Tap(new), LinkKind::Tap(old)) = (&self.kind, &found.kind) else {
            return Cow::Borrowed(self);
        };
        let tap = TapOptions { vnet_hdr: old.vnet_hdr, ..new.clone() };
        Cow::Owned(Self { mac: found.mac, kind: LinkKind::Tap(tap), ..self.clone() })
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
            && (self.mac.is_none() || self.mac == found.mac || matches!(self.kind, LinkKind::Tap(_)))
            && self.up == found.up
            && self.bridge == found.bridge
            && (self.bridge.is_none() || self.port.accepts(&found.port))
            && self.settings_for(found).accepts(&found.settings)
            && self.besides.accepts(&found.besides)
    }

    fn changed_from(&self, old: &Self) -> String {
        format!("{}  (was: {old})", self.in_place_of(old))
    }
}

impl TapOptions {
    fn accepts(&self, found: &Self) -> bool {
        (self.owner, self.group, self.multi_queue) == (found.owner, found.group, found.multi_queue)
    }
}

impl LinkKind {
    /// Whether a link of the kind `old` can be made into one of this kind. Bridges take all their options in place.
    fn can_follow(&self, old: &Self) -> bool {
        matches!((self, old), (Self::Bridge(_), Self::Bridge(_))) || self.accepts(old)
    }

    fn accepts(&self, found: &Self) -> bool {
        match (self, found) {
            // The name of an other end that could not be found is reported as Other("veth"): now, or before an undo.
            (Self::Veth(_), Self::Other(kind)) | (Self::Other(kind), Self::Veth(_)) => kind == "veth",
            (Self::Tap(wanted), Self::Tap(found)) => wanted.accepts(found),
            (Self::Bridge(wanted), Self::Bridge(found)) => wanted.accepts(found),
            _ => self == found,
        }
    }

    /// Whether a new link of the kind has ARP and multicast.
    fn is_ethernet(&self) -> bool {
        self.is_veth() || matches!(self, Self::Tap(_) | Self::Bridge(_))
    }

    /// Whether it is one end of a pair, be the other known or not.
    pub fn is_veth(&self) -> bool {
        match self {
            Self::Veth(_) => true,
            Self::Other(kind) => kind.starts_with("veth"),
            _ => false,
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
        write!(f, "{}{}", self.settings, self.besides)?;
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
