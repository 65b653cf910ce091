//! The firewall: one for each namespace with guests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use guestnet_core::{LinkName, Netns};
use guestnet_firewall::{Access, FirewallSpec, Group, GroupName, GuestLink, HostAccess, TunnelEnds};
use ipnet::IpNet;

use super::{Resolved, ResolvedGuest, ResolvedInterface};
use crate::lower::host4;
use crate::objects::Objects;
use crate::spec::{Firewall, Interface, LinkLocal};

impl Resolved<'_> {
    /// The filter of each namespace, the host's first; none without a `firewall`.
    pub(crate) fn firewalls(&self) -> BTreeMap<Netns, FirewallSpec> {
        let Some(firewall) = &self.firewall else { return BTreeMap::new() };
        let members = self.members();
        let mut of: BTreeMap<Netns, FirewallSpec> = BTreeMap::new();
        let mut host = firewall.of_host();
        let bridges = self.bridges.iter().filter(|bridge| !bridge.existing).map(|bridge| &bridge.name);
        host.links = bridges.cloned().chain(links_of(&self.objects, &Netns::Host)).collect();
        for group in &mut host.groups {
            group.addresses.extend(members.get(&group.name).into_iter().flatten());
        }
        for guest in &self.guests {
            let spec = match &guest.ends {
                None => &mut host,
                Some(ends) => {
                    host.inner.insert(ends.host_link.clone());
                    host.beyond.extend(guest.interfaces.iter().flat_map(|interface| interface.public()));
                    let inside = || FirewallSpec {
                        // Nobody works in there.
                        host: Some(HostAccess::default()),
                        guest_services: firewall.guest_services.clone(),
                        links: links_of(&self.objects, &guest.netns)
                            .chain([ends.guest_link.clone()])
                            .collect(),
                        ..firewall.common()
                    };
                    of.entry(guest.netns.clone()).or_insert_with(inside)
                }
            };
            spec.guests.extend(guest.interfaces.iter().filter_map(|interface| guest.bound(interface)));
            spec.tunnels.extend(
                guest.tunnels.iter().map(|tunnel| TunnelEnds { local: tunnel.local, remote: tunnel.remote }),
            );
        }
        for spec in of.values_mut() {
            spec.groups = firewall.groups_for(spec, &members);
        }
        of.insert(Netns::Host, host);
        of
    }

    /// The addresses of the members of each group, wherever they live.
    fn members(&self) -> BTreeMap<&GroupName, Vec<IpNet>> {
        let mut members: BTreeMap<&GroupName, Vec<IpNet>> = BTreeMap::new();
        for guest in &self.guests {
            for interface in &guest.interfaces {
                let own = interface.access.groups.iter().filter(|group| !guest.access.groups.contains(group));
                for group in guest.access.groups.iter().chain(own) {
                    let sources = interface.sources.iter().copied();
                    let known = interface.own().chain(sources).chain(interface.public_ipv4.map(host4));
                    members.entry(group).or_default().extend(known);
                }
            }
        }
        members
    }
}

impl Firewall {
    /// The groups that matter in the namespace of `spec`: those that its guests are in, and with their addresses those that
    /// an entry there names. All groups with all their members would be as many in each namespace as on the whole host.
    fn groups_for(&self, spec: &FirewallSpec, members: &BTreeMap<&GroupName, Vec<IpNet>>) -> Vec<Group> {
        let joined: BTreeSet<&GroupName> =
            spec.guests.iter().flat_map(|guest| &guest.access.groups).collect();
        let of_groups = self.groups.iter().filter(|group| joined.contains(&group.name));
        let entries = of_groups.flat_map(|group| group.ingress.iter().chain(&group.egress));
        let own =
            spec.guests.iter().flat_map(|guest| guest.access.ingress.iter().chain(&guest.access.egress));
        let entries = entries.chain(own).chain(&spec.guest_services);
        let mut named: BTreeSet<&GroupName> = entries.flat_map(|entry| &entry.groups).collect();
        for tier in &self.tiers {
            named.extend(joined.contains(&tier.from).then_some(&tier.to));
            named.extend(joined.contains(&tier.to).then_some(&tier.from));
        }
        let mut groups = Vec::new();
        for group in
            self.groups.iter().filter(|group| joined.contains(&group.name) || named.contains(&group.name))
        {
            let mut group = group.clone();
            match named.contains(&group.name) {
                true => group.addresses.extend(members.get(&group.name).into_iter().flatten()),
                false => group.addresses.clear(),
            }
            groups.push(group);
        }
        groups
    }
}

impl ResolvedGuest<'_> {
    fn bound(&self, interface: &ResolvedInterface<'_>) -> Option<GuestLink> {
        let mut link = GuestLink::new(interface.name.clone(), interface.mac?);
        link.bridge.clone_from(&interface.bridge);
        link.addresses = interface.own().collect();
        link.shared.clone_from(&interface.sources);
        link.any_link_local = interface.link_local == LinkLocal::Any;
        link.known_as = interface.public_ipv4.map(host4).into_iter().collect();
        link.ethertypes.clone_from(&interface.ethertypes);
        link.vlans.clone_from(&interface.vlans);
        link.routers = match interface.port_of {
            Some(bridge) => {
                let local = (!bridge.existing).then(|| IpAddr::from(bridge.own_mac().link_local()));
                bridge.addresses.iter().map(IpNet::addr).chain(local).collect()
            }
            None => interface.routers().collect(),
        };
        link.access = together(&self.access, &interface.access);
        Some(link)
    }
}

impl Interface {
    /// Addresses that are the guest's alone, as it has them.
    fn own(&self) -> impl Iterator<Item = IpNet> + '_ {
        let prefixes = self.public_ipv6.iter().chain(&self.private_ipv6).chain(&self.routed_ipv6);
        let prefixes = prefixes.map(|prefix| IpNet::from(prefix.trunc()));
        self.private_ipv4.map(host4).into_iter().chain(prefixes)
    }

    /// Addresses that are the guest's alone, as the world has them.
    fn public(&self) -> impl Iterator<Item = IpNet> + '_ {
        let prefixes = self.public_ipv6.iter().chain(&self.routed_ipv6);
        self.public_ipv4.map(host4).into_iter().chain(prefixes.map(|prefix| IpNet::from(prefix.trunc())))
    }

    /// The host's addresses on its link.
    fn routers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let ipv4 = self.private_ipv4.map(|_| IpAddr::from(self.router().addr()));
        let ipv6 = self.routers6().map(|router| IpAddr::from(router.addr()));
        ipv4.into_iter().chain(ipv6).chain(self.link_local_router().map(IpAddr::from))
    }
}

/// The links that `objects` has in `netns`.
fn links_of<'a>(objects: &'a Objects, netns: &Netns) -> impl Iterator<Item = LinkName> + 'a {
    objects.of(netns).into_iter().flat_map(|objects| &objects.links).map(|link| link.name.clone())
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
    access.connections = interface.connections.or(guest.connections).filter(|_| !access.stateless);
    access
}
