//! Routes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use netlink_packet_route::route::RouteHeader;
use serde::{Deserialize, Serialize};

use crate::extras::{Extras, Mendable};
use crate::name::LinkName;
use crate::problem::{Path, Problems};
use crate::set::Object;

mod kernel;
mod read;

pub(crate) use read::prefix;

/// A route: `ip route add TO via VIA dev DEV src SOURCE metric METRIC table TABLE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The destinations. For the default route of a family `0.0.0.0/0` or `::/0`.
    #[schemars(with = "crate::schema::IpPrefix")]
    pub to: IpNet,
    /// What happens to packets for them.
    #[serde(default, skip_serializing_if = "RouteKind::is_unicast")]
    #[schemars(extend("default" = RouteKind::default()))]
    pub kind: RouteKind,
    /// The gateway. An IPv6 gateway for IPv4 destinations is RFC 8950 (kernel 5.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The interface. Required for unicast routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<LinkName>,
    /// The gateway is on the link although no address of the interface says so (`onlink`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub onlink: bool,
    /// The address that the host itself prefers as source (`src`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The metric, lower preferred; left out: the kernel's, 0 for IPv4 and 1024 for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// The table; left out: main (254).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The MTU of the path (`mtu`), in bytes; left out: that of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Attributes of a route on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub besides: Besides,
}

/// Attributes of a route that guestnet does not make: it tells routes apart by them, and mends them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Besides {
    /// The type of service, or DSCP, that packets need to take it (`tos`); 0: any.
    pub tos: u8,
    /// The sources that packets need to take it (`from`, IPv6).
    pub from: Option<IpNet>,
    /// How many more of the same key there are (`ip route append`).
    pub more: u8,
    /// All others.
    pub extras: Extras,
    /// The message that told of a route with extras, which makes it again in an undo.
    pub(crate) told: Option<Arc<[u8]>>,
}

impl Mendable for Besides {}

/// What happens to packets that take a route.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// They are sent on.
    #[default]
    Unicast,
    /// They are dropped silently.
    Blackhole,
    /// They are answered with ICMP destination unreachable.
    Unreachable,
    /// They are answered with ICMP administratively prohibited.
    Prohibit,
}

impl RouteKind {
    fn is_unicast(&self) -> bool {
        *self == Self::Unicast
    }
}

/// A route is identified by its destination, metric and table, and by what it asks of packets besides: type of service,
/// source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    table: u32,
    to: IpNet,
    metric: u32,
    tos: u8,
    from: Option<IpNet>,
}

const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

impl Route {
    /// A route to what is directly on `dev`.
    pub fn on_link(to: IpNet, dev: LinkName) -> Self {
        Self {
            to: to.trunc(),
            kind: RouteKind::Unicast,
            via: None,
            dev: Some(dev),
            onlink: false,
            source: None,
            metric: None,
            table: None,
            mtu: None,
            besides: Besides::default(),
        }
    }

    /// A route through the gateway `via` on `dev`.
    pub fn via(to: IpNet, via: IpAddr, dev: LinkName) -> Self {
        Self { via: Some(via), ..Self::on_link(to, dev) }
    }

    /// To IPv6 a metric of 0 is none.
    fn metric(&self) -> u32 {
        self.metric.filter(|metric| *metric != 0).unwrap_or(usual_metric(&self.to))
    }

    fn table(&self) -> u32 {
        self.table.unwrap_or(MAIN)
    }

    /// Whether a spec can have it: its packets are told by their destination alone.
    pub fn can_be_wanted(&self) -> bool {
        self.besides.tos == 0 && self.besides.from.is_none()
    }

