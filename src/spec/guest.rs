//! A guest: its place, its interfaces, its addresses, its tunnels.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use guestnet_core::link::{PortOptions, TapOptions};
use guestnet_core::{LinkName, Mac, Netns, NetnsName};
use guestnet_firewall::Access;
use guestnet_xfrm::TunnelSpec;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::Nat;
use super::serve::{self, Serve};

/// A virtual machine, a container, whatever has interfaces on the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its name: of its namespace, its files and, as far as they fit, its links.
    pub name: GuestName,
    /// Whether it has a namespace of its own or lives in the host's.
    #[serde(default)]
    pub placement: Placement,
    /// How its namespace is joined to the host's. Means nothing for a guest in the host's.
    #[serde(default, skip_serializing_if = "Transit::is_default")]
    pub transit: Transit,
    /// The address of its namespace: where its tunnels end. In the host's namespace it is the host's, and there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Ipv6Addr>,
    /// Addresses of the guest for which the host answers neighbour solicitations on its uplink, because the router
    /// there takes them to be on the link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub proxied: Vec<Ipv6Addr>,
    /// What may pass to and from all its interfaces, where the host has a `firewall`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub access: Access,
    /// Its interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// How its addresses are translated, where it differs from the host's; only in a namespace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat: Option<Nat>,
    /// Its tunnels to guests on other hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tunnels: Vec<TunnelSpec>,
}

/// The name of a guest: 1 to 63 characters from `a-z A-Z 0-9 _ -`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestName(String);

/// Where a guest's interfaces are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// In a namespace of its own, which has its name.
    #[default]
    Own,
    /// In a namespace of its own with this name.
    Namespace(NetnsName),
    /// In the host's namespace, where all such guests share the same rules, each as an element of the same maps.
    Host,
}

/// The veth pair between a guest's namespace and the host's. All of it has defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transit {
    /// The host's end; left out: `vetho` and the guest's name, shortened if need be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_link: Option<LinkName>,
    /// The guest's end; left out: `vethi` and the guest's name, shortened if need be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_link: Option<LinkName>,
    /// The MAC address of the host's end; left out: derived from the names. The IPv6 link-local address follows from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_mac: Option<Mac>,
    /// The MAC address of the guest's end; left out: derived from the names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_mac: Option<Mac>,
    /// The IPv4 address of the host's end; left out: 169.254.0.1. Every pair may have it: routes go through the IPv6
    /// link-local addresses (RFC 8950), and this is only what ICMP errors may come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_ipv4: Option<Ipv4Addr>,
    /// The IPv4 address of the guest's end, from which the guest's namespace sends ICMP errors: that a packet is too large, or
    /// that nobody is there. Left out: the first public address of the guest, which may travel where one of a link (RFC
    /// 3927) or a dummy (192.0.0.8, RFC 7600) is dropped; or 169.254.0.2 for a guest that has none. What is to the public
    /// address is translated before it could be taken to be for the namespace. In IPv6 errors come from `endpoint`, or
    /// from the router's address in a prefix of the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_ipv4: Option<Ipv4Addr>,
    /// The MTU of both ends; left out: 1500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// An interface of a guest, from the host's side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The name of the link on the host's side: `tapvm7m86kv`.
    pub name: LinkName,
    /// What the link is; left out: a tap.
    #[serde(default)]
    pub kind: InterfaceKind,
    /// The MAC address that the guest uses. DHCP and the routes through its link-local address need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The MTU of the link, announced to the guest; left out: 1500, and announced is, on an interface without public
    /// addresses, what fits its tunnels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The bridge of the host's that it is a port of, one of [`HostSpec::bridges`](super::HostSpec::bridges). Its addresses are then on that
    /// segment, each IPv6 address a prefix of its own (`2001:db8:5::17/128`), and nothing is served on the link. Left out: the host routes to
    /// the guest, which has the link for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<LinkName>,
    /// What the bridge does with the port.
    #[serde(default, skip_serializing_if = "PortOptions::is_default")]
    pub port: PortOptions,
    /// Its public IPv4 address, translated to and from the private one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ipv4: Option<Ipv4Addr>,
    /// Its private IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ipv4: Option<Ipv4Addr>,
    /// The address of the host's side of the link, the guest's router. As a prefix that holds the private address it
    /// is the network that the guest takes itself to be in (`192.168.0.1/24`), in which the host answers ARP for all
    /// others. Left out: 169.254.1.1/32, and the guest is told that nothing but its router is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<guestnet_core::schema::Ipv4Interface>")]
    pub gateway_ipv4: Option<Ipv4Net>,
    /// The host's only address on the link in IPv6, the guest's router: a link-local one, as `fe80::1`. All addresses of
    /// the guest's prefixes are then the guest's, and those that are served are served by DHCPv6. Left out: `…::1` of
    /// each prefix is the host's, where it has room for two: in a /127 or /128 it has not, and the router is `fe80::1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ipv6: Option<Ipv6Addr>,
    /// Its public IPv6 prefix, routed to it as it is: 16 to 128 bits. A guest is told an address of a prefix of 64 bits
    /// or more: by DHCPv6 the second one, `…::2`; of one that is all its own (`gateway_ipv6`) the first, `…::1`, or
    /// that of the /128. In a /64 that the host has an address of it also makes one by itself (SLAAC, RFC 4862).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<guestnet_core::schema::Ipv6Prefix>")]
    pub public_ipv6: Option<Ipv6Net>,
    /// Its private IPv6 prefix, reached by guests on other hosts through tunnels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<guestnet_core::schema::Ipv6Prefix>")]
    pub private_ipv6: Option<Ipv6Net>,
    /// More IPv6 prefixes, routed to the guest's own address as a router of its own; needs `mac`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<guestnet_core::schema::Ipv6Prefix>")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub routed_ipv6: Vec<Ipv6Net>,
    /// What may pass to and from it, beside what the guest's `access` says.
    #[serde(default, skip_serializing_if = "is_default")]
    pub access: Access,
    /// Link-local addresses of IPv6 that it may have. Left out, the one that follows from its MAC address (RFC 4291 appendix
    /// A); most systems of today make others by themselves (RFC 7217) and need `"any"`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = LinkLocal::default()))]
    pub link_local: LinkLocal,
    /// Further addresses and prefixes that it may send from: those of networks behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub sources: Vec<IpNet>,
    /// Other EtherTypes than ARP, IPv4 and IPv6 that it may send and get as a port of a bridge: 0x88cc is 35020. Not those
    /// of tags: see `vlans`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub ethertypes: Vec<u16>,
    /// The VLANs (IEEE 802.1Q), 1 to 4094, of which it may send and get tagged frames as a port of a bridge. What is inside is
    /// not looked at, and the host itself takes none of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true), inner(range(min = 1, max = 4094)))]
    pub vlans: Vec<u16>,
    /// What dnsmasq serves on the link; left out: addresses, by DHCP and router advertisement. `false`: nothing.
    #[serde(default = "serve::usual", with = "serve::or_not")]
    #[schemars(with = "serve::or_not::Form")]
    pub serve: Option<Serve>,
}

