//! Links: veth pairs across namespaces, taps, bridges and their ports, dummies.

use std::collections::BTreeMap;
use std::fmt;

use netlink_packet_core::Emitable;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::kind::{Context, Kind, Message, Outbox, Phase, Protocol, Step};
use crate::name::{LinkName, Mac, Netns, NetnsName};
use crate::netlink::{Attributes, Dump};
use crate::netns::Namespace;
use crate::owner::{DOOMED_GROUP, LINK_GROUP};
use crate::problem::{Path, Problems};
use crate::set::{Change, Object, Observed, Set};

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

impl Kind for Link {
    const PHASES: &'static [Phase] = &[Phase::Links, Phase::Up];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let dump = namespace.dump(Protocol::Route, &dump_request())?;
        namespace.learn_links(&dump);
        let mut observed = Observed::default();
        for mut found in dump.replies().filter_map(|reply| read(reply.payload, namespace)) {
            // A kill fell between the two steps of its deletion: whoever wants it gets it anew.
            if found.group == DOOMED_GROUP {
                found.link.kind = LinkKind::Other("doomed".into());
            }
            if [LINK_GROUP, DOOMED_GROUP].contains(&found.group) {
                observed.ours.insert(found.link);
            } else {
                observed.note_foreign(&found.link, wanted);
            }
        }
        Ok(observed)
    }

    fn encode(change: &Change<Self>, phase: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
        match (change, phase) {
            (Change::Create(new), Phase::Links) => create(new, context, out)?,
            (Change::Create(new), Phase::Up) if new.up || new.bridge.is_some() => {
                out.send(Protocol::Route, set(new, None, phase, context)?);
            }
            (Change::Replace { old, new }, Phase::Links) if new.mtu != old.mtu || new.mac != old.mac => {
                out.send(Protocol::Route, set(new, Some(old), phase, context)?);
            }
            (Change::Replace { old, new }, Phase::Up)
                if new.up != old.up || new.bridge != old.bridge || goes_down(old, new) =>
            {
                out.send(Protocol::Route, set(new, Some(old), phase, context)?);
            }
            // Each deletion by itself would wait for all CPUs (RCU); those of a group wait once for all of them.
            (Change::Delete(old), Phase::Up) => {
                out.send(Protocol::Route, mark(&old.name, DOOMED_GROUP));
            }
            (Change::Delete(_), Phase::Links) => {
                let mut message = LinkMessage::default();
                message.attributes.push(LinkAttribute::Group(DOOMED_GROUP));
                out.send(Protocol::Route, encode(libc::RTM_DELLINK, 0, &message));
            }
            _ => {}
        }
        Ok(())
    }

    fn can_become(old: &Self, new: &Self) -> bool {
        new.kind.accepts(&old.kind)
    }
}

/// Whether the link goes down on its way from `old` to `new`: only when it comes up again does the kernel give it the
/// link-local address of a new MAC, through which others may be routed.
fn goes_down(old: &Link, new: &Link) -> bool {
    old.up && new.mac.is_some_and(|mac| old.mac != Some(mac))
}

/// Whether this end makes the pair: the one whose namespace and name come first.
fn makes_the_pair(own: &Netns, name: &LinkName, peer: &Peer) -> bool {
    (own, name) < (&peer.netns(), &peer.peer)
}

fn create(new: &Link, context: &Context, out: &mut Outbox) -> Result<()> {
    let info = match &new.kind {
        LinkKind::Tap(options) => {
            out.act(Step::MakeTap(new.name.clone(), options.clone()));
            None
        }
        LinkKind::Veth(peer) if !makes_the_pair(&context.netns, &new.name, peer) => None,
        LinkKind::Veth(peer) => {
            let mut other = LinkMessage::default();
            other.attributes.push(LinkAttribute::IfName(peer.peer.to_string()));
            other.attributes.push(LinkAttribute::Group(LINK_GROUP));
            if peer.netns() != context.netns {
                other.attributes.push(LinkAttribute::NetNsFd(context.namespace(&peer.netns())?));
            }
            Some(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other)))])
        }
        LinkKind::Bridge(bridge) => {
            // What is off is not said: a kernel without it would refuse even that.
            let mut options = Vec::new();
            options.extend(bridge.stp.then(|| InfoBridge::StpState(1.into())));
            options.extend(bridge.vlan_filtering.then_some(InfoBridge::VlanFiltering(true)));
            Some(vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(options))])
        }
        LinkKind::Dummy => Some(vec![LinkInfo::Kind(InfoKind::Dummy)]),
        LinkKind::Other(kind) => {
            return Err(crate::Error::malformed(
                format!("link {}", new.name),
                format!("kind {kind} cannot be made"),
            ));
        }
    };
    let Some(info) = info else {
        // The link is there by now, made as a tap or by its other end.
        if new.mtu.is_some() || new.mac.is_some() {
            out.send(Protocol::Route, set(new, None, Phase::Links, context)?);
        }
        return Ok(());
    };
    let mut message = attributes(new, None);
    message.attributes.push(LinkAttribute::Group(LINK_GROUP));
    message.attributes.push(LinkAttribute::LinkInfo(info));
    out.send(Protocol::Route, encode(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &message));
    Ok(())
}

