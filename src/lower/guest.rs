//! A guest's interfaces: links, addresses, routes, translation, tunnels, neighbours, and what dnsmasq tells it.

use std::net::{IpAddr, Ipv4Addr};

use guestnet_core::{Address, Error, Link, LinkKind, Netns, Path, Route};
use guestnet_dhcpconf::dnsmasq::{Addressing, DnsmasqSpec, Guest as Served};
use guestnet_nat::Pair;
use guestnet_ndp::ProxyNeighbour;
use guestnet_xfrm::tunnel::Keyed;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Lowered;
use super::namespace::{host4, of_link};
use super::tunnel::{ETHERNET, announced_mtu};
use crate::spec::{Guest, HostSpec, Interface, InterfaceKind};

/// The router of guests that are told that nothing else is on their link. Every interface may have it.
const ROUTER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

impl Interface {
    /// The address of the host's side of the link.
    pub(crate) fn router(&self) -> Ipv4Net {
        self.gateway_ipv4.unwrap_or_else(|| Ipv4Net::from(ROUTER))
    }

    /// The IPv6 prefixes on the link, public first.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = Ipv6Net> {
        self.public_ipv6.iter().chain(&self.private_ipv6).map(Ipv6Net::trunc)
    }
}

/// The first address of a prefix that a host can have: `…::1` (`…::` is all the routers', RFC 4291 section 2.6.1).
fn first(prefix: Ipv6Net) -> IpNet {
    let network = u128::from(prefix.network());
    let address = if prefix.prefix_len() > 126 { network } else { network + 1 };
    IpNet::new_assert(std::net::Ipv6Addr::from(address).into(), prefix.prefix_len())
}

impl Lowered {
    /// `tunnels` are those of the guest.
    pub(super) fn guest(
        &mut self,
        spec: &HostSpec,
        guest: &Guest,
        tunnels: &[Keyed<'_>],
        path: &Path,
    ) -> Result<(), Error> {
        let netns = guest.netns();
        match &netns {
            // Where the host only carries frames between ports, it need not be a router.
            Netns::Host
                if guest.is_only_bridged() && guest.proxied.is_empty() && guest.tunnels.is_empty() => {}
            Netns::Host => self.forwarding(&netns, path)?,
            Netns::Named(name) => self.own_namespace(guest, name, path)?,
        }
        for (n, interface) in guest.interfaces.iter().enumerate() {
            self.interface(spec, guest, interface, &path.field("interfaces").index(n))?;
        }
        self.tunnels(spec, guest, tunnels, path)?;
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
        spec: &HostSpec,
        guest: &Guest,
        interface: &Interface,
        path: &Path,
    ) -> Result<(), Error> {
        let netns = guest.netns();
        let dev = &interface.name;
        let kind = match &interface.kind {
            InterfaceKind::Tap(options) => LinkKind::Tap(options.clone()),
            InterfaceKind::Dummy => LinkKind::Dummy,
        };
        let bridge = spec.bridge_of(interface);
        match bridge {
            Some(bridge) => self.port(interface, bridge, kind, path)?,
            None => self.routed(&netns, interface, kind, path)?,
        }
        if let (Some(public), Some(private)) = (interface.public_ipv4, interface.private_ipv4) {
            let nat = guest.nat.as_ref().filter(|_| !guest.is_on_host()).unwrap_or(&spec.nat);
            let table = self.nat.entry(netns.clone()).or_default();
            (table.mode, table.untranslated) = (nat.mode, nat.untranslated.clone());
            table.pairs.push(Pair { public: host4(public), private: host4(private) });
            // What the guest sends may carry its public address by the time that its way back is looked at. The larger
            // of this and `conf/all` counts, so this is loose whatever the host says (RFC 3704 section 2.4).
            let dev = bridge.map_or(dev, |bridge| &bridge.name);
            self.add(&netns, of_link("ipv4", dev, "rp_filter", "2")?, path, |o| &mut o.sysctls);
        }
        Ok(())
    }

    /// An interface that the guest has for itself: the host is its router, and routes to it.
    fn routed(
        &mut self,
        netns: &Netns,
        interface: &Interface,
        kind: LinkKind,
        path: &Path,
    ) -> Result<(), Error> {
        let dev = &interface.name;
        let mut link = Link::new(dev.clone(), kind);
        link.mtu = Some(interface.mtu.unwrap_or(ETHERNET));
        self.add(netns, link, path, |o| &mut o.links);

        if let Some(private) = interface.private_ipv4 {
            let path = path.field("private_ipv4");
            // No route to the guest's network as a whole: the others in it are elsewhere, and ARP for them is
            // answered by us.
            let address =
                Address { noprefixroute: true, ..Address::new(dev.clone(), interface.router().into()) };
            self.add(netns, address, &path, |o| &mut o.addresses);
            self.add(netns, Route::on_link(host4(private), dev.clone()), &path, |o| &mut o.routes);
            self.add(netns, of_link("ipv4", dev, "proxy_arp", "1")?, &path, |o| &mut o.sysctls);
            // The guest's neighbours are reached through us and not directly, whatever it may look like from here.
            self.add(netns, of_link("ipv4", dev, "send_redirects", "0")?, &path, |o| &mut o.sysctls);
        }
        for prefix in interface.prefixes() {
            // The guest's side is told by dnsmasq; ours is there at once, before anyone could dispute it.
            let address = Address { nodad: true, ..Address::new(dev.clone(), first(prefix)) };
            self.add(netns, address, path, |o| &mut o.addresses);
        }
        if let Some(mac) = interface.mac {
            for prefix in &interface.routed_ipv6 {
                let route = Route::via(prefix.trunc().into(), mac.link_local().into(), dev.clone());
                self.add(netns, route, &path.field("routed_ipv6"), |o| &mut o.routes);
            }
        }
        // We are the router on this link and take none from the guest.
        self.add(netns, of_link("ipv6", dev, "accept_ra", "0")?, path, |o| &mut o.sysctls);
        Ok(())
    }

    /// One file for the dnsmasq of a guest: `GUEST/dnsmasq.conf`.
    fn dnsmasq(&mut self, guest: &Guest, path: &Path) -> Result<(), Error> {
        let failed = |e: guestnet_dhcpconf::value::ValueError| Error::malformed("dnsmasq", e);
        let mut document = DnsmasqSpec::new([]);
        for interface in &guest.interfaces {
            let Some(serve) = interface.serve.as_ref().filter(|_| interface.bridge.is_none()) else {
                continue;
            };
            let mut served = Served::new((&interface.name).try_into().map_err(failed)?);
            served.mac = interface.mac;
            served.address = interface.private_ipv4;
            served.addressing = match interface.gateway_ipv4 {
                Some(_) => Addressing::Subnet,
                None => Addressing::PointToPoint { router: ROUTER },
            };
            // Of a shorter prefix no address can be told, and a longer one has none for the guest.
            served.prefixes = interface.prefixes().filter(|p| (64..=126).contains(&p.prefix_len())).collect();
            served.mtu = announced_mtu(guest, interface)?;
            served.dns.clone_from(&serve.dns);
            if served.address.is_some() || !served.prefixes.is_empty() {
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