/// Link-local addresses of IPv6 that a guest may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkLocal {
    /// The one that follows from its MAC address.
    #[default]
    Eui64,
    /// Any but those that follow from the MAC addresses of other guests on its bridge, and those of the host.
    Any,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a guest's interface is on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceKind {
    /// A tap, which a virtual machine monitor opens.
    Tap(TapOptions),
    /// A dummy, for a guest that is yet to come.
    Dummy,
}

impl Default for InterfaceKind {
    fn default() -> Self {
        Self::Tap(TapOptions::default())
    }
}

impl Transit {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Guest {
    /// The namespace that its interfaces are in.
    pub fn netns(&self) -> Netns {
        match &self.placement {
            Placement::Host => Netns::Host,
            Placement::Namespace(name) => Netns::Named(name.clone()),
            // Every guest name is a namespace name.
            Placement::Own => self.name.as_str().parse().map_or(Netns::Host, Netns::Named),
        }
    }

    /// Whether it lives in the host's own namespace.
    pub fn is_on_host(&self) -> bool {
        self.placement == Placement::Host
    }

    /// Whether all its interfaces are ports of bridges.
    pub fn is_only_bridged(&self) -> bool {
        !self.interfaces.is_empty() && self.interfaces.iter().all(|interface| interface.bridge.is_some())
    }

    /// The first of its public IPv4 addresses.
    pub(crate) fn first_public_ipv4(&self) -> Option<Ipv4Addr> {
        self.interfaces.iter().find_map(|interface| interface.public_ipv4)
    }

    /// Whether anything of it speaks IPv4.
    pub fn has_ipv4(&self) -> bool {
        self.interfaces.iter().any(|i| i.private_ipv4.is_some() || i.public_ipv4.is_some())
    }
}

impl GuestName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GuestName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if text.is_empty() || text.len() > 63 || !plain || text.starts_with(['-', '_']) {
            let form = "1 to 63 letters, digits, '_' and '-', the first a letter or digit";
            return Err(format!("{text:?} is not a name for a guest: {form}"));
        }
        Ok(Self(text.to_owned()))
    }
}

guestnet_core::checked_text!(GuestName, String, "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$");

impl fmt::Display for GuestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