/// Name, MTU and MAC of `new`, as far as they differ from `old`.
fn attributes(new: &Link, old: Option<&Link>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(new.name.to_string()));
    if let Some(mtu) = new.mtu.filter(|_| old.is_none_or(|old| old.mtu != new.mtu)) {
        message.attributes.push(LinkAttribute::Mtu(mtu));
    }
    if let Some(mac) = new.mac.filter(|_| old.is_none_or(|old| old.mac != new.mac)) {
        message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
    }
    message
}

/// The message that makes an existing link into `new`, as far as `phase` is concerned.
fn set(new: &Link, old: Option<&Link>, phase: Phase, context: &Context) -> Result<Message> {
    let mut message;
    if phase == Phase::Links {
        message = attributes(new, old);
        if old.is_some_and(|old| goes_down(old, new)) {
            message.header.change_mask = LinkFlags::Up;
        }
    } else {
        message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(new.name.to_string()));
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if new.up { LinkFlags::Up } else { LinkFlags::empty() };
        if old.and_then(|old| old.bridge.as_ref()) != new.bridge.as_ref() {
            let index = new.bridge.as_ref().map_or(Ok(0), |bridge| context.index(bridge))?;
            message.attributes.push(LinkAttribute::Controller(index));
        }
    }
    Ok(encode(libc::RTM_NEWLINK, 0, &message))
}

pub(crate) fn encode(kind: u16, flags: libc::c_int, message: &LinkMessage) -> Message {
    let mut payload = vec![0; message.buffer_len()];
    message.emit(&mut payload);
    Message::new(kind, flags as u16, &payload)
}

/// The message that marks the loopback of a namespace of ours, and sets it up.
pub(crate) fn mark_loopback(mark: &str) -> Message {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName("lo".into()));
    message.attributes.push(LinkAttribute::IfAlias(mark.into()));
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = LinkFlags::Up;
    encode(libc::RTM_NEWLINK, 0, &message)
}

/// The message that puts a link into `group`.
pub(crate) fn mark(name: &LinkName, group: u32) -> Message {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_string()));
    message.attributes.push(LinkAttribute::Group(group));
    encode(libc::RTM_NEWLINK, 0, &message)
}

const IFINFOMSG: usize = 16;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

/// Asks for all links, without their counters.
pub(crate) fn dump_request() -> Message {
    let mut payload = vec![0; IFINFOMSG];
    payload.extend(8_u16.to_ne_bytes());
    payload.extend(IFLA_EXT_MASK.to_ne_bytes());
    payload.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    Message::new(libc::RTM_GETLINK, 0, &payload)
}

fn index(payload: &[u8]) -> Option<u32> {
    payload.get(4..8)?.try_into().ok().map(u32::from_ne_bytes)
}

/// What a dump of links says about a namespace as a whole.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) by_index: BTreeMap<u32, LinkName>,
    /// The alias of the loopback, which carries the mark of a namespace.
    pub(crate) alias: Option<String>,
    pub(crate) veths: BTreeMap<LinkName, VethEnd>,
}

/// What the kernel says of one end of a veth pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VethEnd {
    /// The index of this end.
    pub index: u32,
    /// The index of the other end, in its namespace.
    pub peer_index: u32,
    /// Whether the other end is in another namespace.
    pub elsewhere: bool,
}

