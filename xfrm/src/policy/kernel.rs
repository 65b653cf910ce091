//! Policies in the kernel's words.

use std::num::NonZeroU32;

use guestnet_core::netlink::{Attributes, Dump};
use guestnet_core::owner::REQIDS;
use guestnet_core::{
    Change, Context, Extras, Kind, Message, Namespace, Object, Observed, Outbox, Phase, Protocol, Result, Set,
};
use ipnet::IpNet;
use netlink_packet_xfrm as xfrm;
use netlink_packet_xfrm::XfrmAttrs;
use netlink_packet_xfrm::constants::*;
use netlink_packet_xfrm::policy::{DelGetMessage, ModifyMessage};

use super::{Action, Direction, Level, Policy, PolicyKey, Template};
use crate::selector::Selector;
use crate::spi::Spi;
use crate::state::{mode, read_mode};
use crate::wire::{self, ESP};

/// Reserved by IANA.
const NO_PROTOCOL: u8 = 255;

impl Kind for Policy {
    const PHASES: &'static [Phase] = &[Phase::Tunnels];
    const AS_SENT: bool = true;

    /// In a namespace of ours all that this type can say are ours, elsewhere those with a template whose reqid is
    /// ours. Policies of single sockets are nobody's rivals and are passed over.
    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        if !namespace.speaks(Protocol::Xfrm) && wanted.is_empty() {
            return Ok(observed);
        }
        let all = namespace.is_ours();
        let request = wire::message(XFRM_MSG_GETPOLICY, 0, &DelGetMessage::default());
        let dump = namespace.dump(Protocol::Xfrm, &request)?;
        sort(&dump, all, wanted, &mut observed);
        Ok(observed)
    }

    /// Asks for each by its key.
    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        if wanted.is_empty() {
            return Ok(observed);
        }
        let requests: Vec<Message> =
            wanted.iter().map(|policy| id_message(XFRM_MSG_GETPOLICY, policy)).collect();
        let answers = namespace.get_each(Protocol::Xfrm, &requests)?;
        sort(&answers, namespace.is_ours(), wanted, &mut observed);
        // An answer about another one would be taken for one that nobody wants any more.
        observed.ours.retain(|policy| wanted.contains(&policy.key()));
        Ok(observed)
    }

    /// A policy is replaced in one step (`ip xfrm policy update`): no packet finds none.
    fn encode(change: &Change<Self>, _: Phase, _: &Context, out: &mut Outbox) -> Result<()> {
        let message = match change {
            Change::Create(new) => new_message(XFRM_MSG_NEWPOLICY, new),
            Change::Replace { new, .. } => new_message(XFRM_MSG_UPDPOLICY, new),
            Change::Delete(old) => delete_message(old),
        };
        out.send(Protocol::Xfrm, message);
        Ok(())
    }
}

/// Adds ours and others' of `dump`; in a namespace of ours `all` are.
fn sort(dump: &Dump, all: bool, wanted: &Set<Policy>, observed: &mut Observed<Policy>) {
    for reply in dump.replies().filter(|reply| reply.kind == XFRM_MSG_NEWPOLICY) {
        match read(reply.payload) {
            Some(policy) if all || is_marked(&policy) => {
                observed.ours.insert(policy);
            }
            Some(policy) => observed.note_foreign(&policy, wanted),
            None => {}
        }
    }
}

fn is_marked(policy: &Policy) -> bool {
    policy.templates.iter().any(|template| REQIDS.contains(&template.reqid))
}

fn new_message(kind: u16, policy: &Policy) -> Message {
    let mut message = ModifyMessage::default();
    let info = &mut message.user_policy_info;
    info.selector = wire::selector(&policy.selector);
    info.priority = policy.priority;
    info.direction = direction(policy.direction);
    info.action = match policy.action {
        Action::Allow => XFRM_POLICY_ALLOW,
        Action::Block => XFRM_POLICY_BLOCK,
    };
    if !policy.templates.is_empty() {
        message.nlas.push(XfrmAttrs::Template(policy.templates.iter().map(template).collect()));
    }
    message.nlas.extend(marks(policy));
    wire::message(kind, 0, &message)
}

fn delete_message(policy: &Policy) -> Message {
    id_message(XFRM_MSG_DELPOLICY, policy)
}

/// A message that only names a policy.
fn id_message(kind: u16, policy: &Policy) -> Message {
    let mut message = DelGetMessage::default();
    message.user_policy_id.selector = wire::selector(&policy.selector);
    message.user_policy_id.direction = direction(policy.direction);
    message.nlas.extend(marks(policy));
    wire::message(kind, 0, &message)
}

