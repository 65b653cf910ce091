//! What one guest behind an interface of its own is given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::Mac;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{
    ClasslessRoute, DhcpOption, DnsmasqSpec, Host, OptionValue, RaMode, Range4, Range6, RouterAdvertisement,
    SharedNetwork, SharedNetwork6,
};
use crate::value::{Hostname, Interface, LeaseTime};

/// The address that an interface has for dnsmasq's sake where it has none but link-local ones.
///
/// dnsmasq serves IPv6 only on an interface with an address that is not link-local and in one of its ranges. Where the
/// router has none in the prefixes of the guest (a /127 or /128 is the guest's as a whole), this stands in: a unique
/// local address (RFC 4193) that every interface may have, to which no route leads and which no guest is given. dnsmasq gives
/// nobody an address that ends like its own, so this one ends like no other.
pub const STAND_IN: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfdcd, 0x4f7e, 0x6fd0, 0, 0x8a5e, 0x31c7, 0xd02b, 0x96f4), 64);

/// A guest behind an interface of its own, and what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The host's side of its link.
    pub interface: Interface,
    /// Its MAC address. Known, it gets its IPv4 address whatever client identifier it sends, and nobody else does
    /// who speaks on the same link.
    pub mac: Option<Mac>,
    /// Its name; needs the MAC address.
    pub hostname: Option<Hostname>,
    /// Its IPv4 address.
    pub address: Option<Ipv4Addr>,
    /// How it gets the address.
    pub addressing: Addressing,
    /// IPv6 prefixes of 64 to 126 bits of which the interface has the first address, so `…::1` of `…::/64`. The guest
    /// gets the second one by DHCPv6, and makes one of its own in a prefix of 64 bits (SLAAC, RFC 4862).
    pub prefixes: Vec<Ipv6Net>,
    /// IPv6 addresses in prefixes of which the interface has no address: by DHCPv6 alone. If there are no
    /// [`prefixes`](Self::prefixes) the interface needs the address [`STAND_IN`].
    pub addresses6: Vec<Ipv6Addr>,
    /// What DHCPv6 has for it.
    pub dhcpv6: Dhcpv6,
    /// How long it holds addresses by DHCP, of both families.
    pub lease: LeaseTime,
    /// Write its IPv4 address as orchestrators do that mean a prefix length, `…,32`: a lease of two minutes, see
    /// [`Range4::bare_prefix_len`]. Only with [`Addressing::Subnet`].
    pub bare_prefix_len: bool,
    /// How long an address that it made of an advertised prefix is valid, and preferred: dnsmasq has one time for both.
    pub prefix_lifetime: LeaseTime,
    /// Seconds between router advertisements; see [`RouterAdvertisement::interval`].
    pub interval: Option<u16>,
    /// Seconds for which the host is a default router; see [`RouterAdvertisement::lifetime`].
    pub router_lifetime: Option<u16>,
    /// The MTU of its link in bytes, if another than the interface's. IPv6 needs at least 1280.
    pub mtu: Option<u16>,
    /// Its DNS servers.
    pub dns: Vec<IpAddr>,
}

/// What DHCPv6 has for a guest. Router advertisements say so by their flags M and O (RFC 4861, section 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dhcpv6 {
    /// Addresses and options: flags M and O.
    #[default]
    Addresses,
    /// Options only, such as DNS servers, for guests that do not take these from router advertisements (RFC 8106):
    /// flag O. Guests make their addresses themselves (SLAAC).
    Options,
    /// Nothing: neither flag. Guests make their addresses themselves (SLAAC).
    Nothing,
}

/// How a guest gets an IPv4 address that is its alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// It takes itself to be in the subnet of the interface's address, which is its router.
    ///
    /// With 192.168.0.1/24 on the interface the guest at 192.168.0.85 is told 192.168.0.85/24 and the router
    /// 192.168.0.1. It resolves its neighbours in 192.168.0.0/24 by ARP, so the interface needs `proxy_arp`, and
    /// the namespace a route to each of them.
    Subnet,
    /// It is told a /32, so that it sends everything to `router`, an address that the interface has (with any
    /// prefix length, /32 too). No `proxy_arp` is needed, and interfaces may share one router address.
    ///
    /// The router is outside of the guest's subnet, which clients bear in one of two ways. Those that ask for
    /// option 121 get a route to the router on the link, then the default route through it, and ignore option 3
    /// (RFC 3442): dhclient and systemd-networkd do. Those that do not ask, and for them option 3 is there, must
    /// know that with a /32 the router is on the link: udhcpc's scripts of busybox and Debian do (`onlink`).
    ///
    /// Tried with udhcpc 1.35, dhclient 4.4 and systemd-networkd 252.
    PointToPoint {
        /// The address of the interface.
        router: Ipv4Addr,
    },
}

impl Guest {
    /// How long a guest holds an address by DHCP unless something else is said.
    pub const LEASE: LeaseTime = LeaseTime::hours(12);
    /// How long an advertised prefix is preferred and valid unless something else is said: 45 minutes, which is the most
    /// that RFC 9096 (section 3.3) has for preferred ones. A prefix that is no longer the guest's goes after that time.
    pub const PREFIX_LIFETIME: LeaseTime = LeaseTime::Seconds(2700);

