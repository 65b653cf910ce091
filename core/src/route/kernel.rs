//! Routes in the kernel's words: `RTM_NEWROUTE`, `RTM_DELROUTE` and `RTM_GETROUTE` (rtnetlink(7)).

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType, RouteVia,
};

use super::read::{Found, RTA_NH_ID, RTNH_F_ONLINK, read};
use super::{Besides, MAIN, Route, RouteKey, RouteKind, is_ipv4};
use crate::diff::Change;
use crate::error::Result;
use crate::kind::{Context, Kind, Message, Outbox, Phase, Protocol, Ripple};
use crate::name::LinkName;
use crate::netlink::{Attributes, put};
use crate::netns::Namespace;
use crate::owner::PROTOCOL;
use crate::set::{Object, Observed, Set};

impl Kind for Route {
    const PHASES: &'static [Phase] = &[Phase::Routes];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        let ours = namespace.dump(Protocol::Route, &dump_request(PROTOCOL))?;
        for found in ours.replies().filter_map(|reply| read(reply.payload, namespace)) {
            // A kernel that does not filter sends all of them.
            if found.protocol == PROTOCOL {
                found.note(wanted, &mut observed);
            }
        }
        // Others' routes can be a million; they matter only where a wanted route is not there yet.
        if wanted.iter().any(|want| !observed.ours.contains(&want.key())) {
            let all = namespace.dump(Protocol::Route, &dump_request(0))?;
            for found in all.replies().filter_map(|reply| read(reply.payload, namespace)) {
                if found.protocol != PROTOCOL {
                    found.note(wanted, &mut observed);
                }
            }
        }
        Ok(observed)
    }

    /// Asks for the route that leads to each wanted destination (`ip route get fibmatch`, kernel 4.13); where the answer
    /// is no answer to whether the wanted route is there, for all routes through the wanted ones' interfaces.
    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        if wanted.len() > SINGLE {
            let mut all = Self::observe(namespace, wanted)?;
            all.ours.retain(|route| wanted.contains(&route.key()));
            return Ok(all);
        }
        let mut observed = Observed::default();
        let mut note = |found: Found| {
            if wanted.contains(&found.route.key()) {
                found.note(wanted, &mut observed);
            }
        };
        let (single, rest): (Vec<&Self>, Vec<&Self>) =
            wanted.iter().partition(|route| can_be_asked_for(route));
        let requests: Vec<Message> = single.iter().map(|route| get_request(route)).collect();
        let (answers, refused) = namespace.ask_each(Protocol::Route, &requests)?;
        let answers: Vec<Option<Found>> = answers.replies().map(|r| read(r.payload, namespace)).collect();
        // A rule may have led to another table, of two metrics only the lower is seen, and a route that drops what takes
        // it is a refusal, whether it is the wanted one or a wider one.
        let rival = |found: &Self| single.iter().any(|want| found.to == want.to && found.key() != want.key());
        let unclear = !rest.is_empty()
            || refused.iter().any(|(_, refusal)| !refusal.is_absence())
            || answers.iter().any(|found| found.as_ref().is_none_or(|found| rival(&found.route)));
        if unclear {
            let all = namespace.dump(Protocol::Route, &dump_request(0))?;
            all.replies().filter_map(|reply| read(reply.payload, namespace)).for_each(&mut note);
        } else {
            // Where one leads to the destinations of several, it is the answer to each of them.
            let each: BTreeMap<RouteKey, Found> =
                answers.into_iter().flatten().map(|found| (found.route.key(), found)).collect();
            each.into_values().for_each(&mut note);
        }
        Ok(observed)
    }

    /// A route that goes takes none along: the kernel looks at a gateway when a route over it is made, and not again.
    fn ripple(_: &Change<Self>) -> Ripple {
        Ripple::None
    }

    fn encode(change: &Change<Self>, _: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
        let mut send = |kind, flags: libc::c_int, payload: &[u8]| {
            out.send(Protocol::Route, Message::new(kind, flags as u16, payload));
        };
        match change {
            Change::Create(new) => {
                send(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &making(new, context)?);
            }
            // Which of several the kernel replaces or deletes is not for us to say.
            Change::Replace { old, new } if old.besides.more > 0 => {
                (0..=old.besides.more).for_each(|_| send(libc::RTM_DELROUTE, 0, &bytes(&any_of(old))));
                send(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &making(new, context)?);
            }
            Change::Replace { new, .. } => {
                send(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &making(new, context)?);
            }
            Change::Delete(old) if old.besides == Besides::default() => {
                send(libc::RTM_DELROUTE, 0, &bytes(&message(old, context)?));
            }
            Change::Delete(old) => {
                (0..=old.besides.more).for_each(|_| send(libc::RTM_DELROUTE, 0, &bytes(&any_of(old))));
            }
        }
        Ok(())
    }

    fn lives_on(&self) -> Option<&LinkName> {
        self.dev.as_ref()
    }
}

fn bytes(message: &RouteMessage) -> Vec<u8> {
    let mut payload = vec![0; message.buffer_len()];
    message.emit(&mut payload);
    payload
}

