//! The firewall of a host: what is said once for all guests. What each may do stands with the guests.

use std::collections::BTreeSet;

use guestnet_core::{LinkName, Path, Problems};
use guestnet_firewall::{
    Entry, FirewallSpec, Group, Guard, HostAccess, LogDrops, Tier, check_ethertypes, check_trusted,
};
use guestnet_nat::Mode;
use serde::{Deserialize, Serialize};

use super::{Guest, Interface};
use crate::resolve::{Resolved, ResolvedGuest};

/// A filter in every namespace with guests, by the contract in `docs/security.md`: what neither it nor an access list
/// lets pass is dropped. `{}` is a firewall under which guests only get addresses and answer pings.
///
/// Every interface of a guest then needs its `mac`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Firewall {
    /// Groups of guests, with lists that are their members' too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// What groups may send to each other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Links of the host, none of them a guest's, between which it forwards: packets between links, frames between ports
    /// of bridges. Those of other programs' containers, too, if there are any. A name that ends in `*` is every one that
    /// starts so: `br-*`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    pub trusted: BTreeSet<LinkName>,
    /// What guests may use on the host itself; DHCP, neighbour discovery and echoes need no entry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guest_services: Vec<Entry>,
    /// Protects the host itself: what others than guests may use on it, and nothing else. Left out, only guests are kept
    /// from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostAccess>,
    /// Addresses that other hosts have too: nothing that tells of them leaves by these links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Writes drops to the log; left out, they are only counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogDrops>,
}

impl Firewall {
    /// What all namespaces have in common: groups, tiers and the log.
    pub(crate) fn common(&self) -> FirewallSpec {
        FirewallSpec {
            groups: self.groups.clone(),
            tiers: self.tiers.clone(),
            log: self.log.clone(),
            ..FirewallSpec::default()
        }
    }

    /// As the host's own namespace has it, but for guests.
    pub(crate) fn of_host(&self) -> FirewallSpec {
        FirewallSpec {
            trusted: self.trusted.clone(),
            guest_services: self.guest_services.clone(),
            host: self.host.clone(),
            guard: self.guard.clone(),
            ..self.common()
        }
    }
}

impl Resolved<'_> {
    pub(super) fn check_firewall(&self, root: &Path, problems: &mut Problems) {
        let Some(firewall) = &self.firewall else {
            let says = |guest: &&ResolvedGuest<'_>| guest.has_access();
            if let Some(guest) = self.guests.iter().find(says) {
                let words = format!("is missing: {} says what may pass", guest.name);
                problems.at(&root.field("firewall"), words);
            }
            return;
        };
        let path = root.field("firewall");
        let common = firewall.of_host();
        let groups = common.check_groups(&path, problems);
        common.check_services(&groups, &path, problems);
        let ours = self.own_links();
        let guarded = firewall.guard.iter().flat_map(|guard| &guard.links);
        for (n, link) in guarded.enumerate().filter(|(_, link)| ours.contains(link)) {
            let words = format!("{link} is made by this spec, and the guard hooks in before links are made");
            problems.at(&path.field("guard").field("links").index(n), words);
        }
        check_trusted(&firewall.trusted, &ours, &path.field("trusted"), problems);
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n);
            guest.access.check(&groups, &path.field("access"), problems);
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let path = path.field("interfaces").index(m);
                interface.access.check(&groups, &path.field("access"), problems);
                guest.check_bound(interface, &path, problems);
            }
        }
    }

    /// The links in the host's namespace that guests have.
    fn own_links(&self) -> BTreeSet<LinkName> {
        let mut links = BTreeSet::new();
        for guest in &self.guests {
            match &guest.ends {
                None => links.extend(guest.interfaces.iter().map(|interface| interface.name.clone())),
                Some(ends) => drop(links.insert(ends.host_link.clone())),
            }
        }
        let bridges = self.bridges.iter().filter(|bridge| !bridge.existing);
        links.extend(bridges.map(|bridge| bridge.name.clone()));
        links
    }
}

impl ResolvedGuest<'_> {
    fn check_bound(&self, interface: &Interface, path: &Path, problems: &mut Problems) {
        if interface.mac.is_none() {
            problems.at(&path.field("mac"), "is missing: the firewall binds the guest to it");
        }
        check_ethertypes(
            &interface.ethertypes,
            interface.bridge.is_some(),
            &path.field("ethertypes"),
            problems,
        );
        for (n, net) in interface.sources.iter().enumerate() {
            let path = path.field("sources").index(n);
            if net.trunc() != *net {
                problems.at(&path, format!("{net} has bits behind its prefix: {} is meant?", net.trunc()));
            } else if net.prefix_len() == 0 || net.network().is_multicast() {
                problems.at(&path, format!("{net} cannot be a guest's"));
            }
        }
        let stateless = self.access.stateless || interface.access.stateless;
        if interface.public_ipv4.is_some() && self.applied_nat.mode == Mode::Notrack && !stateless {
            let words = "translation in mode notrack hides connections: say \"stateless\": true, \
                         with entries for answers, or translate in mode tracked";
            problems.at(&path.field("access"), words);
        }
    }
}

impl Guest {
    /// Whether it says what may pass.
    fn has_access(&self) -> bool {
        let says = |interface: &Interface| {
            interface.access != Default::default()
                || !interface.sources.is_empty()
                || !interface.ethertypes.is_empty()
        };
        self.access != Default::default() || self.interfaces.iter().any(says)
    }
}
