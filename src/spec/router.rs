//! The host's side of a guest's link: the addresses of its router, and what they leave to the guest.

use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_dhcpconf::dnsmasq::Dhcpv6;
use ipnet::{Ipv4Net, Ipv6Net};

use super::{Interface, Serve};

/// The router of guests that are told that nothing else is on their link. Every interface may have it.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The router of guests whose prefix has no address for one. Every interface may have it.
pub(crate) const LINK_LOCAL_ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The longest prefix with room for a router and the guest: its first address is that of all routers (RFC 4291, section
/// 2.6.1), so two more are needed. A /127 has two (RFC 6164), and both are the guest's.
const ROOMY: u8 = 126;

impl Interface {
    /// The IPv4 address of the host's side of the link.
    pub(crate) fn router(&self) -> Ipv4Net {
        self.gateway_ipv4.unwrap_or_else(|| Ipv4Net::from(ROUTER))
    }

    /// The IPv6 prefixes on the link, public first.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Ipv6Net> {
        self.public_ipv6.iter().chain(&self.private_ipv6).map(Ipv6Net::trunc)
    }

    /// Whether the host has an address in `prefix`, the first one.
    pub(crate) fn shares(&self, prefix: &Ipv6Net) -> bool {
        self.gateway_ipv6.is_none() && prefix.prefix_len() <= ROOMY
    }

    /// The host's addresses in the prefixes on the link, with their lengths.
    pub(crate) fn routers6(&self) -> impl Iterator<Item = Ipv6Net> {
        let shared = self.prefixes().filter(|prefix| self.shares(prefix));
        shared.map(|prefix| Ipv6Net::new_assert(nth(prefix, 1), prefix.prefix_len()))
    }

    /// The prefixes that are the guest's as a whole, the host having no address in them.
    pub(crate) fn whole(&self) -> impl Iterator<Item = Ipv6Net> {
        self.prefixes().filter(|prefix| !self.shares(prefix))
    }

    /// The host's link-local address for the guest, where it has to be a certain one.
    pub(crate) fn link_local_router(&self) -> Option<Ipv6Addr> {
        self.gateway_ipv6.or_else(|| self.whole().next().map(|_| LINK_LOCAL_ROUTER))
    }

    /// Whether `prefix` is one of which a guest makes an address by itself (SLAAC).
    pub(crate) fn advertises(&self, prefix: &Ipv6Net) -> bool {
        self.shares(prefix) && prefix.prefix_len() == 64
    }

    /// The prefixes of which dnsmasq tells the guest an address, the host having one too.
    pub(crate) fn told(&self) -> impl Iterator<Item = Ipv6Net> {
        // Of a shorter prefix dnsmasq tells none.
        self.prefixes().filter(|prefix| self.shares(prefix) && prefix.prefix_len() >= 64)
    }

    /// The addresses that dnsmasq tells the guest of prefixes that are its as a whole: the first that is not that of
    /// all routers.
    pub(crate) fn told_alone<'a>(&'a self, serve: &Serve) -> impl Iterator<Item = Ipv6Addr> + 'a {
        let by_dhcp = serve.dhcpv6 == Dhcpv6::Addresses;
        let first = |prefix: Ipv6Net| nth(prefix, u128::from(prefix.prefix_len() < 128));
        self.whole().filter(move |_| by_dhcp).map(first)
    }

    /// Whether dnsmasq needs an address on the link that is nobody's, because the host has none there.
    pub(crate) fn needs_stand_in(&self) -> bool {
        let Some(serve) = self.serve.as_ref().filter(|_| self.bridge.is_none()) else { return false };
        self.told().next().is_none() && self.told_alone(serve).next().is_some()
    }
}

/// The `n`th address of `prefix`, which has it.
fn nth(prefix: Ipv6Net, n: u128) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(prefix.network()) + n)
}
