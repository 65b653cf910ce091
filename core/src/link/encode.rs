//! Saying links to the kernel: `RTM_NEWLINK` and `RTM_DELLINK` (rtnetlink(7)), by name, so that no index need be known.

use netlink_packet_core::Emitable;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, InfoXfrm, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::{BridgeOptions, Link, LinkKind, Peer, PortOptions, read, set};
use crate::diff::Change;
use crate::error::Result;
use crate::kind::{Context, Kind, Message, Outbox, Phase, Protocol, Ripple, Step};
use crate::name::{LinkName, Netns};
use crate::netns::Namespace;
use crate::owner::{DOOMED_GROUP, LINK_GROUP};
use crate::set::{Observed, Set};

impl Kind for Link {
    const PHASES: &'static [Phase] = &[Phase::Links, Phase::Settings, Phase::Up];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        read::observe(namespace, wanted)
    }

    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        read::observe_keys(namespace, wanted)
    }

    /// A port may change its bridge, and of a bridge's options the kernel rounds some.
    fn ripple(change: &Change<Self>) -> Ripple {
        match change {
            Change::Create(Self { kind: LinkKind::Bridge(_), .. } | Self { bridge: Some(_), .. }) => {
                Ripple::Anything
            }
            Change::Create(_) => Ripple::None,
            Change::Replace { .. } | Change::Delete(_) => Ripple::Anything,
        }
    }

    fn encode(change: &Change<Self>, phase: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
        match (change, phase) {
            (Change::Replace { old, new }, phase) => {
                replace(old, &new.in_place_of(old), phase, context, out)?
            }
            (Change::Create(new), Phase::Links) => create(new, context, out)?,
            (Change::Create(new), Phase::Settings) => set::settings(&new.settings, &new.name, context, out)?,
            (Change::Create(new), Phase::Up) if new.up || new.bridge.is_some() => {
                join(new, None, context, out)?;
                out.send(Protocol::Route, set_up(new, None));
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
        new.kind.can_follow(&old.kind)
    }

    /// One xfrm interface of a namespace has an id; and a pair cannot be made while its other end has another.
    fn place(&self) -> Option<String> {
        match &self.kind {
            LinkKind::Xfrm(_) | LinkKind::Veth(_) => Some(self.kind.to_string()),
            _ => None,
        }
    }
}

/// Changes a link in place.
fn replace(old: &Link, new: &Link, phase: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
    match phase {
        Phase::Links
            if new.mtu != old.mtu
                || new.mac != old.mac
                || !new.kind.accepts(&old.kind)
                || !old.besides.is_empty() =>
        {
            out.send(Protocol::Route, set(new, Some(old)));
        }
        Phase::Settings => {
            set::settings(&new.settings_for(old).changed(Some(&old.settings)), &new.name, context, out)?;
        }
        Phase::Up
            if new.up != old.up
                || new.bridge != old.bridge
                || new.port != old.port
                || goes_down(old, new) =>
        {
            join(new, Some(old), context, out)?;
            out.send(Protocol::Route, set_up(new, Some(old)));
        }
        _ => {}
    }
    Ok(())
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
        LinkKind::Bridge(bridge) => Some(bridge.info(&BridgeOptions::default())),
        LinkKind::Dummy => Some(vec![LinkInfo::Kind(InfoKind::Dummy)]),
        LinkKind::Xfrm(xfrm) => {
            let id = InfoXfrm::IfId(xfrm.if_id.get());
            Some(vec![LinkInfo::Kind(InfoKind::Xfrm), LinkInfo::Data(InfoData::Xfrm(vec![id]))])
        }
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
            out.send(Protocol::Route, set(new, None));
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

/// The message that makes an existing link into `new`, but for its bridge and whether it is up.
fn set(new: &Link, old: Option<&Link>) -> Message {
    let mut message = attributes(new, old);
    if let (LinkKind::Bridge(new), Some(LinkKind::Bridge(old))) = (&new.kind, old.map(|old| &old.kind))
        && new != old
    {
        message.attributes.push(LinkAttribute::LinkInfo(new.info(old)));
    }
    let (meant, values) = old.map_or((0, 0), |old| old.besides.mended());
    message.header.change_mask = LinkFlags::from_bits_retain(meant);
    message.header.flags = LinkFlags::from_bits_retain(values);
    if old.is_some_and(|old| goes_down(old, new)) {
        message.header.change_mask |= LinkFlags::Up;
    }
    encode(libc::RTM_NEWLINK, 0, &message)
}

fn named(link: &Link) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(link.name.to_string()));
    message
}

/// Makes an existing link a port of its bridge, or of none. By itself: options of a port are heard only by a bridge that
/// has it already.
fn join(new: &Link, old: Option<&Link>, context: &Context, out: &mut Outbox) -> Result<()> {
    if old.and_then(|old| old.bridge.as_ref()) != new.bridge.as_ref() {
        let mut message = named(new);
        let index = new.bridge.as_ref().map_or(Ok(0), |bridge| context.index(bridge))?;
        message.attributes.push(LinkAttribute::Controller(index));
        out.send(Protocol::Route, encode(libc::RTM_NEWLINK, 0, &message));
    }
    Ok(())
}

/// The message that sets the options of a port, then its link up or down: an isolated port is never up and not isolated.
fn set_up(new: &Link, old: Option<&Link>) -> Message {
    let mut message = named(new);
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if new.up { LinkFlags::Up } else { LinkFlags::empty() };
    if new.bridge.is_some() {
        let fresh = PortOptions::default();
        let port = old.filter(|old| old.bridge == new.bridge).map_or(&fresh, |old| &old.port);
        message.attributes.extend(new.port.attribute(port));
    }
    encode(libc::RTM_NEWLINK, 0, &message)
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
