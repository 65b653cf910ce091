//! A guest's namespace and the veth pair that joins it to the host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::link::Peer;
use guestnet_core::{Address, Error, Link, LinkKind, LinkName, Mac, Netns, NetnsName, Route, Sysctl};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Lowered, Spot, settings};
use crate::resolve::{Ends, ResolvedGuest};

pub(crate) fn host4(address: Ipv4Addr) -> IpNet {
    IpNet::from(IpAddr::from(address))
}

pub(super) fn host6(address: Ipv6Addr) -> IpNet {
    IpNet::from(IpAddr::from(address))
}

/// The sysctls that make a namespace a router.
pub(super) const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

fn plain(key: &str, value: &str) -> Result<Sysctl, Error> {
    Sysctl::new(key, value).map_err(|e| Error::malformed("sysctl", e))
}

/// The link-local address of `dev` that follows from its MAC address.
pub(super) fn link_local(dev: &LinkName, mac: Mac) -> Address {
    let prefix = Ipv6Net::new_assert(mac.link_local(), 64);
    Address { nodad: true, ..Address::new(dev.clone(), prefix.into()) }
}

impl Lowered {
    /// What makes `netns` a router.
    pub(super) fn forwarding(&mut self, netns: &Netns, path: &Spot) -> Result<(), Error> {
        let asked = self.routers.entry(netns.clone()).or_default();
        *asked += 1;
        if *asked > 1 {
            return Ok(());
        }
        for key in FORWARDING {
            self.add(netns, plain(key, "1")?, path, |o| &mut o.sysctls);
        }
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
        guest: &ResolvedGuest<'_>,
        ends: &Ends,
        name: &NetnsName,
        path: &Spot,
    ) -> Result<(), Error> {
        let netns = Netns::Named(name.clone());
        self.objects.in_namespace(&netns);
        self.forwarding(&Netns::Host, path)?;
        self.forwarding(&netns, path)?;
        self.pair(ends, name, path)?;

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

    fn pair(&mut self, ends: &Ends, name: &NetnsName, path: &Spot) -> Result<(), Error> {
        let netns = Netns::Named(name.clone());
        let path = path.field("transit");
        let outside = LinkKind::Veth(Peer { peer: ends.guest_link.clone(), namespace: Some(name.clone()) });
        let mut link = Link::new(ends.host_link.clone(), outside);
        (link.mac, link.mtu) = (Some(ends.host_mac), Some(ends.mtu));
        link.settings = settings::transit(ends.mtu);
        self.add(&Netns::Host, link, &path, |o| &mut o.links);
        let inside = LinkKind::Veth(Peer { peer: ends.host_link.clone(), namespace: None });
        let mut link = Link::new(ends.guest_link.clone(), inside);
        (link.mac, link.mtu) = (Some(ends.guest_mac), Some(ends.mtu));
        link.settings = settings::transit(ends.mtu);
        self.add(&netns, link, &path, |o| &mut o.links);
        // The routes go through them, so they are looked for. The kernel makes them once it has noticed a carrier, which on
        // a bare host takes a second; said, they are there at once.
        for (netns, dev, mac) in
            [(&Netns::Host, &ends.host_link, ends.host_mac), (&netns, &ends.guest_link, ends.guest_mac)]
        {
            self.add(netns, link_local(dev, mac), &path, |o| &mut o.addresses);
        }
        Ok(())
    }
}
