//! Reading links: what a dump of them says of each, and of the namespace as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use super::bridge::IFLA_BR_STP_STATE;
use super::{
    BridgeOptions, Conf, Flags, Link, LinkKind, Peer, PortOptions, Settings, TapOptions, XfrmOptions,
    neighbours,
};
use crate::error::Result;
use crate::kind::{Message, Protocol};
use crate::name::{LinkName, Mac, Netns};
use crate::netlink::{Attributes, Dump, number, put, text};
use crate::netns::Namespace;
use crate::owner::{DOOMED_GROUP, LINK_GROUP};
use crate::set::{Observed, Set};

const IFINFOMSG: usize = 16;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

/// Asks for all links, without their counters.
pub(crate) fn dump_request() -> Message {
    link_request(0, None)
}

/// Asks for the link called `name`.
pub(crate) fn get_request(name: &LinkName) -> Message {
    link_request(0, Some(name))
}

/// Asks for the link with `index`.
pub(crate) fn index_request(index: u32) -> Message {
    link_request(index, None)
}

/// Asks for the loopback, which is the first link of every namespace.
pub(crate) fn get_loopback() -> Message {
    link_request(1, None)
}

fn link_request(index: u32, name: Option<&LinkName>) -> Message {
    let mut payload = vec![0; IFINFOMSG];
    payload[4..8].copy_from_slice(&index.to_ne_bytes());
    put(&mut payload, IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    if let Some(name) = name {
        put(&mut payload, libc::IFLA_IFNAME, format!("{name}\0").as_bytes());
    }
    Message::new(libc::RTM_GETLINK, 0, &payload)
}

fn index(payload: &[u8]) -> Option<u32> {
    payload.get(4..8)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The flags of a link (`IFF_*`).
fn flags(payload: &[u8]) -> Option<u32> {
    payload.get(8..12)?.try_into().ok().map(u32::from_ne_bytes)
}

/// What a dump of links says about a namespace as a whole.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) by_index: BTreeMap<u32, LinkName>,
    pub(crate) indexes: Arc<BTreeMap<LinkName, u32>>,
    /// The alias of the loopback, which carries the mark of a namespace.
    pub(crate) alias: Option<String>,
    pub(crate) veths: BTreeMap<LinkName, VethEnd>,
    /// The indexes of those that are ours.
    pub(crate) ours: HashSet<u32>,
    /// The indexes of those among them that are up.
    pub(crate) up: HashSet<u32>,
    /// The indexes of bridges with a spanning tree.
    pub(crate) stp: HashSet<u32>,
    /// Settings by index, until something may have changed them.
    pub(crate) conf: HashMap<u32, Conf>,
    /// Whether these are all links that there were.
    pub(crate) complete: bool,
}

/// What the kernel says of one end of a veth pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VethEnd {
    /// The index of this end.
    pub index: u32,
    /// The index of the other end, in its namespace.
    pub peer_index: u32,
    /// Where the other end is in another namespace: the number that this one has for that (`RTM_GETNSID`).
    pub elsewhere: Option<u32>,
}

impl Names {
    /// What a new namespace has: the loopback, which is its first link.
    pub(crate) fn fresh() -> Self {
        let Ok(lo) = "lo".parse::<LinkName>() else { return Self::default() };
        let indexes = Arc::new(BTreeMap::from([(lo.clone(), 1)]));
        Self { by_index: BTreeMap::from([(1, lo)]), indexes, complete: true, ..Self::default() }
    }

