//! A guest's namespace and the veth pair that joins it to the host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::link::Peer;
use guestnet_core::{Address, Error, Link, LinkKind, LinkName, Mac, Netns, NetnsName, Path, Route, Sysctl};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Lowered;
use super::tunnel::ETHERNET;
use crate::spec::{Guest, Transit};

/// The two ends of the pair, every default filled in.
pub(crate) struct Ends {
    pub(crate) host_link: LinkName,
    pub(crate) guest_link: LinkName,
    pub(super) host_mac: Mac,
    pub(super) guest_mac: Mac,
    pub(super) host_ipv4: Ipv4Addr,
    pub(super) guest_ipv4: Ipv4Addr,
    pub(super) mtu: u32,
}

impl Ends {
    pub(crate) fn of(guest: &Guest) -> Result<Self, Error> {
        let Transit { host_link, guest_link, host_mac, guest_mac, host_ipv4, guest_ipv4, mtu } =
            guest.transit.clone();
        let host_link = host_link.map_or_else(|| link_name("vetho", guest.name.as_str()), Ok)?;
        let guest_link = guest_link.map_or_else(|| link_name("vethi", guest.name.as_str()), Ok)?;
        Ok(Self {
            host_mac: host_mac.unwrap_or_else(|| Mac::derived(&format!("{} {host_link}", guest.name))),
            guest_mac: guest_mac.unwrap_or_else(|| Mac::derived(&format!("{} {guest_link}", guest.name))),
            host_link,
            guest_link,
            host_ipv4: host_ipv4.unwrap_or(Ipv4Addr::new(169, 254, 0, 1)),
            guest_ipv4: guest_ipv4.unwrap_or(Ipv4Addr::new(169, 254, 0, 2)),
            mtu: mtu.unwrap_or(ETHERNET),
        })
    }
}

/// `prefix` and `guest`; where that is too long for a link, `prefix` and eight hex digits that follow from `guest`.
pub(super) fn link_name(prefix: &str, guest: &str) -> Result<LinkName, Error> {
    let short = || {
        let [_, _, a, b, c, d] = Mac::derived(guest).0;
        format!("{prefix}{a:02x}{b:02x}{c:02x}{d:02x}")
    };
    let name = format!("{prefix}{guest}").parse().or_else(|_| short().parse::<LinkName>());
    name.map_err(|e| Error::malformed(format!("link of guest {guest}"), e))
}

pub(super) fn host4(address: Ipv4Addr) -> IpNet {
    IpNet::from(IpAddr::from(address))
}

pub(super) fn host6(address: Ipv6Addr) -> IpNet {
    IpNet::from(IpAddr::from(address))
}

/// A sysctl of a link; link names were checked to be parts of a path.
pub(super) fn of_link(family: &str, link: &LinkName, parameter: &str, value: &str) -> Result<Sysctl, Error> {
    Sysctl::of_link(family, link, parameter, value).map_err(|e| Error::malformed("sysctl", e))
}

fn plain(key: &str, value: &str) -> Result<Sysctl, Error> {
    Sysctl::new(key, value).map_err(|e| Error::malformed("sysctl", e))
}

impl Lowered {
    /// What makes `netns` a router.
    pub(super) fn forwarding(&mut self, netns: &Netns, path: &Path) -> Result<(), Error> {
        if !self.routers.insert(netns.clone()) {
            return Ok(());
        }
        self.add(netns, plain("net/ipv4/ip_forward", "1")?, path, |o| &mut o.sysctls);
        self.add(netns, plain("net/ipv6/conf/all/forwarding", "1")?, path, |o| &mut o.sysctls);
        Ok(())
    }

