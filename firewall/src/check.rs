//! What is wrong with a spec, all of it at once.

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::{Path, Problems};
use ipnet::IpNet;

use crate::spec::{check_trusted, is_a_guests};
use crate::words::TAGS;
use crate::{Access, Entry, FirewallSpec, GroupName, GuestLink, Transport};

/// The groups that there are.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    names: BTreeSet<&'a GroupName>,
    /// The path of their list.
    at: Path,
}

impl FirewallSpec {
    /// Notes everything that is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let groups = self.check_groups(path, problems);
        let mut names = BTreeMap::new();
        for (n, guest) in self.guests.iter().enumerate() {
            let path = path.field("guests").index(n);
            if let Some(first) = names.insert(&guest.name, n) {
                problems.at(&path.field("name"), format!("{} is guests[{first}] already", guest.name));
            }
            guest.check(&path, problems);
            guest.access.check(&groups, &path.field("access"), problems);
            if self.inner.contains(&guest.name) {
                problems.at(&path.field("name"), format!("{} is a guest's: it is not trusted", guest.name));
            }
        }
        let guests = self.guests.iter().map(|guest| &guest.name);
        check_trusted(&self.trusted, guests, &path.field("trusted"), problems);
        self.check_services(&groups, path, problems);
    }

    /// The parts of it that are no guests'.
    pub fn check_services(&self, groups: &Known<'_>, path: &Path, problems: &mut Problems) {
        check_entries(&self.guest_services, groups, &path.field("guest_services"), problems);
        if let Some(host) = &self.host {
            check_entries(&host.services, groups, &path.field("host").field("services"), problems);
        }
        for (n, tunnel) in self.tunnels.iter().enumerate() {
            if tunnel.local.is_ipv4() != tunnel.remote.is_ipv4() {
                let words = format!("{} and {} are not of one family", tunnel.local, tunnel.remote);
                problems.at(&path.field("tunnels").index(n), words);
            }
        }
        if self.log.as_ref().is_some_and(|log| log.rate == 0) {
            problems.at(&path.field("log").field("rate"), "0 a second is no log: 1 is the least");
        }
        let Some(guard) = &self.guard else { return };
        let path = path.field("guard");
        if guard.links.is_empty() {
            problems.at(&path.field("links"), "is missing: the links by which nothing shall leave");
        }
        if guard.addresses.is_empty() {
            problems.at(&path.field("addresses"), "is missing: the addresses that several hosts have");
        }
    }

    /// Notes what is wrong with the groups and tiers. Returns the groups that there are.
    pub fn check_groups(&self, path: &Path, problems: &mut Problems) -> Known<'_> {
        let mut groups = Known { names: BTreeSet::new(), at: path.field("groups") };
        for (n, group) in self.groups.iter().enumerate() {
            if !groups.names.insert(&group.name) {
                let path = path.field("groups").index(n).field("name");
                problems.at(&path, format!("there is a group {} already", group.name));
            }
        }
        for (n, group) in self.groups.iter().enumerate() {
            let path = path.field("groups").index(n);
            check_nets(&group.addresses, &path.field("addresses"), problems);
            check_entries(&group.ingress, &groups, &path.field("ingress"), problems);
            check_entries(&group.egress, &groups, &path.field("egress"), problems);
        }
        for (n, tier) in self.tiers.iter().enumerate() {
            let path = path.field("tiers").index(n);
            for (field, group) in [("from", &tier.from), ("to", &tier.to)] {
                check_known(group, &groups, &path.field(field), problems);
            }
            let receiver = Known { names: BTreeSet::from([&tier.to]), at: groups.at.clone() };
            tier.entry(&tier.to).check(&receiver, &path, problems);
        }
        groups
    }
}

impl GuestLink {
    fn check(&self, path: &Path, problems: &mut Problems) {
        for (n, net) in self.addresses.iter().enumerate() {
            let path = path.field("addresses").index(n);
            if net.trunc() != *net {
                problems.at(&path, format!("{net} has bits behind its prefix: {} is meant?", net.trunc()));
            } else if !is_a_guests(net) {
                problems.at(&path, format!("{net} cannot be a guest's"));
            }
        }
        check_ethertypes(&self.ethertypes, self.bridge.is_some(), &path.field("ethertypes"), problems);
        check_vlans(&self.vlans, self.bridge.is_some(), &path.field("vlans"), problems);
    }
}

/// Notes what is wrong with the EtherTypes of an interface.
pub fn check_ethertypes(kinds: &[u16], bridged: bool, path: &Path, problems: &mut Problems) {
    if !bridged && !kinds.is_empty() {
        problems.at(path, "only frames on a bridge are forwarded by their EtherType: this link is routed");
    }
    for (n, kind) in kinds.iter().enumerate() {
        if *kind == 0x8100 {
            problems.at(&path.index(n), "is that of VLAN tags: name the VLANs in `vlans`");
        } else if TAGS.contains(kind) {
            problems.at(
                &path.index(n),
                format!("{kind:#06x} is that of tags that carry others, which nobody looks into"),
            );
        } else if *kind < 0x600 || [0x0800, 0x0806, 0x86dd].contains(kind) {
            let words =
                format!("{kind:#06x} cannot be allowed: 0x0600 to 0xffff, but for ARP, IPv4 and IPv6");
            problems.at(&path.index(n), words);
        }
    }
}