/// What makes `route`: of one that was there with extras the kernel is told what it has told (as `ip route restore` does).
fn making(route: &Route, context: &Context) -> Result<Vec<u8>> {
    let Some(told) = &route.besides.told else { return Ok(bytes(&message(route, context)?)) };
    let (header, attributes) = told.split_at(RTMSG.min(told.len()));
    let mut payload = header.to_vec();
    // Flags that say how it was.
    if let Some(flags) = payload.get_mut(8..).and_then(|rest| rest.first_chunk_mut()) {
        *flags = (u32::from_ne_bytes(*flags) & RTNH_F_ONLINK).to_ne_bytes();
    }
    let has_nexthop = Attributes::after(attributes, 0).get(RTA_NH_ID).is_some();
    for (kind, value) in Attributes::after(attributes, 0) {
        // A nexthop is told together with where it leads, and given without.
        let led = [libc::RTA_OIF, libc::RTA_GATEWAY, libc::RTA_VIA, libc::RTA_MULTIPATH].contains(&kind);
        if kind == libc::RTA_CACHEINFO || has_nexthop && led {
            continue;
        }
        put(&mut payload, kind, value);
    }
    Ok(payload)
}

fn message(route: &Route, context: &Context) -> Result<RouteMessage> {
    let v4 = is_ipv4(&route.to);
    let mut message = RouteMessage::default();
    message.header.address_family = if v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = route.to.prefix_len();
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.table = u8::try_from(route.table()).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
    };
    message.header.scope = route.scope();
    message.header.flags = if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() };
    ask_besides(&mut message, route);
    let attributes = &mut message.attributes;
    if route.to.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(route.to.network().into()));
    }
    match route.via {
        Some(IpAddr::V6(via)) if v4 => attributes.push(RouteAttribute::Via(RouteVia::Inet6(via))),
        Some(via) => attributes.push(RouteAttribute::Gateway(via.into())),
        None => {}
    }
    if let Some(dev) = &route.dev {
        attributes.push(RouteAttribute::Oif(context.index(dev)?));
    }
    if let Some(source) = route.source {
        attributes.push(RouteAttribute::PrefSource(RouteAddress::from(source)));
    }
    attributes.push(RouteAttribute::Priority(route.metric()));
    attributes.push(RouteAttribute::Table(route.table()));
    if let Some(mtu) = route.mtu {
        attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    }
    Ok(message)
}

impl Route {
    /// An IPv4 route without a gateway reaches only what is on the link (ip-route(8), scope).
    pub(super) fn scope(&self) -> RouteScope {
        let on_link = is_ipv4(&self.to) && self.via.is_none() && self.kind == RouteKind::Unicast;
        if on_link { RouteScope::Link } else { RouteScope::Universe }
    }
}

/// The message that names whatever route has the key of `route`, by which way it may lead.
fn any_of(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = if is_ipv4(&route.to) { AddressFamily::Inet } else { AddressFamily::Inet6 };
    header.destination_prefix_length = route.to.prefix_len();
    header.protocol = RouteProtocol::Other(PROTOCOL);
    header.scope = RouteScope::NoWhere;
    message.attributes.push(RouteAttribute::Priority(route.metric()));
    message.attributes.push(RouteAttribute::Table(route.table()));
    if route.to.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(route.to.network().into()));
    }
    ask_besides(&mut message, route);
    message
}

/// What the route asks of packets besides their destination, as one that was there did.
fn ask_besides(message: &mut RouteMessage, route: &Route) {
    message.header.tos = route.besides.tos;
    if let Some(from) = route.besides.from {
        message.header.source_prefix_length = from.prefix_len();
        message.attributes.push(RouteAttribute::Source(from.network().into()));
    }
}

pub(super) const RTMSG: usize = 12;

/// How many routes are asked for one by one; more than that, and a dump of all is less.
const SINGLE: usize = 256;

const RTM_F_FIB_MATCH: u32 = 0x2000;

/// Whether asking for the way to a route's destination finds the route: not in tables that rules may not lead to, nor
/// for default routes, whose destination means something else.
fn can_be_asked_for(route: &Route) -> bool {
    let to = route.to.network();
    route.table() == MAIN
        && route.to.prefix_len() > 0
        && !to.is_unspecified()
        && !to.is_multicast()
        && !to.is_loopback()
}

/// Asks for the entry of the routing tables that leads to the destination of `route`.
fn get_request(route: &Route) -> Message {
    let (family, address) = match route.to.network() {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let mut payload = vec![0; RTMSG];
    payload[0] = family as u8;
    payload[1] = address.len() as u8 * 8;
    payload[8..12].copy_from_slice(&RTM_F_FIB_MATCH.to_ne_bytes());
    payload.extend((4 + address.len() as u16).to_ne_bytes());
    payload.extend(libc::RTA_DST.to_ne_bytes());
    payload.extend(address);
    Message::new(libc::RTM_GETROUTE, 0, &payload)
}

/// Asks for the routes with `protocol`, or all of them (0), in every table.
fn dump_request(protocol: u8) -> Message {
    let mut header = [0; RTMSG];
    header[5] = protocol;
    Message::new(libc::RTM_GETROUTE, 0, &header)
}
