//! A guest's interfaces: links, addresses, routes, translation, tunnels, neighbours, and what dnsmasq tells it.

use std::net::IpAddr;

use guestnet_core::link::Settings;
use guestnet_core::{Address, Error, Link, LinkKind, LinkName, Mac, Netns, Route, Sysctl};
use guestnet_dhcpconf::dnsmasq::{Addressing, DnsmasqSpec, Guest as Served, STAND_IN};
use guestnet_nat::{NatSpec, Pair};
use guestnet_ndp::{PermanentNeighbour, ProxyNeighbour};
use ipnet::Ipv6Net;

use super::namespace::{host4, link_local};
use super::tunnel::{ETHERNET, announced_mtu};
use super::{Lowered, Spot, settings};
use crate::resolve::{Resolved, ResolvedGuest, ResolvedInterface};
use crate::spec::{GuestName, Interface, InterfaceKind, ROUTER};

impl Interface {
    /// The host's side of it, with the kernel's MTU.
    fn link(&self, guest: &GuestName) -> Link {
        match &self.kind {
            // The guest keeps the MAC address of its router while the tap is made anew.
            InterfaceKind::Tap(options) => Link {
                mac: Some(Mac::derived_for_tap(&format!("{guest} {}", self.name))),
                ..Link::new(self.name.clone(), LinkKind::Tap(options.clone()))
            },
            InterfaceKind::Dummy => Link::new(self.name.clone(), LinkKind::Dummy),
        }
    }

    /// How the host's side of it, with `mtu`, deals with packets and neighbours.
    fn settings(&self, mtu: u32) -> Settings {
        let mut settings = settings::routed(mtu);
        settings.ipv4.proxy_arp = Some(self.private_ipv4.is_some());
        // Nobody else answers, so there is nobody to wait for.
        settings.ipv4.proxy_delay = self.private_ipv4.and(Some(0));
        // The guest's neighbours are reached through us and not directly, whatever it may look like from here.
        settings.ipv4.send_redirects = Some(false);
        // Said, so that it ends when it is no longer needed.
        settings.ipv4.accept_local = Some(false);
        if self.prefixes().next().is_some() || !self.routed_ipv6.is_empty() {
            settings.ipv6.disable_ipv6 = Some(false);
        }
        settings
    }
}

/// A sysctl of a link of others; link names were checked to be parts of a path.
fn of_link(link: &LinkName, parameter: &str, value: &str) -> Result<Sysctl, Error> {
    Sysctl::of_link("ipv4", link, parameter, value).map_err(|e| Error::malformed("sysctl", e))
}

impl Lowered {
    pub(super) fn guest(
        &mut self,
        spec: &Resolved<'_>,
        guest: &ResolvedGuest<'_>,
        path: &Spot,
    ) -> Result<(), Error> {
        match (&guest.netns, &guest.ends) {
            (Netns::Named(name), Some(ends)) => self.own_namespace(guest, ends, name, path)?,
            // Where the host only carries frames between ports, it need not be a router.
            _ if guest.is_only_bridged() && guest.proxied.is_empty() && guest.tunnels.is_empty() => {}
            (netns, _) => self.forwarding(netns, path)?,
        }
        for (n, interface) in guest.interfaces.iter().enumerate() {
            self.interface(guest, interface, &path.field("interfaces").index(n))?;
        }
        self.tunnels(spec, guest, path)?;
        if let Some(uplink) = spec.uplink.as_ref().filter(|_| !guest.proxied.is_empty()) {
            let path = path.field("proxied");
            let sysctls = guestnet_ndp::sysctls(uplink).map_err(|e| Error::malformed("sysctl", e))?;
            for sysctl in sysctls {
                self.add(&Netns::Host, sysctl, &path, |o| &mut o.sysctls);
            }
            for (n, address) in guest.proxied.iter().enumerate() {
                let neighbour = ProxyNeighbour::new(IpAddr::from(*address), uplink.clone());
                self.add(&Netns::Host, neighbour, &path.index(n), |o| &mut o.neighbours);
            }
        }
        self.dnsmasq(guest, path)
    }

