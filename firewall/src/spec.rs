//! What is to be filtered in one namespace.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::{LinkName, Mac, Path, Problems};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Access, Entry, Group, Tier};

/// The filter of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FirewallSpec {
    /// The interfaces of guests.
    pub guests: Vec<GuestLink>,
    /// Groups of guests.
    pub groups: Vec<Group>,
    /// What groups may send to each other.
    pub tiers: Vec<Tier>,
    /// Links to the namespaces of guests that are filtered there.
    pub inner: BTreeSet<LinkName>,
    /// The addresses of the guests behind `inner`.
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    pub beyond: Vec<IpNet>,
    /// Links of ours (in the link group of guestnet) that are neither guests' nor in `inner`. What comes from a link of the
    /// group that is named nowhere is dropped: it is a guest's that somebody has renamed.
    pub links: BTreeSet<LinkName>,
    /// Links between which packets are forwarded although they are no guest's; for frames, ports of bridges. A name that
    /// ends in `*` is every one that starts so: `br-*`.
    pub trusted: BTreeSet<LinkName>,
    /// What guests may use on the host itself: DNS, say.
    pub guest_services: Vec<Entry>,
    /// Protects the host itself; left out, only guests are kept from it.
    pub host: Option<HostAccess>,
    /// Tunnels that end here: ESP from their other ends is let in.
    pub tunnels: Vec<TunnelEnds>,
    /// Addresses that other hosts have too.
    pub guard: Option<Guard>,
    /// Writes drops to the log.
    pub log: Option<LogDrops>,
}

/// One interface of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestLink {
    /// The name of the link on the host's side.
    pub name: LinkName,
    /// The MAC address that the guest uses.
    pub mac: Mac,
    /// The bridge that it is a port of; left out, the link is routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<LinkName>,
    /// The addresses and prefixes that are the guest's. Its link-local address of IPv6 follows from the MAC.
    #[serde(default)]
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    pub addresses: Vec<IpNet>,
    /// Prefixes that it may send from, too, and that others may have as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    pub shared: Vec<IpNet>,
    /// Whether it may have any link-local address of IPv6, and not only that which follows from the MAC: but none that follows
    /// from another guest's on its bridge.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_link_local: bool,
    /// By what others know it, where that is translated.
    #[serde(default)]
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    pub known_as: Vec<IpNet>,
    /// Addresses of the host on its link, which are the guest's in no case.
    #[serde(default)]
    pub routers: Vec<IpAddr>,
    /// Other EtherTypes than ARP, IPv4 and IPv6 that it may send and get; only of a port of a bridge.
    #[serde(default)]
    pub ethertypes: Vec<u16>,
    /// VLANs of which it may send and get tagged frames; only of a port of a bridge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlans: Vec<u16>,
    /// What it may send and get.
    #[serde(default)]
    pub access: Access,
}

/// What others may use on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostAccess {
    /// The services: `{"protocol": "tcp", "ports": ["22"]}`. Prefixes are those of clients.
    pub services: Vec<Entry>,
}

/// A tunnel of IPsec.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct TunnelEnds {
    /// The end here.
    pub local: IpAddr,
    /// The other end.
    pub remote: IpAddr,
}

/// Keeps ARP and neighbour discovery of addresses that several hosts have from leaving by some links: each host
/// answers its own guests, and none answers another's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The links, which others have made: the filter hooks in at the device, so it has to be there.
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    pub links: BTreeSet<LinkName>,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
}

/// How drops are logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogDrops {
    /// The NFLOG group; left out, they are lines of the kernel's log, at level info.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u16>,
    /// How many a second for each paragraph, 1 or more; what comes faster is only counted.
    #[serde(default = "ten")]
    pub rate: u32,
}

fn ten() -> u32 {
    10
}

impl Default for LogDrops {
    fn default() -> Self {
        Self { group: None, rate: ten() }
    }
}

impl GuestLink {
    /// A routed link with no addresses and no access yet.
    pub fn new(name: LinkName, mac: Mac) -> Self {
        Self {
            name,
            mac,
            bridge: None,
            addresses: Vec::new(),
            shared: Vec::new(),
            any_link_local: false,
            known_as: Vec::new(),
            routers: Vec::new(),
            ethertypes: Vec::new(),
            vlans: Vec::new(),
            access: Access::default(),
        }
    }

    /// All that it may send from, its link-local address included.
    pub fn sources(&self) -> impl Iterator<Item = IpNet> {
        self.addresses.iter().chain(&self.shared).map(IpNet::trunc).chain([self.link_local()])
    }

    /// Addresses that are the guest's and nobody else's, as others see them and as it does itself.
    pub fn owned(&self) -> impl Iterator<Item = IpNet> {
        self.addresses.iter().chain(&self.known_as).map(IpNet::trunc)
    }

    /// All that others know it by: what it is as a member of a group.
    pub fn known(&self) -> impl Iterator<Item = IpNet> {
        self.owned().chain(self.shared.iter().map(IpNet::trunc))
    }

    /// Its link-local address of IPv6, by its MAC address.
    pub fn link_local(&self) -> IpNet {
        IpAddr::from(self.mac.link_local()).into()
    }
}

/// What the names start with that `link` stands for; `None` where it is one name.
pub(crate) fn start(link: &LinkName) -> Option<&str> {
    link.as_str().strip_suffix('*')
}

/// Notes what is wrong with the names of trusted links; `is_a_guests` says which are guests'.
pub fn check_trusted<'a>(
    trusted: &BTreeSet<LinkName>,
    guests: impl IntoIterator<Item = &'a LinkName> + Clone,
    path: &Path,
    problems: &mut Problems,
) {
    for (n, link) in trusted.iter().enumerate() {
        let path = path.index(n);
        let name = link.as_str();
        if name == "*" {
            problems.at(&path, "every link is trusted by it: say how the names start, as in docker*");
        } else if name.find('*').is_some_and(|at| at + 1 < name.len()) {
            problems.at(&path, format!("a * stands at the end of {name} or nowhere"));
        }
        let is_meant = |guest: &&LinkName| match start(link) {
            Some(start) => guest.as_str().starts_with(start),
            None => *guest == link,
        };
        if let Some(guest) = guests.clone().into_iter().find(is_meant) {
            problems.at(&path, format!("{guest} is a guest's: it is not trusted"));
        }
    }
}

/// Whether `net` can be a guest's: no address of it is multicast, loopback, or none.
pub(crate) fn is_a_guests(net: &IpNet) -> bool {
    let unfit = |address: IpAddr| match address {
        IpAddr::V4(a) => {
            a.is_multicast() || a.is_broadcast() || a.is_loopback() || a == Ipv4Addr::UNSPECIFIED
        }
        IpAddr::V6(a) => a.is_multicast() || a.is_loopback() || a == Ipv6Addr::UNSPECIFIED,
    };
    net.prefix_len() > 0 && !unfit(net.network()) && !unfit(net.broadcast())
}