/// Adds a policy that no packet meets, and takes it away. It is known as ours, should we be killed between the two.
pub(crate) fn nobodys() -> [Message; 2] {
    let nobody = std::net::Ipv6Addr::LOCALHOST.into();
    let selector =
        Selector { proto: Some(NO_PROTOCOL), ..Selector::new(IpNet::from(nobody), IpNet::from(nobody)) };
    let template = Template::tunnel(nobody, nobody, *REQIDS.start());
    let policy = Policy { action: Action::Block, ..Policy::through(selector, Direction::Fwd, template) };
    [new_message(XFRM_MSG_UPDPOLICY, &policy), delete_message(&policy)]
}

fn marks(policy: &Policy) -> impl Iterator<Item = XfrmAttrs> {
    let id = policy.if_id.map(|id| XfrmAttrs::IfId(id.get()));
    policy.mark.map(wire::mark).into_iter().chain(id)
}

fn direction(direction: Direction) -> u8 {
    match direction {
        Direction::In => XFRM_POLICY_IN,
        Direction::Out => XFRM_POLICY_OUT,
        Direction::Fwd => XFRM_POLICY_FWD,
    }
}

fn template(template: &Template) -> xfrm::UserTemplate {
    let mut wire = xfrm::UserTemplate::default();
    wire.source(&template.src);
    wire.destination(&template.dst);
    wire.protocol(ESP);
    wire.spi(template.spi.map_or(0, Spi::get));
    wire.reqid(template.reqid);
    wire.mode(mode(template.mode));
    wire.optional(template.level == Level::Use);
    wire
}

/// Reads a message of a dump. `None` for what has no key of ours: a policy of a socket or an interface.
pub(super) fn read(payload: &[u8]) -> Option<Policy> {
    let info = xfrm::UserPolicyInfo::parse(payload).ok()?;
    let attributes = Attributes::after(payload, xfrm::XFRM_USER_POLICY_INFO_LEN);
    if attributes
        .get(XFRMA_POLICY_TYPE)
        .and_then(<[u8]>::first)
        .is_some_and(|kind| *kind != XFRM_POLICY_TYPE_MAIN)
    {
        return None;
    }
    let key = PolicyKey {
        direction: match info.direction {
            XFRM_POLICY_IN => Direction::In,
            XFRM_POLICY_OUT => Direction::Out,
            XFRM_POLICY_FWD => Direction::Fwd,
            _ => return None,
        },
        selector: wire::read_selector(&info.selector)?,
        mark: wire::read_mark(attributes.get(XFRMA_MARK)),
        if_id: attributes.get_u32(XFRMA_IF_ID).and_then(NonZeroU32::new),
    };
    Some(read_policy(&info, &key, attributes))
}

fn read_policy(info: &xfrm::UserPolicyInfo, key: &PolicyKey, attributes: Attributes<'_>) -> Policy {
    let (templates, _) =
        attributes.get(XFRMA_TMPL).unwrap_or_default().as_chunks::<{ xfrm::XFRM_USER_TEMPLATE_LEN }>();
    let mut extras = Extras::default();
    extras.note_if(info.flags & LOCAL_OK != 0, "flag localok");
    extras.note_if(info.flags & ICMP != 0, "flag icmp");
    extras.note_if(info.flags & !(LOCAL_OK | ICMP) != 0, format_args!("flags {:#x}", info.flags));
    extras.note_if(info.lifetime_cfg != xfrm::LifetimeConfig::default(), "limit");
    for (attribute, _) in attributes.filter(|(attribute, _)| !KNOWN.contains(attribute)) {
        extras.note(format_args!("attribute {attribute}"));
    }
    let read: Vec<Template> = templates.iter().filter_map(|bytes| read_template(bytes)).collect();
    for _ in read.len()..templates.len() {
        extras.note("tmpl of another kind");
    }
    Policy {
        extras,
        selector: key.selector.clone(),
        direction: key.direction,
        action: if info.action == XFRM_POLICY_BLOCK { Action::Block } else { Action::Allow },
        priority: info.priority,
        templates: read,
        mark: key.mark,
        if_id: key.if_id,
    }
}

/// Flags of policies (`XFRM_POLICY_LOCALOK`, `XFRM_POLICY_ICMP`, linux/xfrm.h).
const LOCAL_OK: u8 = 1;
const ICMP: u8 = 2;

/// Attributes that have a field.
const KNOWN: [u16; 6] = [XFRMA_TMPL, XFRMA_POLICY_TYPE, XFRMA_MARK, XFRMA_IF_ID, XFRMA_LASTUSED, XFRMA_PAD];

fn read_template(bytes: &[u8]) -> Option<Template> {
    let found = xfrm::UserTemplate::parse(bytes).ok()?;
    let plain = found.id.proto == ESP && found.share == XFRM_SHARE_ANY;
    plain.then_some(())?;
    Some(Template {
        src: wire::ip(&found.saddr, found.family)?,
        dst: wire::ip(&found.id.daddr, found.family)?,
        spi: Spi::new(found.id.spi),
        reqid: found.reqid,
        mode: read_mode(found.mode)?,
        level: if found.optional == 0 { Level::Required } else { Level::Use },
    })
}

#[cfg(test)]
mod tests;
