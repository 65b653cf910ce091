//! Reading routes: all that the kernel tells of one goes into its key, its fields or its extras.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::kernel::RTMSG;
use super::{Besides, MAIN, Route, RouteKind, usual_metric};
use crate::address::ip;
use crate::extras::Extras;
use crate::netlink::{Attributes, number};
use crate::netns::Namespace;
use crate::owner::PROTOCOL;
use crate::set::{Object, Observed, Set};

/// A route that was found.
pub(super) struct Found {
    pub(super) route: Route,
    pub(super) protocol: u8,
    /// Whether the link that it leads to is ours.
    on_ours: bool,
}

impl Found {
    /// Notes it as ours or as somebody else's. On a link of ours a wanted route that a tool has changed by hand is ours
    /// still, though the tool has given it a protocol of its own.
    pub(super) fn note(self, wanted: &Set<Route>, observed: &mut Observed<Route>) {
        let key = self.route.key();
        let by_hand = matches!(self.protocol, RTPROT_UNSPEC | RTPROT_BOOT | RTPROT_STATIC);
        if self.protocol != PROTOCOL && !(by_hand && self.on_ours && wanted.contains(&key)) {
            observed.note_foreign(&self.route, wanted);
            return;
        }
        let mut route = self.route;
        // The kernel takes the first.
        if let Some(first) = observed.ours.get(&key) {
            let more = first.besides.more.saturating_add(1);
            route = first.clone();
            route.besides.more = more;
        }
        observed.ours.insert(route);
    }
}

/// The prefix of an attribute, or of none, with its length in the header of the message.
pub(crate) fn prefix(family: u8, address: Option<&[u8]>, length: u8) -> Option<IpNet> {
    match (i32::from(family), address.map(ip)) {
        (libc::AF_INET, None) => Some(Ipv4Net::new(Ipv4Addr::UNSPECIFIED, length).ok()?.into()),
        (libc::AF_INET6, None) => Some(Ipv6Net::new(Ipv6Addr::UNSPECIFIED, length).ok()?.into()),
        (libc::AF_INET | libc::AF_INET6, Some(Some(ip))) => IpNet::new(ip, length).ok(),
        _ => None,
    }
}

fn read_kind(kind: u8, extras: &mut Extras) -> RouteKind {
    match kind {
        libc::RTN_UNICAST => RouteKind::Unicast,
        libc::RTN_BLACKHOLE => RouteKind::Blackhole,
        libc::RTN_UNREACHABLE => RouteKind::Unreachable,
        libc::RTN_PROHIBIT => RouteKind::Prohibit,
        other => {
            extras.note(format_args!("type {}", TYPES.get(usize::from(other)).unwrap_or(&"unknown")));
            RouteKind::Unicast
        }
    }
}

/// Types of routes by their numbers (`RTN_*`, linux/rtnetlink.h).
const TYPES: [&str; 12] = [
    "unspecified",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "nat",
    "xresolve",
];

/// The MTU; all other metrics are extras.
fn read_metrics(bytes: &[u8], extras: &mut Extras) -> Option<u32> {
    let mut mtu = None;
    for (metric, value) in Attributes::after(bytes, 0) {
        match (metric, number(value)) {
            (RTAX_MTU, value) => mtu = value,
            (other, value) => {
                let name = METRICS.get(usize::from(other)).copied().unwrap_or("metric");
                // The congestion control is a name.
                extras.note(format_args!("{name} {}", value.unwrap_or_default()));
            }
        }
    }
    mtu
}

const RTAX_MTU: u16 = 2;

/// Metrics by their numbers (`RTAX_*`, linux/rtnetlink.h), in the words of ip-route(8).
const METRICS: [&str; 18] = [
    "unspecified",
    "lock",
    "mtu",
    "window",
    "rtt",
    "rttvar",
    "ssthresh",
    "cwnd",
    "advmss",
    "reordering",
    "hoplimit",
    "initcwnd",
    "features",
    "rto_min",
    "initrwnd",
    "quickack",
    "congctl",
    "fastopen_no_cookie",
];