/// Notes what is wrong with the VLANs of an interface.
pub fn check_vlans(vlans: &[u16], bridged: bool, path: &Path, problems: &mut Problems) {
    if !bridged && !vlans.is_empty() {
        problems.at(path, "only frames on a bridge are forwarded by their VLAN: this link is routed");
    }
    for (n, vlan) in vlans.iter().enumerate().filter(|(_, vlan)| !(1..=4094).contains(*vlan)) {
        problems.at(&path.index(n), format!("{vlan} is no VLAN: 1 to 4094"));
    }
}

impl Access {
    /// Notes what is wrong with it, where `groups` is what groups there are.
    pub fn check(&self, groups: &Known<'_>, path: &Path, problems: &mut Problems) {
        let mut seen = BTreeSet::new();
        for (n, group) in self.groups.iter().enumerate() {
            let path = path.field("groups").index(n);
            check_known(group, groups, &path, problems);
            if !seen.insert(group) {
                problems.at(&path, format!("{group} is named twice"));
            }
        }
        check_entries(&self.ingress, groups, &path.field("ingress"), problems);
        check_entries(&self.egress, groups, &path.field("egress"), problems);
        if self.stateless && self.connections.is_some() {
            problems.at(&path.field("connections"), "a stateless guest has no connections to count");
        }
    }
}

impl Entry {
    fn check(&self, groups: &Known<'_>, path: &Path, problems: &mut Problems) {
        if !self.ports.is_empty() && !self.protocol.is_some_and(Transport::has_ports) {
            let words =
                self.protocol.map_or("is missing: ports need one".into(), |p| format!("{p} has no ports"));
            problems.at(&path.field("protocol"), words);
        }
        let icmp = [Some(Transport::ICMP), Some(Transport::ICMPV6)].contains(&self.protocol);
        if !self.types.is_empty() && !icmp {
            let words = self.protocol.map_or("is missing: types are those of icmp or icmpv6".into(), |p| {
                format!("{p} has no types: icmp and icmpv6 have")
            });
            problems.at(&path.field("protocol"), words);
        }
        check_nets(&self.prefixes, &path.field("prefixes"), problems);
        let other = match self.protocol {
            Some(Transport::ICMP) => Some(true),
            Some(Transport::ICMPV6) => Some(false),
            _ => None,
        };
        let never = |net: &IpNet| Some(net.addr().is_ipv6()) == other;
        for (n, net) in self.prefixes.iter().enumerate().filter(|(_, net)| never(net)) {
            let protocol = self.protocol.map_or_else(String::new, |protocol| protocol.to_string());
            let words = format!("{net} never has {protocol}, which is of the other family");
            problems.at(&path.field("prefixes").index(n), words);
        }
        for (n, group) in self.groups.iter().enumerate() {
            check_known(group, groups, &path.field("groups").index(n), problems);
        }
        if self.limit.is_some() {
            self.check_limit(path, problems);
        }
    }

    /// Notes where a limit would not be one: ranges and prefixes are cut into several elements, each with a count of its own.
    fn check_limit(&self, path: &Path, problems: &mut Problems) {
        if self.deny {
            problems.at(&path.field("limit"), "what is denied has no rate");
        }
        for (n, range) in self.ports.iter().enumerate().filter(|(_, range)| range.first() != range.last()) {
            let words =
                format!("{range} are several ports: a limit counts for each, so name them one by one");
            problems.at(&path.field("ports").index(n), words);
        }
        for (field, given) in [("prefixes", !self.prefixes.is_empty()), ("groups", !self.groups.is_empty())] {
            if given {
                problems.at(&path.field(field), "an entry with a limit is for everybody");
            }
        }
    }
}

fn check_entries(entries: &[Entry], groups: &Known<'_>, path: &Path, problems: &mut Problems) {
    for (n, entry) in entries.iter().enumerate() {
        entry.check(groups, &path.index(n), problems);
    }
}

fn check_nets(nets: &[IpNet], path: &Path, problems: &mut Problems) {
    for (n, net) in nets.iter().enumerate().filter(|(_, net)| net.trunc() != **net) {
        problems.at(&path.index(n), format!("{net} has bits behind its prefix: {} is meant?", net.trunc()));
    }
}

fn check_known(group: &GroupName, groups: &Known<'_>, path: &Path, problems: &mut Problems) {
    if !groups.names.contains(group) {
        let known = groups.names.iter().map(|g| g.as_str()).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are {known}") };
        problems.at_because(path, &groups.at, format!("there is no group {group}: {known}"));
    }
}