/// Reads names, indexes and the loopback's alias. Names that guestnet would not make are passed over.
pub(crate) fn names(dump: &Dump) -> Names {
    let mut names = Names::default();
    for reply in dump.replies() {
        let attributes = Attributes::after(reply.payload, IFINFOMSG);
        let name = attributes.get_str(libc::IFLA_IFNAME).and_then(|n| n.parse::<LinkName>().ok());
        let (Some(name), Some(index)) = (name, index(reply.payload)) else { continue };
        if name.as_str() == "lo" {
            names.alias = attributes.get_str(libc::IFLA_IFALIAS).map(str::to_owned);
        }
        let info = Attributes::after(attributes.get(libc::IFLA_LINKINFO).unwrap_or_default(), 0);
        if let (Some("veth"), Some(peer_index)) =
            (info.get_str(libc::IFLA_INFO_KIND), attributes.get_u32(libc::IFLA_LINK))
        {
            let elsewhere = attributes.get(libc::IFLA_LINK_NETNSID).is_some();
            names.veths.insert(name.clone(), VethEnd { index, peer_index, elsewhere });
        }
        names.by_index.insert(index, name);
    }
    names
}

struct Found {
    group: u32,
    link: Link,
}

fn read(payload: &[u8], namespace: &Namespace) -> Option<Found> {
    let attributes = Attributes::after(payload, IFINFOMSG);
    let name: LinkName = attributes.get_str(libc::IFLA_IFNAME)?.parse().ok()?;
    let flags = payload.get(8..12)?.try_into().ok().map(u32::from_ne_bytes)?;
    let info = Attributes::after(attributes.get(libc::IFLA_LINKINFO).unwrap_or_default(), 0);
    let data = Attributes::after(info.get(libc::IFLA_INFO_DATA).unwrap_or_default(), 0);
    let kind = match info.get_str(libc::IFLA_INFO_KIND) {
        Some("veth") => veth(&name, namespace).unwrap_or_else(|| LinkKind::Other("veth".into())),
        Some("tun") => read_tap(data),
        Some("bridge") => LinkKind::Bridge(BridgeOptions {
            stp: data.get_u32(IFLA_BR_STP_STATE).is_some_and(|stp| stp != 0),
            vlan_filtering: data.get(IFLA_BR_VLAN_FILTERING).is_some_and(|v| v.first() == Some(&1)),
        }),
        Some("dummy") => LinkKind::Dummy,
        Some(kind) => LinkKind::Other(kind.to_owned()),
        None => LinkKind::Other("device".into()),
    };
    let bridge = attributes.get_u32(libc::IFLA_MASTER).filter(|master| *master != 0);
    Some(Found {
        group: attributes.get_u32(libc::IFLA_GROUP).unwrap_or(0),
        link: Link {
            name,
            kind,
            mtu: attributes.get_u32(libc::IFLA_MTU),
            mac: attributes.get(libc::IFLA_ADDRESS).and_then(|mac| mac.try_into().ok()).map(Mac),
            up: flags & libc::IFF_UP as u32 != 0,
            bridge: bridge.and_then(|index| namespace.link_name(index)).cloned(),
        },
    })
}

/// A veth whose other end is in the same namespace; of others only the host as a whole knows the name.
fn veth(name: &LinkName, namespace: &Namespace) -> Option<LinkKind> {
    let end = namespace.veths().get(name).filter(|end| !end.elsewhere)?;
    let peer = namespace.link_name(end.peer_index)?.clone();
    let namespace = match namespace.netns() {
        Netns::Host => None,
        Netns::Named(name) => Some(name.clone()),
    };
    Some(LinkKind::Veth(Peer { peer, namespace }))
}

const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_VLAN_FILTERING: u16 = 7;
const IFLA_TUN_OWNER: u16 = 1;
const IFLA_TUN_GROUP: u16 = 2;
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_VNET_HDR: u16 = 5;
const IFLA_TUN_MULTI_QUEUE: u16 = 7;

fn read_tap(data: Attributes<'_>) -> LinkKind {
    let flag = |kind| data.get(kind).is_some_and(|v| v.first() == Some(&1));
    if data.get(IFLA_TUN_TYPE).and_then(|v| v.first()) != Some(&(libc::IFF_TAP as u8)) {
        return LinkKind::Other("tun".into());
    }
    LinkKind::Tap(TapOptions {
        owner: data.get_u32(IFLA_TUN_OWNER),
        group: data.get_u32(IFLA_TUN_GROUP),
        multi_queue: flag(IFLA_TUN_MULTI_QUEUE),
        vnet_hdr: flag(IFLA_TUN_VNET_HDR),
    })
}