const RTA_PREF: u16 = 20;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
pub(super) const RTA_NH_ID: u16 = 30;
/// `rta_expires` in `struct rta_cacheinfo`.
const CACHEINFO_EXPIRES: usize = 8;
const RTPROT_UNSPEC: u8 = 0;
const RTPROT_BOOT: u8 = 3;
const RTPROT_STATIC: u8 = 4;
const RTM_F_CLONED: u32 = 0x200;
pub(super) const RTNH_F_ONLINK: u32 = 4;
/// Flags that say what the kernel or its hardware does with the route at this moment: dead, offload, linkdown, unresolved,
/// trap; notify, fib_match, offload, trap, offload_failed.
const PASSING: u32 = 1 | 8 | 16 | 32 | 64 | 0x100 | 0x2000 | 0x4000 | 0x8000 | 0x2000_0000;

/// The table of the kernel itself, which a spec cannot name. Nothing in it is a rival of a wanted route but the host's own
/// addresses: this table is asked before the others.
const LOCAL: u32 = 255;

/// Reads one message.
pub(super) fn read(payload: &[u8], namespace: &Namespace) -> Option<Found> {
    let [family, length, from_length, tos, table, protocol, scope, kind] = *payload.first_chunk::<8>()?;
    let flags = u32::from_ne_bytes(payload.get(8..12)?.try_into().ok()?);
    if flags & RTM_F_CLONED != 0 {
        return None;
    }
    let attributes = Attributes::after(payload, RTMSG);
    let table = attributes.get_u32(libc::RTA_TABLE).unwrap_or(u32::from(table));
    let own = table == LOCAL && protocol != PROTOCOL;
    if own && kind != libc::RTN_LOCAL {
        return None;
    }
    let to = prefix(family, attributes.get(libc::RTA_DST), length)?;
    let mut extras = Extras::default();
    let kind = read_kind(kind, &mut extras);
    let mut route = Route {
        to,
        kind,
        via: None,
        dev: None,
        onlink: flags & RTNH_F_ONLINK != 0,
        source: None,
        metric: None,
        table: Some(table).filter(|table| *table != MAIN && !own),
        mtu: None,
        besides: Besides { tos, ..Besides::default() },
    };
    let mut link = None;
    for (attribute, value) in attributes {
        match attribute {
            libc::RTA_DST | libc::RTA_TABLE | RTA_ENCAP => {}
            libc::RTA_PRIORITY => {
                route.metric = number(value).filter(|metric| *metric != usual_metric(&to) && !own);
            }
            libc::RTA_GATEWAY => route.via = ip(value),
            // A family (2 bytes) and an address of it.
            libc::RTA_VIA => route.via = value.get(2..).and_then(ip),
            // A route that sends nothing has the loopback here, in IPv6.
            libc::RTA_OIF if kind == RouteKind::Unicast => link = number(value),
            libc::RTA_OIF => {}
            libc::RTA_PREFSRC => route.source = ip(value),
            libc::RTA_METRICS => route.mtu = read_metrics(value, &mut extras),
            libc::RTA_SRC => route.besides.from = prefix(family, Some(value), from_length),
            RTA_PREF => match value.first() {
                Some(0) => {}
                Some(1) => extras.note("pref high"),
                _ => extras.note("pref low"),
            },
            // Counters, and the time that is left.
            libc::RTA_CACHEINFO => {
                let left = value.get(CACHEINFO_EXPIRES..).and_then(number);
                extras.note_if(left.is_some_and(|left| left != 0), "expires");
            }
            RTA_NH_ID => extras.note(format_args!("nhid {}", number(value).unwrap_or(0))),
            libc::RTA_MULTIPATH => extras.note("with several next hops"),
            libc::RTA_FLOW => extras.note("realms"),
            RTA_ENCAP_TYPE => extras.note("encap"),
            other => extras.note(format_args!("attribute {other}")),
        }
    }
    let usual = u8::from(route.scope());
    extras.note_if(extras.is_empty() && scope != usual, format_args!("scope {scope}"));
    let strange = flags & !(PASSING | RTNH_F_ONLINK);
    extras.note_if(strange != 0, format_args!("flags {strange:#x}"));
    route.dev = link.and_then(|index| namespace.link_name(index)).cloned();
    route.besides.told = (!extras.is_empty()).then(|| payload.into());
    route.besides.extras = extras;
    Some(Found { route, protocol, on_ours: link.is_some_and(|index| namespace.owns(index)) })
}