    /// Notes what is wrong with the route itself.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.to != self.to.trunc() {
            problems.at(
                &path.field("to"),
                format!("{} has bits behind its prefix; {} is meant?", self.to, self.to.trunc()),
            );
        }
        if self.kind == RouteKind::Unicast && self.dev.is_none() {
            problems.at(&path.field("dev"), "a unicast route needs an interface");
        }
        if self.kind != RouteKind::Unicast && (self.via.is_some() || self.dev.is_some()) {
            problems.at(&path.field("kind"), "a route that sends nothing has no gateway and no interface");
        }
        if let (Some(IpAddr::V4(via)), false) = (self.via, is_ipv4(&self.to)) {
            problems.at(&path.field("via"), format!("{via} cannot be the gateway of an IPv6 route"));
        }
        if let Some(via) =
            self.via.filter(|via| via.is_unspecified() || via.is_multicast() || via.is_loopback())
        {
            problems.at(&path.field("via"), format!("{via} is not the address of a gateway"));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| !MTU.contains(mtu)) {
            let words = format!("{mtu} is not the MTU of a route: {} to {}", MTU.start(), MTU.end());
            problems.at(&path.field("mtu"), words);
        }
        if self.onlink && self.via.is_none() {
            problems.at(&path.field("via"), "an onlink route has a gateway");
        }
        if self.source.is_some_and(|source| source.is_ipv4() != is_ipv4(&self.to)) {
            problems.at(&path.field("source"), "the source is of another family than the destination");
        }
        if self.table.is_some_and(|table| table == 0 || table == 255) {
            problems.at(&path.field("table"), "tables 0 and 255 are the kernel's");
        }
    }
}

/// What the kernel keeps as it is given: it lowers what is larger (`RTAX_MTU`).
const MTU: std::ops::RangeInclusive<u32> = 68..=65_520;

/// The metric of a route of which none is said.
fn usual_metric(to: &IpNet) -> u32 {
    if is_ipv4(to) { 0 } else { 1024 }
}

fn is_ipv4(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}

impl Object for Route {
    type Key = RouteKey;
    const KIND: &'static str = "route";

    fn key(&self) -> RouteKey {
        let Besides { tos, from, .. } = self.besides;
        RouteKey { table: self.table(), to: self.to.trunc(), metric: self.metric(), tos, from }
    }

    /// Equal but for how the kernel's defaults are written.
    fn accepts(&self, found: &Self) -> bool {
        let full = |route: &Self| Self {
            metric: Some(route.metric()),
            table: Some(route.table()),
            to: route.to.trunc(),
            besides: Besides::default(),
            ..route.clone()
        };
        self == found || self.besides.accepts(&found.besides) && full(self) == full(found)
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} metric {} table {}", self.to, self.metric, self.table)?;
        asked_besides(f, self.tos, self.from)
    }
}

/// What a route asks of packets besides their destination, in the words of ip(8).
fn asked_besides(f: &mut fmt::Formatter<'_>, tos: u8, from: Option<IpNet>) -> fmt::Result {
    if tos != 0 {
        write!(f, " tos {tos:#x}")?;
    }
    from.map_or(Ok(()), |from| write!(f, " from {from}"))
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Unicast => {}
            RouteKind::Blackhole => f.write_str("blackhole ")?,
            RouteKind::Unreachable => f.write_str("unreachable ")?,
            RouteKind::Prohibit => f.write_str("prohibit ")?,
        }
        write!(f, "{}", self.to)?;
        match self.via {
            Some(via) if via.is_ipv6() && is_ipv4(&self.to) => write!(f, " via inet6 {via}")?,
            Some(via) => write!(f, " via {via}")?,
            None => {}
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        f.write_str(if self.onlink { " onlink" } else { "" })?;
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        if let Some(table) = self.table {
            write!(f, " table {table}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        let Besides { tos, from, more, extras, .. } = &self.besides;
        asked_besides(f, *tos, *from)?;
        write!(f, "{extras}")?;
        if *more > 0 { write!(f, " and {more} more to the same destination") } else { Ok(()) }
    }
}

impl FromStr for RouteKind {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "unicast" => Ok(Self::Unicast),
            "blackhole" => Ok(Self::Blackhole),
            "unreachable" => Ok(Self::Unreachable),
            "prohibit" => Ok(Self::Prohibit),
            other => Err(format!("{other:?} is no kind of route")),
        }
    }
}