    /// The namespace of `guest`, the veth pair to the host's, the ways through it, and the host's routes to the guest.
    ///
    /// ```text
    /// ip netns add vm1
    /// ip link add vethovm1 type veth peer name vethivm1 netns vm1
    /// ip route add 203.0.113.7 via inet6 fe80::…(vethivm1) dev vethovm1
    /// ip route add 2001:db8:1::/80 via fe80::…(vethivm1) dev vethovm1
    /// ip -n vm1 route add default via inet6 fe80::…(vethovm1) dev vethivm1
    /// ip -n vm1 route add 2000::/3 via fe80::…(vethovm1) dev vethivm1
    /// ```
    pub(super) fn own_namespace(
        &mut self,
        guest: &Guest,
        name: &NetnsName,
        path: &Path,
    ) -> Result<(), Error> {
        let ends = Ends::of(guest)?;
        let netns = Netns::Named(name.clone());
        self.objects.in_namespace(&netns);
        self.forwarding(&Netns::Host, path)?;
        self.forwarding(&netns, path)?;
        self.pair(&ends, name, path)?;

        let (on_host, inside) = (&ends.host_link, &ends.guest_link);
        if guest.has_ipv4() {
            let address = |dev: &LinkName, ip| Address::new(dev.clone(), host4(ip));
            self.add(&Netns::Host, address(on_host, ends.host_ipv4), path, |o| &mut o.addresses);
            self.add(&netns, address(inside, ends.guest_ipv4), path, |o| &mut o.addresses);
        }
        // The gateways of both families are link-local addresses of IPv6 (RFC 8950). IPv4 addresses of the pair, which
        // all pairs may share, would not stand a strict reverse path filter, and so ARP between them would not.
        let to_host = |to| Route::via(to, ends.host_mac.link_local().into(), inside.clone());
        let to_guest = |to| Route::via(to, ends.guest_mac.link_local().into(), on_host.clone());
        // Without a public address there is nowhere to go for IPv4 but through the tunnels.
        if guest.interfaces.iter().any(|interface| interface.public_ipv4.is_some()) {
            let everywhere = IpNet::from(Ipv4Net::default());
            self.add(&netns, to_host(everywhere), path, |o| &mut o.routes);
        }
        // All that is routed in public: private prefixes leave through tunnels or not at all (RFC 4291 section 2.4).
        let public = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
        self.add(&netns, to_host(public.into()), path, |o| &mut o.routes);
        if let Some(endpoint) = guest.endpoint {
            let address = Address { nodad: true, ..Address::new(inside.clone(), host6(endpoint)) };
            self.add(&netns, address, &path.field("endpoint"), |o| &mut o.addresses);
        }

        if let Some(endpoint) = guest.endpoint {
            self.add(&Netns::Host, to_guest(host6(endpoint)), &path.field("endpoint"), |o| &mut o.routes);
        }
        for (n, interface) in guest.interfaces.iter().enumerate() {
            let path = path.field("interfaces").index(n);
            if let Some(public) = interface.public_ipv4 {
                self.add(&Netns::Host, to_guest(host4(public)), &path.field("public_ipv4"), |o| {
                    &mut o.routes
                });
            }
            for prefix in interface.public_ipv6.iter().chain(&interface.routed_ipv6) {
                self.add(&Netns::Host, to_guest(prefix.trunc().into()), &path, |o| &mut o.routes);
            }
        }
        Ok(())
    }

    fn pair(&mut self, ends: &Ends, name: &NetnsName, path: &Path) -> Result<(), Error> {
        let netns = Netns::Named(name.clone());
        let path = path.field("transit");
        let outside = LinkKind::Veth(Peer { peer: ends.guest_link.clone(), namespace: Some(name.clone()) });
        let mut link = Link::new(ends.host_link.clone(), outside);
        (link.mac, link.mtu) = (Some(ends.host_mac), Some(ends.mtu));
        self.add(&Netns::Host, link, &path, |o| &mut o.links);
        let inside = LinkKind::Veth(Peer { peer: ends.host_link.clone(), namespace: None });
        let mut link = Link::new(ends.guest_link.clone(), inside);
        (link.mac, link.mtu) = (Some(ends.guest_mac), Some(ends.mtu));
        self.add(&netns, link, &path, |o| &mut o.links);
        // Nobody else is on this link: its link-local addresses, which the routes go through, may be used at once.
        for (netns, dev) in [(&Netns::Host, &ends.host_link), (&netns, &ends.guest_link)] {
            self.add(netns, of_link("ipv6", dev, "accept_dad", "0")?, &path, |o| &mut o.sysctls);
            self.add(netns, of_link("ipv6", dev, "accept_ra", "0")?, &path, |o| &mut o.sysctls);
        }
        Ok(())
    }
}
