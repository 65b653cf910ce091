//! What of the whole a part has to know to be changed alone: how many need what guests share. It does not grow with the guests.

use std::collections::BTreeMap;

use guestnet_core::{Kind, LinkKind, LinkName, Object, Sysctl};
use guestnet_firewall::GroupName;
use guestnet_nft::Table;
use serde::{Deserialize, Serialize};

use super::kept::{Digest, digest};
use crate::lower::Lowered;
use crate::objects::NamespaceObjects;
use crate::spec::{Guest, HostSpec};

/// Counts in the host's own namespace. What nobody needs is not in them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tally {
    /// How many elements the sets of each table have: their chains and sets follow from which are empty.
    pub(super) sizes: BTreeMap<String, BTreeMap<String, usize>>,
    /// What the chains and sets of each table are.
    pub(super) structures: BTreeMap<String, Digest>,
    /// How many ask for each sysctl that is not of a guest's own link.
    pub(super) sysctls: BTreeMap<String, usize>,
    /// How many interfaces are ports of each bridge.
    pub(super) ports: BTreeMap<LinkName, usize>,
    /// How many translated private addresses start with each byte.
    pub(super) near: BTreeMap<u8, usize>,
    /// How many guests have entries of their own about each group.
    pub(super) named: BTreeMap<GroupName, usize>,
}

impl Tally {
    /// That of `spec`, which comes to `lowered`.
    pub(super) fn of(spec: &HostSpec, lowered: &Lowered) -> Self {
        let mut tally = Self::default();
        let links = &lowered.objects.host.links;
        for table in &lowered.objects.host.tables {
            if table.device().is_some_and(|device| links.contains(device)) {
                continue;
            }
            let name = table.key().to_string();
            let sizes = table.sets.iter().map(|set| (set.name.to_string(), set.elements.len()));
            tally.sizes.insert(name.clone(), sizes.filter(|(_, size)| *size > 0).collect());
            tally.structures.insert(name, structure(table));
        }
        tally.sysctls = asked(lowered);
        tally.count(&spec.guests);
        tally
    }

    /// Adds what `guests` need, as far as they say it themselves.
    fn count<'a>(&mut self, guests: impl IntoIterator<Item = &'a Guest>) {
        for guest in guests {
            for bridge in guest.interfaces.iter().filter_map(|interface| interface.bridge.as_ref()) {
                *self.ports.entry(bridge.clone()).or_default() += 1;
            }
            let pairs = guest.interfaces.iter().filter(|own| guest.is_on_host() && own.public_ipv4.is_some());
            for address in pairs.filter_map(|interface| interface.private_ipv4) {
                *self.near.entry(address.octets()[0]).or_default() += 1;
            }
            let lists = guest.interfaces.iter().map(|interface| &interface.access).chain([&guest.access]);
            let entries = lists.flat_map(|access| access.ingress.iter().chain(&access.egress));
            let mut groups: Vec<&GroupName> = entries.flat_map(|entry| &entry.groups).collect();
            groups.sort_unstable();
            groups.dedup();
            groups.into_iter().for_each(|group| *self.named.entry(group.clone()).or_default() += 1);
        }
    }

    /// The tally after the guests `old` have become `new`, but for the sizes of sets.
    pub(super) fn after(
        &self,
        (old, before): (&[Guest], &Lowered),
        (new, after): (&[Guest], &Lowered),
    ) -> Self {
        let (mut gone, mut come) = (Self::default(), Self::default());
        gone.count(old);
        come.count(new);
        (gone.sysctls, come.sysctls) = (asked(before), asked(after));
        let mut tally = self.clone();
        change(&mut tally.sysctls, &gone.sysctls, &come.sysctls);
        change(&mut tally.ports, &gone.ports, &come.ports);
        change(&mut tally.near, &gone.near, &come.near);
        change(&mut tally.named, &gone.named, &come.named);
        tally
    }

    /// How many elements a set has.
    pub(super) fn size(&self, table: &str, set: &str) -> usize {
        self.sizes.get(table).and_then(|sizes| sizes.get(set)).copied().unwrap_or_default()
    }

    pub(super) fn resize(&mut self, table: &str, set: &str, size: usize) {
        let Some(sizes) = self.sizes.get_mut(table) else { return };
        if size > 0 {
            sizes.insert(set.to_owned(), size);
        } else {
            sizes.remove(set);
        }
    }
}

/// Takes away from `counts` those that are gone, and adds those that have come.
fn change<K: Ord + Clone>(
    counts: &mut BTreeMap<K, usize>,
    gone: &BTreeMap<K, usize>,
    come: &BTreeMap<K, usize>,
) {
    for (key, count) in come {
        *counts.entry(key.clone()).or_default() += count;
    }
    for (key, gone) in gone {
        if let Some(count) = counts.get_mut(key) {
            *count = count.saturating_sub(*gone);
        }
    }
    counts.retain(|_, count| *count > 0);
}

/// How often each sysctl is asked for that others may ask for too.
fn asked(lowered: &Lowered) -> BTreeMap<String, usize> {
    let host = &lowered.objects.host;
    let shared = host.sysctls.iter().filter(|sysctl| is_shared(sysctl, host));
    shared.map(|sysctl| (sysctl.key().to_string(), lowered.asked(sysctl))).collect()
}

/// Whether it is not of a link of one guest alone.
pub(super) fn is_shared(sysctl: &Sysctl, of: &NamespaceObjects) -> bool {
    let bridge =
        |name: &LinkName| of.links.get(name).is_none_or(|link| matches!(link.kind, LinkKind::Bridge(_)));
    sysctl.lives_on().is_none_or(bridge)
}

/// By what the chains and sets of a table are known.
pub(super) fn structure(table: &Table) -> Digest {
    let chains: Vec<_> = table.chains.iter().collect();
    let sets =
        table.sets.iter().map(|set| format!("{} {:?} {:?} {}", set.name, set.key, set.data, set.interval));
    let text = serde_json::to_vec(&(chains, sets.collect::<Vec<_>>(), &table.unknown));
    // What cannot be written is like nothing else.
    text.map_or(0, |text| digest(&text))
}