    /// Takes names, indexes and the loopback's alias from links. Names that guestnet would not make are passed over.
    pub(crate) fn learn(&mut self, links: &Dump) {
        let indexes = Arc::make_mut(&mut self.indexes);
        for reply in links.replies() {
            let [name, alias, info, peer, elsewhere, group, families] =
                Attributes::after(reply.payload, IFINFOMSG).pick([
                    libc::IFLA_IFNAME,
                    libc::IFLA_IFALIAS,
                    libc::IFLA_LINKINFO,
                    libc::IFLA_LINK,
                    libc::IFLA_LINK_NETNSID,
                    libc::IFLA_GROUP,
                    libc::IFLA_AF_SPEC,
                ]);
            let name = name.and_then(text).and_then(|n| n.parse::<LinkName>().ok());
            let (Some(name), Some(index)) = (name, index(reply.payload)) else { continue };
            if name.as_str() == "lo" {
                self.alias = alias.and_then(text).map(str::to_owned);
            }
            let info = Attributes::after(info.unwrap_or_default(), 0);
            if let (Some("veth"), Some(peer_index)) =
                (info.get_str(libc::IFLA_INFO_KIND), peer.and_then(number))
            {
                let elsewhere = elsewhere.and_then(number);
                self.veths.insert(name.clone(), VethEnd { index, peer_index, elsewhere });
            }
            let data = Attributes::after(info.get(libc::IFLA_INFO_DATA).unwrap_or_default(), 0);
            let by_stp = info.get_str(libc::IFLA_INFO_KIND) == Some("bridge")
                && data.get_u32(IFLA_BR_STP_STATE).is_some_and(|stp| stp != 0);
            if by_stp {
                self.stp.insert(index);
            } else {
                self.stp.remove(&index);
            }
            self.conf.insert(index, Conf::read(families.unwrap_or_default()));
            self.ours.remove(&index);
            self.up.remove(&index);
            if group.and_then(number).is_some_and(is_ours) {
                self.ours.insert(index);
                self.up.extend(
                    flags(reply.payload).filter(|flags| flags & libc::IFF_UP as u32 != 0).map(|_| index),
                );
            }
            indexes.insert(name.clone(), index);
            self.by_index.insert(index, name);
        }
    }

    /// Knows nothing any more of the links called `names`.
    pub(crate) fn forget(&mut self, names: &[&LinkName]) {
        let indexes = Arc::make_mut(&mut self.indexes);
        for name in names {
            if let Some(index) = indexes.remove(*name) {
                self.by_index.remove(&index);
                self.ours.remove(&index);
                self.up.remove(&index);
                self.conf.remove(&index);
            }
            self.veths.remove(*name);
        }
    }
}

/// Ours by their group, and others that hold a wanted name.
pub(super) fn observe(namespace: &mut Namespace, wanted: &Set<Link>) -> Result<Observed<Link>> {
    let dump = namespace.dump(Protocol::Route, &dump_request())?;
    namespace.learn_links(&dump);
    sorted(&dump, namespace, wanted)
}

/// How many links are asked for one by one; more than that, and a dump of all is less.
const SINGLE: usize = 256;

/// Those that hold a wanted name, ours and others', and what is said of them: their other ends in this namespace and the
/// bridges that they are ports of.
pub(super) fn observe_keys(namespace: &mut Namespace, wanted: &Set<Link>) -> Result<Observed<Link>> {
    if wanted.len() > SINGLE {
        let mut all = observe(namespace, wanted)?;
        all.ours.retain(|link| wanted.contains(&link.name));
        return Ok(all);
    }
    let dump = namespace.refresh_links_of(wanted.iter().map(|link| &link.name))?;
    let said = dump.replies().flat_map(|reply| {
        let attributes = Attributes::after(reply.payload, IFINFOMSG);
        let nearby = attributes.get(libc::IFLA_LINK_NETNSID).is_none();
        let peer = attributes.get_u32(libc::IFLA_LINK).filter(|_| nearby);
        [peer, attributes.get_u32(libc::IFLA_MASTER)]
    });
    let unnamed = said.flatten().filter(|index| *index != 0 && namespace.link_name(*index).is_none());
    let requests: Vec<Message> = unnamed.map(|index| link_request(index, None)).collect();
    let more = namespace.get_each(Protocol::Route, &requests)?;
    namespace.learn_more(&more);
    sorted(&dump, namespace, wanted)
}