    fn interface(
        &mut self,
        guest: &ResolvedGuest<'_>,
        interface: &ResolvedInterface<'_>,
        path: &Spot,
    ) -> Result<(), Error> {
        let netns = &guest.netns;
        let mtu = interface.mtu.or(interface.port_of.and_then(|bridge| bridge.mtu)).unwrap_or(ETHERNET);
        let settings = match interface.port_of {
            Some(_) => settings::port(mtu),
            None => interface.settings(mtu),
        };
        let link = Link { mtu: Some(mtu), settings, ..interface.link(&guest.name) };
        match interface.port_of {
            Some(bridge) => self.port(interface, bridge, link, path),
            None => self.routed(netns, interface, link, path),
        }
        if let (Some(public), Some(private)) = (interface.public_ipv4, interface.private_ipv4) {
            let nat = guest.applied_nat;
            let table = self.nat.entry(netns.clone()).or_insert_with(|| NatSpec {
                mode: nat.mode,
                untranslated: nat.untranslated.clone(),
                ..NatSpec::default()
            });
            table.pairs.push(Pair { public: host4(public), private: host4(private) });
            // What the guest sends may carry its public address by the time that its way back is looked at. The larger
            // of this and `conf/all` counts, so this is loose whatever the host says (RFC 3704 section 2.4).
            let dev = interface.port_of.map_or(&interface.name, |bridge| &bridge.name);
            match self.objects.in_namespace(netns).links.get_mut(dev) {
                Some(link) => {
                    link.settings.ipv4.rp_filter = Some(2);
                    // The namespace may have that address too, for its own errors.
                    if guest.ends.as_ref().is_some_and(|ends| ends.guest_ipv4 == public) {
                        link.settings.ipv4.accept_local = Some(true);
                    }
                }
                // A bridge of others.
                None => self.add(netns, of_link(dev, "rp_filter", "2")?, path, |o| &mut o.sysctls),
            }
        }
        Ok(())
    }

    /// An interface that the guest has for itself: the host is its router, and routes to it.
    fn routed(&mut self, netns: &Netns, interface: &Interface, link: Link, path: &Spot) {
        let dev = &interface.name;
        if let Some(mac) = link.mac.filter(|_| interface.prefixes().next().is_some()) {
            // What the guest is told that its router is.
            self.add(netns, link_local(dev, mac), path, |o| &mut o.addresses);
        }
        self.add(netns, link, path, |o| &mut o.links);

        if let Some(private) = interface.private_ipv4 {
            let path = path.field("private_ipv4");
            // No route to the guest's network as a whole: the others in it are elsewhere, and ARP for them is
            // answered by us.
            let address =
                Address { noprefixroute: true, ..Address::new(dev.clone(), interface.router().into()) };
            self.add(netns, address, &path, |o| &mut o.addresses);
            self.add(netns, Route::on_link(host4(private), dev.clone()), &path, |o| &mut o.routes);
        }
        self.routed6(netns, interface, path);
        self.behind(netns, interface, dev, path);
    }

