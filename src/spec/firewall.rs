//! The firewall of a host: what is said once for all guests. What each may do stands with the guests.

use std::collections::BTreeSet;

use guestnet_core::{LinkName, Netns, Path, Problems};
use guestnet_firewall::{
    Entry, FirewallSpec, Group, Guard, HostAccess, LogDrops, Tier, Transport, check_ethertypes,
};
use guestnet_nat::Mode;
use serde::{Deserialize, Serialize};

use super::{Guest, HostSpec, Interface};
use crate::lower::Ends;
use crate::objects::Objects;

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
    /// of bridges. Those of other programs' containers, too, if there are any.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
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

impl HostSpec {
    pub(super) fn check_firewall(&self, root: &Path, problems: &mut Problems) {
        let Some(firewall) = &self.firewall else {
            let says = |guest: &&Guest| guest.has_access();
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
        for (n, link) in firewall.trusted.iter().enumerate().filter(|(_, link)| ours.contains(link)) {
            let words = format!("{link} is a guest's: it is not trusted");
            problems.at(&path.field("trusted").index(n), words);
        }
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n);
            guest.access.check(&groups, &path.field("access"), problems);
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let path = path.field("interfaces").index(m);
                interface.access.check(&groups, &path.field("access"), problems);
                self.check_bound(guest, interface, &path, problems);
            }
        }
    }

    fn check_bound(&self, guest: &Guest, interface: &Interface, path: &Path, problems: &mut Problems) {
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
        let nat = guest.nat.as_ref().filter(|_| !guest.is_on_host()).unwrap_or(&self.nat);
        let stateless = guest.access.stateless || interface.access.stateless;
        if interface.public_ipv4.is_some() && nat.mode == Mode::Notrack && !stateless {
            let words = "translation in mode notrack hides connections: say \"stateless\": true, \
                         with entries for answers, or translate in mode tracked";
            problems.at(&path.field("access"), words);
        }
    }

    /// The links in the host's namespace that guests have.
    fn own_links(&self) -> BTreeSet<LinkName> {
        let mut links = BTreeSet::new();
        for guest in &self.guests {
            if guest.is_on_host() {
                links.extend(guest.interfaces.iter().map(|interface| interface.name.clone()));
            } else if let Ok(ends) = Ends::of(guest) {
                links.insert(ends.host_link);
            }
        }
        let bridges = self.bridges.iter().filter(|bridge| !bridge.existing);
        links.extend(bridges.map(|bridge| bridge.name.clone()));
        links
    }

    /// What may be meant, and is worth a second look before it is applied.
    pub fn warnings(&self) -> Vec<String> {
        self.lower().map_or_else(|_| Vec::new(), |lowered| self.warnings_with(&lowered.objects))
    }

    /// The warnings, where `objects` is what the spec comes to.
    pub(crate) fn warnings_with(&self, objects: &Objects) -> Vec<String> {
        let mut warnings = Vec::new();
        let ssh = |entry: &Entry| {
            let protocol = entry.protocol.is_none_or(|protocol| protocol == Transport::TCP);
            protocol && (entry.ports.is_empty() || entry.ports.iter().any(|range| range.contains(22)))
        };
        let host = self.firewall.as_ref().and_then(|firewall| firewall.host.as_ref());
        if host.is_some_and(|host| !host.services.iter().any(ssh)) {
            warnings.push(
                "firewall.host.services: none lets anybody in by ssh (tcp 22): whoever administers this host \
                 that way will not come in again (docs/security.md 7.4)"
                    .to_owned(),
            );
        }
        warnings.extend(guestnet_ndp::warning(&objects.host.neighbours));
        warnings
    }

    /// The namespaces in which guests have interfaces, beside the host's.
    pub(crate) fn own_namespaces(&self) -> BTreeSet<Netns> {
        self.guests.iter().map(Guest::netns).filter(|netns| *netns != Netns::Host).collect()
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