/// Ours and others' of `dump`.
fn sorted(dump: &Dump, namespace: &mut Namespace, wanted: &Set<Link>) -> Result<Observed<Link>> {
    let mut observed = Observed::default();
    let mut found: Vec<Found> = dump
        .replies()
        .filter_map(|reply| read(reply.payload, namespace))
        .filter(|found| found.matters(wanted))
        .collect();
    neighbours::read(namespace, wanted, found.iter_mut().map(|found| &mut found.link))?;
    for mut found in found {
        // A kill fell between the two steps of its deletion: whoever wants it gets it anew.
        if found.group == DOOMED_GROUP {
            found.link.kind = LinkKind::Other("doomed".into());
        }
        if found.is_ours() {
            observed.ours.insert(found.link);
        } else {
            observed.note_foreign(&found.link, wanted);
        }
    }
    Ok(observed)
}

/// Whether links of the group are ours.
fn is_ours(group: u32) -> bool {
    [LINK_GROUP, DOOMED_GROUP].contains(&group)
}

struct Found {
    group: u32,
    link: Link,
}

impl Found {
    fn is_ours(&self) -> bool {
        is_ours(self.group)
    }

    /// Whether it is ours, or somebody else's that holds a wanted name.
    fn matters(&self, wanted: &Set<Link>) -> bool {
        self.is_ours() || wanted.contains(&self.link.name)
    }
}

fn read(payload: &[u8], namespace: &Namespace) -> Option<Found> {
    let [name, info, master, group, mtu, mac, families] = Attributes::after(payload, IFINFOMSG).pick([
        libc::IFLA_IFNAME,
        libc::IFLA_LINKINFO,
        libc::IFLA_MASTER,
        libc::IFLA_GROUP,
        libc::IFLA_MTU,
        libc::IFLA_ADDRESS,
        libc::IFLA_AF_SPEC,
    ]);
    let name: LinkName = text(name?)?.parse().ok()?;
    let flags = flags(payload)?;
    let info = Attributes::after(info.unwrap_or_default(), 0);
    let data = Attributes::after(info.get(libc::IFLA_INFO_DATA).unwrap_or_default(), 0);
    let kind = match info.get_str(libc::IFLA_INFO_KIND) {
        Some("veth") => veth(&name, namespace).unwrap_or_else(|| LinkKind::Other("veth".into())),
        Some("tun") => read_tap(data),
        Some("bridge") => LinkKind::Bridge(BridgeOptions::read(data)),
        Some("dummy") => LinkKind::Dummy,
        Some("xfrm") => match data.get_u32(IFLA_XFRM_IF_ID).and_then(NonZeroU32::new) {
            Some(if_id) => LinkKind::Xfrm(XfrmOptions { if_id }),
            // One for packets of any id, whose routes say which (`external`).
            None => LinkKind::Other("xfrm".into()),
        },
        Some(kind) => LinkKind::Other(kind.to_owned()),
        None => LinkKind::Other("device".into()),
    };
    let bridge = master.and_then(number).filter(|master| *master != 0);
    let by_stp = bridge.is_some_and(|bridge| namespace.has_stp(bridge));
    // The bridge hears of a carrier when this does.
    let carrier = flags & libc::IFF_RUNNING as u32 != 0;
    Some(Found {
        group: group.and_then(number).unwrap_or(0),
        link: Link {
            name,
            besides: Flags::read(flags, &kind),
            kind,
            mtu: mtu.and_then(number),
            mac: mac.and_then(|mac| mac.try_into().ok()).map(Mac),
            up: flags & libc::IFF_UP as u32 != 0,
            bridge: bridge.and_then(|index| namespace.link_name(index)).cloned(),
            port: PortOptions::read(info, by_stp, carrier),
            settings: Settings::read(&Conf::read(families.unwrap_or_default()), flags),
        },
    })
}

/// A veth whose other end is in the same namespace; of others only the host as a whole knows the name.
fn veth(name: &LinkName, namespace: &Namespace) -> Option<LinkKind> {
    let end = namespace.veths().get(name).filter(|end| end.elsewhere.is_none())?;
    let peer = namespace.link_name(end.peer_index)?.clone();
    let namespace = match namespace.netns() {
        Netns::Host => None,
        Netns::Named(name) => Some(name.clone()),
    };
    Some(LinkKind::Veth(Peer { peer, namespace }))
}

const IFLA_XFRM_IF_ID: u16 = 2;
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