    /// The guest's IPv6 prefixes, and its router. The guest's side is told by dnsmasq; the host's is there at once, before
    /// anyone could dispute it.
    ///
    /// ```text
    /// ip address add 2001:db8:1::1/64 dev tap0 nodad
    /// ```
    ///
    /// and for a prefix that is the guest's as a whole
    ///
    /// ```text
    /// ip address add fe80::1/64 dev tap0 nodad
    /// ip -6 route add 2001:db8:1::5/128 dev tap0
    /// ```
    fn routed6(&mut self, netns: &Netns, interface: &Interface, path: &Spot) {
        let dev = &interface.name;
        let at_once = |address: Ipv6Net| Address { nodad: true, ..Address::new(dev.clone(), address.into()) };
        for router in interface.routers6() {
            self.add(netns, at_once(router), path, |o| &mut o.addresses);
        }
        if let Some(router) = interface.link_local_router() {
            let router = at_once(Ipv6Net::new_assert(router, 64));
            self.add(netns, router, &path.field("gateway_ipv6"), |o| &mut o.addresses);
        }
        if interface.needs_stand_in() {
            let stand_in = Address { noprefixroute: true, ..at_once(STAND_IN) };
            self.add(netns, stand_in, &path.field("serve"), |o| &mut o.addresses);
        }
        for prefix in interface.whole() {
            self.add(netns, Route::on_link(prefix.into(), dev.clone()), path, |o| &mut o.routes);
        }
    }

    /// The prefixes behind a guest, by its link-local address on `dev` that follows from its MAC address, whether it has that
    /// one or another (RFC 7217): it is not asked.
    ///
    /// ```text
    /// ip neighbour replace fe80::5eff:fe00:5301 dev tap0 lladdr 02:00:5e:00:53:01 nud permanent
    /// ip -6 route add 2001:db8:7::/64 via fe80::5eff:fe00:5301 dev tap0
    /// ```
    pub(super) fn behind(&mut self, netns: &Netns, interface: &Interface, dev: &LinkName, path: &Spot) {
        let Some(mac) = interface.mac.filter(|_| !interface.routed_ipv6.is_empty()) else { return };
        let path = path.field("routed_ipv6");
        let gateway = IpAddr::from(mac.link_local());
        let neighbour = PermanentNeighbour::new(gateway, dev.clone(), mac);
        self.add(netns, neighbour, &path, |o| &mut o.permanent_neighbours);
        for prefix in &interface.routed_ipv6 {
            let route = Route::via(prefix.trunc().into(), gateway, dev.clone());
            self.add(netns, route, &path, |o| &mut o.routes);
        }
    }

    /// One file for the dnsmasq of a guest: `GUEST/dnsmasq.conf`.
    fn dnsmasq(&mut self, guest: &ResolvedGuest<'_>, path: &Spot) -> Result<(), Error> {
        let mut document = DnsmasqSpec::new([]);
        for (n, interface) in guest.interfaces.iter().enumerate() {
            let Some(serve) = interface.serve.as_ref().filter(|_| interface.bridge.is_none()) else {
                continue;
            };
            let name = match (&interface.name).try_into() {
                Ok(name) => name,
                Err(error) => {
                    let error: guestnet_dhcpconf::value::ValueError = error;
                    let path = path.field("interfaces").index(n).field("name");
                    self.problems.at(&path.path(), format!("{error}; or say \"serve\": false"));
                    continue;
                }
            };
            let mut served = Served::new(name);
            served.mac = interface.mac;
            served.address = interface.private_ipv4;
            served.addressing = match interface.gateway_ipv4 {
                Some(_) => Addressing::Subnet,
                None => Addressing::PointToPoint { router: ROUTER },
            };
            served.prefixes = interface.told().collect();
            served.addresses6 = interface.told_alone(serve).collect();
            served.dhcpv6 = serve.dhcpv6;
            (served.lease, served.bare_prefix_len) = (serve.lease(), serve.bare_prefix_len);
            served.prefix_lifetime = serve.prefix_lifetime();
            (served.interval, served.router_lifetime) = (serve.interval, serve.router_lifetime);
            served.mtu = announced_mtu(guest, interface);
            served.dns.clone_from(&serve.dns);
            if served.address.is_some() || !served.prefixes.is_empty() || !served.addresses6.is_empty() {
                document = document.guest(&served);
            }
        }
        if !document.interfaces.is_empty() {
            let file =
                format!("{}/dnsmasq.conf", guest.name).parse().map_err(|e| Error::malformed("file", e))?;
            self.add_file(document.to_file(file), path);
        }
        Ok(())
    }
}
