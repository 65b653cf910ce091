//! The firewall: one for each namespace with guests.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use guestnet_core::{Error, Netns};
use guestnet_firewall::{Access, FirewallSpec, GuestLink, HostAccess, TunnelEnds};
use guestnet_nft::{Family, Table};
use ipnet::IpNet;

use super::namespace::host4;
use super::{Ends, Lowered};
use crate::spec::{Guest, HostSpec, Interface};

impl HostSpec {
    /// The filter of each namespace, the host's first; none without a `firewall`.
    pub(crate) fn firewalls(&self) -> Result<BTreeMap<Netns, FirewallSpec>, Error> {
        let Some(firewall) = &self.firewall else { return Ok(BTreeMap::new()) };
        let everybody = self.with_members(firewall.of_host());
        let mut of: BTreeMap<Netns, FirewallSpec> = BTreeMap::new();
        for netns in self.own_namespaces() {
            let inside = FirewallSpec {
                groups: everybody.groups.clone(),
                // Nobody works in there.
                host: Some(HostAccess::default()),
                ..firewall.common()
            };
            of.insert(netns, inside);
        }
        let mut host = everybody;
        for guest in &self.guests {
            if !guest.is_on_host() {
                host.inner.insert(Ends::of(guest)?.host_link);
            }
            let spec = if guest.is_on_host() { &mut host } else { of.entry(guest.netns()).or_default() };
            spec.guests.extend(guest.interfaces.iter().filter_map(|interface| self.bound(guest, interface)));
            spec.tunnels.extend(
                guest.tunnels.iter().map(|tunnel| TunnelEnds { local: tunnel.local, remote: tunnel.remote }),
            );
        }
        let bridged = self.guests.iter().flat_map(|guest| &guest.interfaces);
        host.inner.extend(bridged.filter_map(|interface| interface.bridge.clone()));
        of.insert(Netns::Host, host);
        Ok(of)
    }

    /// `spec` with the addresses of all guests in the groups that they are in, wherever they live.
    fn with_members(&self, mut spec: FirewallSpec) -> FirewallSpec {
        for group in &mut spec.groups {
            for guest in &self.guests {
                for interface in &guest.interfaces {
                    let groups = [&guest.access.groups, &interface.access.groups];
                    if groups.into_iter().flatten().any(|name| *name == group.name) {
                        group.addresses.extend(interface.own().chain(interface.public_ipv4.map(host4)));
                    }
                }
            }
        }
        spec
    }

    fn bound(&self, guest: &Guest, interface: &Interface) -> Option<GuestLink> {
        let mut link = GuestLink::new(interface.name.clone(), interface.mac?);
        link.bridged = interface.bridge.is_some();
        link.addresses = interface.own().collect();
        link.known_as = interface.public_ipv4.map(host4).into_iter().collect();
        link.ethertypes.clone_from(&interface.ethertypes);
        link.routers = match self.bridge_of(interface) {
            Some(bridge) => bridge.addresses.iter().map(IpNet::addr).collect(),
            None => interface.routers().collect(),
        };
        link.access = together(&guest.access, &interface.access);
        Some(link)
    }
}

impl Interface {
    /// What the guest may send from.
    fn own(&self) -> impl Iterator<Item = IpNet> + '_ {
        let prefixes = self.public_ipv6.iter().chain(&self.private_ipv6).chain(&self.routed_ipv6);
        let prefixes = prefixes.map(|prefix| IpNet::from(prefix.trunc()));
        self.private_ipv4.map(host4).into_iter().chain(prefixes).chain(self.sources.iter().copied())
    }

    /// The host's addresses on its link.
    fn routers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let ipv4 = self.private_ipv4.map(|_| IpAddr::from(self.router().addr()));
        // In a prefix without room for two the first address is the guest's.
        let roomy = self.prefixes().filter(|prefix| prefix.prefix_len() <= 126);
        let ipv6 = roomy.map(|prefix| Ipv6Addr::from(u128::from(prefix.network()) + 1).into());
        ipv4.into_iter().chain(ipv6)
    }
}

/// What a guest may, and one interface of it besides.
fn together(guest: &Access, interface: &Access) -> Access {
    let mut access = guest.clone();
    for group in &interface.groups {
        if !access.groups.contains(group) {
            access.groups.push(group.clone());
        }
    }
    access.ingress.extend_from_slice(&interface.ingress);
    access.egress.extend_from_slice(&interface.egress);
    access.stateless |= interface.stateless;
    access
}

impl Lowered {
    pub(super) fn firewall(&mut self, spec: &HostSpec) -> Result<(), Error> {
        let root = self.root().field("firewall");
        for (netns, filter) in spec.firewalls()? {
            for table in filter.lower() {
                let path = if guards(&table) { root.field("guard") } else { root.clone() };
                self.add(&netns, table, &path, |o| &mut o.tables);
            }
        }
        Ok(())
    }
}

/// Whether it is the table of the guard.
fn guards(table: &Table) -> bool {
    table.family == Family::Netdev
}