    /// A guest behind `interface` that is given nothing yet.
    pub fn new(interface: Interface) -> Self {
        Self {
            interface,
            mac: None,
            hostname: None,
            address: None,
            addressing: Addressing::Subnet,
            prefixes: Vec::new(),
            addresses6: Vec::new(),
            dhcpv6: Dhcpv6::default(),
            lease: Self::LEASE,
            bare_prefix_len: false,
            prefix_lifetime: Self::PREFIX_LIFETIME,
            interval: None,
            router_lifetime: None,
            mtu: None,
            dns: Vec::new(),
        }
    }

    /// Whether anything is served in IPv6.
    fn has_ipv6(&self) -> bool {
        !self.prefixes.is_empty() || !self.addresses6.is_empty()
    }

    fn ranges4(&self, address: Ipv4Addr) -> Range4 {
        let (interface, one) = (&self.interface, Range4::between(address, address));
        match self.addressing {
            Addressing::Subnet if self.bare_prefix_len => Range4::single(interface, address),
            Addressing::Subnet => one.set(interface.into()).lease_time(self.lease),
            Addressing::PointToPoint { .. } => {
                one.only(interface.into()).prefix_len(32).lease_time(self.lease)
            }
        }
    }

    /// The ranges of `prefix`, of which the interface has the first address and the guest may have the second.
    fn ranges6(&self, prefix: Ipv6Net) -> Vec<Range6> {
        let interface = &self.interface;
        let advertised =
            |mode| Range6::advertised(interface, prefix, [mode]).lease_time(self.prefix_lifetime);
        let lent = Range6::stateful(interface, prefix).lease_time(self.lease);
        match (prefix.prefix_len(), self.dhcpv6) {
            (64, Dhcpv6::Nothing) => vec![advertised(RaMode::RaOnly)],
            (64, Dhcpv6::Options) => vec![advertised(RaMode::RaStateless)],
            // One range has one time.
            (64, Dhcpv6::Addresses) if self.lease == self.prefix_lifetime => {
                vec![Range6::slaac(interface, prefix).lease_time(self.lease)]
            }
            (64, Dhcpv6::Addresses) => vec![lent, advertised(RaMode::RaOnly)],
            (_, Dhcpv6::Addresses) => vec![lent],
            (_, Dhcpv6::Options | Dhcpv6::Nothing) => Vec::new(),
        }
    }
}

/// The address of the interface in `prefix`.
fn first(prefix: &Ipv6Net) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(prefix.network()).saturating_add(1))
}

impl DnsmasqSpec {
    /// Adds `guest`: its interface, ranges, and what is told on its interface alone.
    #[must_use]
    pub fn guest(mut self, guest: &Guest) -> Self {
        let interface = &guest.interface;
        let tell = |value| DhcpOption::tagged(interface, value);
        if !self.interfaces.contains(interface) {
            self.interfaces.push(interface.clone());
        }
        if let Some(address) = guest.address {
            self.ranges4.push(guest.ranges4(address));
            if let Addressing::PointToPoint { router } = guest.addressing {
                self.shared_networks.push(SharedNetwork { interface_address: router, address });
                self.options.push(tell(OptionValue::Router(vec![router])));
                let everything = Ipv4Net::default();
                self.options.push(tell(OptionValue::ClasslessRoutes(vec![
                    ClasslessRoute { to: router.into(), via: None },
                    ClasslessRoute { to: everything, via: Some(router) },
                ])));
            }
        }
        if let Some(mac) = guest.mac.filter(|_| guest.address.is_some() || guest.hostname.is_some()) {
            let (address, hostname) = (guest.address, guest.hostname.clone());
            self.hosts.push(Host { ignore_client_id: true, address, hostname, ..Host::new(mac) });
        }
        self.ranges6.extend(guest.prefixes.iter().flat_map(|prefix| guest.ranges6(*prefix)));
        if guest.prefixes.is_empty() && !guest.addresses6.is_empty() {
            // Off the link and without an address for anyone: a guest makes nothing of it.
            let modes = [RaMode::Static, RaMode::OffLink];
            let stand_in = Range6::advertised(interface, STAND_IN.trunc(), modes).only(interface.into());
            self.ranges6.push(stand_in.lease_time(guest.prefix_lifetime));
        }
        let interface_address = guest.prefixes.first().map_or(STAND_IN.addr(), first);
        for address in &guest.addresses6 {
            let range = Range6::single(interface, *address).only(interface.into());
            self.ranges6.push(range.lease_time(guest.lease));
            self.shared_networks6.push(SharedNetwork6 { interface_address, address: *address });
        }
        if let Some(mtu) = guest.mtu.filter(|_| guest.address.is_some()) {
            self.options.push(tell(OptionValue::Mtu(mtu)));
        }
        let advertisement = RouterAdvertisement {
            mtu: guest.mtu.map(Into::into),
            interval: guest.interval,
            lifetime: guest.router_lifetime,
            ..RouterAdvertisement::new(interface.clone())
        };
        if guest.has_ipv6() && advertisement != RouterAdvertisement::new(interface.clone()) {
            self.router_advertisements.push(advertisement);
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for server in &guest.dns {
            match server {
                IpAddr::V4(ip) => v4.push(*ip),
                IpAddr::V6(ip) => v6.push(*ip),
            }
        }
        self.options.extend((!v4.is_empty()).then(|| tell(OptionValue::Dns(v4))));
        self.options.extend((!v6.is_empty()).then(|| tell(OptionValue::Dns6(v6))));
        self
    }
}
