//! The firewall of a host: what is said once for all guests. What each may do stands with the guests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_core::{LinkName, Mac, Path, Problems};
use guestnet_firewall::{
    Entry, FirewallSpec, Group, GroupName, Guard, HostAccess, LogDrops, Tier, check_ethertypes,
    check_trusted, check_vlans,
};
use guestnet_nat::Mode;
use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{Guest, Interface, LinkLocal};
use crate::resolve::{Resolved, ResolvedGuest, ResolvedInterface};

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
        let guests = self.links_of_guests();
        let bridges = self.bridges.iter().filter(|bridge| !bridge.existing);
        let ours: BTreeSet<LinkName> =
            guests.iter().cloned().chain(bridges.map(|bridge| bridge.name.clone())).collect();
        let guarded = firewall.guard.iter().flat_map(|guard| &guard.links);
        for (n, link) in guarded.enumerate().filter(|(_, link)| ours.contains(link)) {
            let words = format!("{link} is made by this spec, and the guard is for links that others make");
            problems.at(&path.field("guard").field("links").index(n), words);
        }
        check_trusted(&firewall.trusted, &guests, &path.field("trusted"), problems);
        self.check_alike(root, problems);
        self.check_stations(root, problems);
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

    /// Guests in namespaces of their own may have one private address, by which lists cannot tell them apart where it is not
    /// translated.
    fn check_alike(&self, root: &Path, problems: &mut Problems) {
        let mut known: HashMap<Ipv4Addr, (&ResolvedGuest<'_>, &Interface, Path)> = HashMap::new();
        for (n, guest) in self.guests.iter().enumerate().filter(|(_, guest)| !guest.is_on_host()) {
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let Some(private) = interface.private_ipv4 else { continue };
                let path = root.field("guests").index(n).field("interfaces").index(m).field("private_ipv4");
                let Some((other, port, there)) = known.get(&private) else {
                    known.insert(private, (guest, interface, path));
                    continue;
                };
                let shown = [other, &guest].iter().any(|guest| !guest.applied_nat.untranslated.is_empty());
                if shown && groups(guest, interface) != groups(other, port) {
                    let words = format!(
                        "{private} is that of {there} too, which is in other groups, and \"untranslated\" shows it to \
                         others: their lists could not tell the two apart"
                    );
                    problems.at_because(&path, there, words);
                }
            }
        }
    }

    /// On bridges a MAC address is one guest's, whichever of them it is behind: rules are not told through which a frame comes.
    fn check_stations(&self, root: &Path, problems: &mut Problems) {
        let mut known: BTreeMap<Mac, (&LinkName, Path)> = BTreeMap::new();
        for (n, guest) in self.guests.iter().enumerate() {
            for (m, interface) in guest.interfaces.iter().enumerate() {
                let (Some(bridge), Some(mac)) = (&interface.bridge, interface.mac) else { continue };
                let path = root.field("guests").index(n).field("interfaces").index(m).field("mac");
                match known.get(&mac) {
                    // On one bridge it is told without a firewall, too.
                    Some((other, there)) if *other != bridge => {
                        let words = format!(
                            "{mac} is that of {there} too: on bridges with a firewall each has its own"
                        );
                        problems.at_because(&path, there, words);
                    }
                    Some(_) => {}
                    None => drop(known.insert(mac, (bridge, path))),
                }
            }
        }
    }

    /// The links in the host's namespace that guests have.
    fn links_of_guests(&self) -> BTreeSet<LinkName> {
        let mut links = BTreeSet::new();
        for guest in &self.guests {
            match &guest.ends {
                None => links.extend(guest.interfaces.iter().map(|interface| interface.name.clone())),
                Some(ends) => drop(links.insert(ends.host_link.clone())),
            }
        }
        links
    }
}

impl ResolvedGuest<'_> {
    fn check_bound(&self, interface: &ResolvedInterface<'_>, path: &Path, problems: &mut Problems) {
        if interface.mac.is_none() {
            problems.at(&path.field("mac"), "is missing: the firewall binds the guest to it");
        }
        check_ethertypes(
            &interface.ethertypes,
            interface.bridge.is_some(),
            &path.field("ethertypes"),
            problems,
        );
        check_vlans(&interface.vlans, interface.bridge.is_some(), &path.field("vlans"), problems);
        let at_others = interface.port_of.is_some_and(|bridge| bridge.existing);
        if at_others && interface.link_local == LinkLocal::Any {
            let words = "on a bridge that others make it could be that of a router, which is not known here: say the one \
                         address in \"sources\"";
            problems.at(&path.field("link_local"), words);
        }
        for (n, net) in interface.sources.iter().enumerate() {
            let path = path.field("sources").index(n);
            if net.trunc() != *net {
                problems.at(&path, format!("{net} has bits behind its prefix: {} is meant?", net.trunc()));
            } else if is_link_local(net) && net.prefix_len() < 128 {
                let words =
                    format!("{net} is that of all neighbours: say the one address of it that the guest has");
                problems.at(&path, words);
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

/// The groups that an interface is in.
fn groups<'a>(guest: &'a Guest, interface: &'a Interface) -> BTreeSet<&'a GroupName> {
    guest.access.groups.iter().chain(&interface.access.groups).collect()
}

/// Whether link-local addresses of IPv6 are in it.
fn is_link_local(net: &IpNet) -> bool {
    let all = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
    matches!(net, IpNet::V6(net) if all.contains(net) || net.contains(&all))
}

impl Guest {
    /// Whether it says what may pass.
    fn has_access(&self) -> bool {
        let says = |interface: &Interface| {
            interface.access != Default::default()
                || !interface.sources.is_empty()
                || !interface.ethertypes.is_empty()
                || !interface.vlans.is_empty()
        };
        self.access != Default::default() || self.interfaces.iter().any(says)
    }
}
