//! Routes in the kernel's words: `RTM_NEWROUTE`, `RTM_DELROUTE` and `RTM_GETROUTE` (rtnetlink(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType, RouteVia,
};

use super::{MAIN, Route, RouteKind, is_ipv4, usual_metric};
use crate::address::ip;
use crate::diff::Change;
use crate::error::Result;
use crate::kind::{Context, Kind, Message, Outbox, Phase, Protocol, Ripple};
use crate::name::LinkName;
use crate::netlink::Attributes;
use crate::netns::Namespace;
use crate::owner::PROTOCOL;
use crate::set::{Object, Observed, Set};

impl Kind for Route {
    const PHASES: &'static [Phase] = &[Phase::Routes];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        let ours = namespace.dump(Protocol::Route, &dump_request(PROTOCOL))?;
        for (route, protocol) in ours.replies().filter_map(|reply| read(reply.payload, namespace)) {
            // A kernel that does not filter sends all of them.
            if protocol == PROTOCOL {
                observed.ours.insert(route);
            }
        }
        // Others' routes can be a million; they matter only where a wanted route is not there yet.
        if wanted.iter().any(|want| !observed.ours.contains(&want.key())) {
            let all = namespace.dump(Protocol::Route, &dump_request(0))?;
            for (route, protocol) in all.replies().filter_map(|reply| read(reply.payload, namespace)) {
                if protocol != PROTOCOL {
                    observed.note_foreign(&route, wanted);
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
        let mut note = |(route, protocol): (Self, u8)| {
            if wanted.contains(&route.key()) {
                if protocol == PROTOCOL {
                    observed.ours.insert(route);
                } else {
                    observed.note_foreign(&route, wanted);
                }
            }
        };
        let (single, rest): (Vec<&Self>, Vec<&Self>) =
            wanted.iter().partition(|route| can_be_asked_for(route));
        let requests: Vec<Message> = single.iter().map(|route| get_request(route)).collect();
        let (answers, refused) = namespace.ask_each(Protocol::Route, &requests)?;
        let answers: Vec<Option<(Self, u8)>> =
            answers.replies().map(|r| read(r.payload, namespace)).collect();
        // A rule may have led to another table, of two metrics only the lower is seen, and a route that drops what takes
        // it is a refusal, whether it is the wanted one or a wider one.
        let rival = |found: &Self| single.iter().any(|want| found.to == want.to && found.key() != want.key());
        let unclear = !rest.is_empty()
            || refused.iter().any(|(_, refusal)| !refusal.is_absence())
            || answers.iter().any(|found| found.as_ref().is_none_or(|(found, _)| rival(found)));
        answers.into_iter().flatten().for_each(&mut note);
        if unclear {
            let all = namespace.dump(Protocol::Route, &dump_request(0))?;
            all.replies().filter_map(|reply| read(reply.payload, namespace)).for_each(&mut note);
        }
        Ok(observed)
    }

    /// A route that goes takes none along: the kernel looks at a gateway when a route over it is made, and not again.
    fn ripple(_: &Change<Self>) -> Ripple {
        Ripple::None
    }

    fn encode(change: &Change<Self>, _: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
        let (kind, flags, route) = match change {
            Change::Create(new) => (libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, new),
            Change::Replace { new, .. } => {
                (libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, new)
            }
            Change::Delete(old) => (libc::RTM_DELROUTE, 0, old),
        };
        let message = message(route, context)?;
        let mut payload = vec![0; message.buffer_len()];
        message.emit(&mut payload);
        out.send(Protocol::Route, Message::new(kind, flags as u16, &payload));
        Ok(())
    }

    fn lives_on(&self) -> Option<&LinkName> {
        self.dev.as_ref()
    }
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
    // An IPv4 route without a gateway reaches only what is on the link (ip-route(8), scope).
    let on_link = v4 && route.via.is_none() && route.kind == RouteKind::Unicast;
    message.header.scope = if on_link { RouteScope::Link } else { RouteScope::Universe };
    message.header.flags = if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() };
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

const RTMSG: usize = 12;
const RTM_F_CLONED: u32 = 0x200;
const RTNH_F_ONLINK: u32 = 4;
const RTAX_MTU: u16 = 2;

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

/// A route and its protocol. Those that this type cannot say (multicast, local, several next hops) are nobody's
/// rival for a key but in the kernel's eyes, and come out with what can be said of them.
fn read(payload: &[u8], namespace: &Namespace) -> Option<(Route, u8)> {
    let [family, length, _, _, table, protocol, _, kind] = *payload.first_chunk::<8>()?;
    let flags = u32::from_ne_bytes(payload.get(8..12)?.try_into().ok()?);
    if flags & RTM_F_CLONED != 0 {
        return None;
    }
    let attributes = Attributes::after(payload, RTMSG);
    let destination = attributes.get(libc::RTA_DST).and_then(ip);
    let to = match (i32::from(family), destination) {
        (libc::AF_INET, None) => Ipv4Net::new(Ipv4Addr::UNSPECIFIED, length).ok()?.into(),
        (libc::AF_INET6, None) => Ipv6Net::new(Ipv6Addr::UNSPECIFIED, length).ok()?.into(),
        (libc::AF_INET | libc::AF_INET6, Some(ip)) => IpNet::new(ip, length).ok()?,
        _ => return None,
    };
    let kind = match kind {
        libc::RTN_UNICAST => RouteKind::Unicast,
        libc::RTN_BLACKHOLE => RouteKind::Blackhole,
        libc::RTN_UNREACHABLE => RouteKind::Unreachable,
        libc::RTN_PROHIBIT => RouteKind::Prohibit,
        _ => return None,
    };
    // RTA_VIA is a family (2 bytes) and an address of it.
    let via = attributes.get(libc::RTA_VIA).and_then(|via| via.get(2..));
    let metrics = Attributes::after(attributes.get(libc::RTA_METRICS).unwrap_or_default(), 0);
    let unicast = kind == RouteKind::Unicast;
    let index = attributes.get_u32(libc::RTA_OIF).filter(|_| unicast);
    let metric = attributes.get_u32(libc::RTA_PRIORITY).unwrap_or(0);
    let table = attributes.get_u32(libc::RTA_TABLE).unwrap_or(u32::from(table));
    let route = Route {
        to,
        kind,
        via: attributes.get(libc::RTA_GATEWAY).or(via).and_then(ip),
        dev: index.and_then(|index| namespace.link_name(index)).cloned(),
        onlink: flags & RTNH_F_ONLINK != 0,
        source: attributes.get(libc::RTA_PREFSRC).and_then(ip),
        metric: Some(metric).filter(|metric| *metric != usual_metric(&to)),
        table: Some(table).filter(|table| *table != MAIN),
        mtu: metrics.get_u32(RTAX_MTU),
    };
    Some((route, protocol))
}
