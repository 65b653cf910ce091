//! What one guest behind an interface of its own is given.

use std::net::{IpAddr, Ipv4Addr};

use guestnet_core::Mac;
use ipnet::{Ipv4Net, Ipv6Net};

use super::SharedNetwork;
use super::{
    ClasslessRoute, DhcpOption, DnsmasqSpec, Host, OptionValue, Range4, Range6, RouterAdvertisement,
};
use crate::value::{Hostname, Interface, LeaseTime};

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
    /// Its IPv6 prefixes: those of 64 bits by SLAAC and DHCPv6, longer ones, up to 126 bits, by DHCPv6 alone. The
    /// interface has the first address of each, so `…::1` of `…::/64`.
    pub prefixes: Vec<Ipv6Net>,
    /// The MTU of its link in bytes, if another than the interface's. IPv6 needs at least 1280.
    pub mtu: Option<u16>,
    /// Its DNS servers.
    pub dns: Vec<IpAddr>,
}

/// How a guest gets an IPv4 address that is its alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// It takes itself to be in the subnet of the interface's address, which is its router.
    ///
    /// With 192.168.0.1/24 on the interface the guest at 192.168.0.85 is told 192.168.0.85/24 and the router
    /// 192.168.0.1. It resolves its neighbours in 192.168.0.0/24 by ARP, so the interface needs `proxy_arp`, and
    /// the namespace a route to each of them. The lease lasts two minutes; see [`Range4::bare_prefix_len`].
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
    /// A guest behind `interface` that is given nothing yet.
    pub fn new(interface: Interface) -> Self {
        Self {
            interface,
            mac: None,
            hostname: None,
            address: None,
            addressing: Addressing::Subnet,
            prefixes: Vec::new(),
            mtu: None,
            dns: Vec::new(),
        }
    }
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
            match guest.addressing {
                Addressing::Subnet => self.ranges4.push(Range4::single(interface, address)),
                Addressing::PointToPoint { router } => {
                    let range = Range4::between(address, address).only(interface.into());
                    self.ranges4.push(range.prefix_len(32).lease_time(LeaseTime::hours(12)));
                    self.shared_networks.push(SharedNetwork { interface_address: router, address });
                    self.options.push(tell(OptionValue::Router(vec![router])));
                    let everything = Ipv4Net::default();
                    self.options.push(tell(OptionValue::ClasslessRoutes(vec![
                        ClasslessRoute { to: router.into(), via: None },
                        ClasslessRoute { to: everything, via: Some(router) },
                    ])));
                }
            }
        }
        if let Some(mac) = guest.mac.filter(|_| guest.address.is_some() || guest.hostname.is_some()) {
            let (address, hostname) = (guest.address, guest.hostname.clone());
            self.hosts.push(Host { ignore_client_id: true, address, hostname, ..Host::new(mac) });
        }
        self.ranges6.extend(guest.prefixes.iter().map(|prefix| match prefix.prefix_len() {
            64 => Range6::slaac(interface, *prefix),
            _ => Range6::stateful(interface, *prefix),
        }));
        if let Some(mtu) = guest.mtu {
            if guest.address.is_some() {
                self.options.push(tell(OptionValue::Mtu(mtu)));
            }
            if !guest.prefixes.is_empty() {
                let mtu = Some(mtu.into());
                let advertisement =
                    RouterAdvertisement { mtu, ..RouterAdvertisement::new(interface.clone()) };
                self.router_advertisements.push(advertisement);
            }
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
