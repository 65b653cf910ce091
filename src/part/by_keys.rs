//! A part that is changed alone: what it brings and takes is known by keys, so nothing else is read or touched, and what that
//! costs does not grow with the others.
//!
//! Two small hosts are lowered, with the guests as they were and as they shall be, and nobody else. What the one has and the
//! other has not is the change. Where what guests share would change with it (the chains of a table, a list that others
//! are in), there is no such change, and the whole is looked at.

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::{LinkKind, LinkName, Netns, Object, Set};
use guestnet_firewall::{Entry, GroupName};
use guestnet_nat::NatSpec;
use guestnet_nft::{self as nft, Element, Elements, Table, Value};

use super::kept::Kept;
use super::keyless::Keyless;
use super::tally::{self, Tally};
use crate::host::Host;
use crate::lower::Lowered;
use crate::objects::{NamespaceObjects, Objects};
use crate::report::Error;
use crate::snapshot::{Request, Scope, Snapshot};
use crate::spec::{Guest, HostSpec};

/// A change of some guests alone.
pub(super) struct ByKeys {
    /// What shall be, of what is read.
    pub(super) wanted: Lowered,
    /// What is read.
    pub(super) named: Objects,
    pub(super) found: Snapshot,
    pub(super) tally: Tally,
}

impl Host {
    /// The change of the guests `old` to `new` on the host that `kept` is about; `None` where it takes the whole.
    pub(super) fn by_keys(
        &mut self,
        kept: &Kept,
        old: Vec<Guest>,
        new: &[Guest],
    ) -> Result<Option<ByKeys>, Error> {
        let host = kept.wide.together();
        if !kept.is_settled() || !are_alone(&host, kept.tally(), &old, new) {
            return Ok(None);
        }
        let spec = HostSpec { guests: new.to_vec(), ..host.clone() };
        let mut wanted = spec.lower()?;
        let is_same = same(&old, new);
        let before = if is_same {
            wanted.clone()
        } else {
            HostSpec { guests: Keyless::guests(old.clone()).collect(), ..host }.lower()?
        };
        let nat = NatSpec { untranslated: spec.nat.untranslated.clone(), ..NatSpec::default() };
        let mut tally = kept.tally().after((&old, &before), (new, &wanted));
        let (before, after) = (&before.objects, &wanted.objects);
        let named = either(before, after);
        let found = self.read(Request { named: &named, desired: after, scope: Scope::Keys })?;
        if after.is_taken(before, &found) {
            return Ok(None);
        }
        let mut wants = after.clone();
        // A bridge without ports is nobody's any more.
        let ports = old.iter().flat_map(|guest| &guest.interfaces).filter_map(|port| port.bridge.clone());
        let empty = ports.filter(|bridge| !tally.ports.contains_key(bridge));
        let links = own_links(before).chain(own_links(after)).chain(empty).collect();
        let Some(tables) = tables(&named.host, before, after, &found, &mut tally, &links, &nat) else {
            return Ok(None);
        };
        wants.host.tables = tables;
        // What others ask for as well stays.
        let shared = before.host.sysctls.iter().filter(|sysctl| tally::is_shared(sysctl, &before.host));
        for sysctl in shared.filter(|sysctl| tally.sysctls.contains_key(&sysctl.key().to_string())) {
            // Of two values the one that is asked for now.
            if !wants.host.sysctls.contains(&sysctl.key()) {
                wants.host.sysctls.insert(sysctl.clone());
            }
        }
        if found.needs_the_whole(&wants) {
            return Ok(None);
        }
        wanted.objects = wants;
        Ok(Some(ByKeys { wanted, named, found, tally }))
    }
}

/// Whether nobody else has anything that depends on what these guests are.
fn are_alone(host: &HostSpec, tally: &Tally, old: &[Guest], new: &[Guest]) -> bool {
    let mut guests = old.iter().chain(new);
    // On the host tunnels share policies' thresholds, and each link is noted in their table.
    let tunnels = |guest: &Guest| !guest.tunnels.is_empty();
    if tally.sizes.contains_key("inet guestnet_tunnels")
        || guests.clone().any(|guest| guest.is_on_host() && tunnels(guest))
        || (old.iter().any(tunnels) && !new.is_empty() && !same(old, new))
    {
        return false;
    }
    guests.all(|guest| {
        // Others may have the same.
        if guest.interfaces.iter().any(|interface| !interface.sources.is_empty()) {
            return false;
        }
        let lists: Vec<_> =
            guest.interfaces.iter().map(|interface| &interface.access).chain([&guest.access]).collect();
        let own = lists.iter().flat_map(|access| access.ingress.iter().chain(&access.egress));
        let mut groups = lists.iter().flat_map(|access| &access.groups);
        own.clone().all(|entry| entry.groups.is_empty())
            && groups.all(|group| !tally.named.contains_key(group) && !is_spoken_of(host, group))
    })
}

/// Whether a list of the host's is about the group, or that of the group about another.
fn is_spoken_of(host: &HostSpec, group: &GroupName) -> bool {
    let Some(firewall) = &host.firewall else { return false };
    let about = |entry: &Entry| entry.groups.contains(group);
    let mut lists = firewall.groups.iter().flat_map(|list| {
        let entries = list.ingress.iter().chain(&list.egress);
        entries.map(move |entry| (list, entry))
    });
    lists.any(|(list, entry)| about(entry) || (list.name == *group && !entry.groups.is_empty()))
        || firewall.tiers.iter().any(|tier| tier.from == *group || tier.to == *group)
        || firewall.guest_services.iter().any(about)
        || firewall.host.iter().flat_map(|host| &host.services).any(about)
}

/// Whether they are the same guests, but for secrets, of which those that were kept have none.
fn same(old: &[Guest], new: &[Guest]) -> bool {
    let text = |guests: &[Guest]| {
        let mut texts: Vec<String> =
            guests.iter().filter_map(|guest| serde_json::to_string(guest).ok()).collect();
        texts.sort_unstable();
        texts
    };
    old.len() == new.len() && text(old) == text(new)
}

/// The links on the host that are the guests' own.
fn own_links(objects: &Objects) -> impl Iterator<Item = LinkName> {
    let links = objects.host.links.iter().filter(|link| !matches!(link.kind, LinkKind::Bridge(_)));
    links.map(|link| link.name.clone())
}

/// The objects of both, in every namespace: of a table that both have, the elements of both, since those that are gone are
/// found by their keys too.
fn either(before: &Objects, after: &Objects) -> Objects {
    let mut named = before.clone();
    named.merge(after);
    for (netns, before) in before.iter() {
        for (_, table) in named.in_namespace(&netns).tables.with_positions_mut() {
            if let Some(old) = before.tables.get(&table.key()) {
                extend(table, old);
            }
        }
    }
    named
}

/// Adds to `table` the sets and elements of `other`.
fn extend(table: &mut Table, other: &Table) {
    for set in &other.sets {
        match table.sets.get_mut(&set.name) {
            Some(known) => known.elements.extend(set.elements.iter().cloned()),
            None => drop(table.sets.insert(set.clone())),
        }
    }
}

/// The tables of the host's namespace as they shall be, as far as they were read; `None` where their chains change, or
/// where it is not known whether an element is somebody else's too. `tally` becomes that of the whole.
fn tables(
    named: &NamespaceObjects,
    before: &Objects,
    after: &Objects,
    found: &Snapshot,
    tally: &mut Tally,
    links: &BTreeSet<LinkName>,
    nat: &NatSpec,
) -> Option<Set<Table>> {
    let found = &found.in_namespace(&Netns::Host).tables.ours;
    let near = tally.near.clone();
    let mut tables = Set::new();
    for table in &named.tables {
        let key = table.key();
        // What hangs on a guest's link is that guest's.
        if table.device().is_some_and(|device| links.contains(device)) {
            tables.extend(after.host.tables.get(&key).cloned());
            continue;
        }
        let here = found.get(&key)?;
        let name = key.to_string();
        let none = Table::new(key.0, key.1.clone());
        let old = before.host.tables.get(&key).unwrap_or(&none);
        let new = after.host.tables.get(&key).unwrap_or(&none);
        // What somebody else has made of it is repaired with the whole.
        if tally.structures.get(&name) != Some(&tally::structure(here)) || !covers(here, new) {
            return None;
        }
        let is_own = |set: &nft::Set, element: &Element| {
            let is_exclusive = guestnet_firewall::is_exclusive(set.name.as_str());
            set.is_map() || is_exclusive || is_of(element, links) || is_far(set, element, nat, &near)
        };
        let asks = |tally: &Tally| tally.size(&name, "guests") > tally.size(&name, "stateless");
        let asked = asks(tally);
        let mut table = here.clone();
        for (_, now) in table.sets.with_positions_mut() {
            let none = nft::Set { elements: Elements::new(), ..now.clone() };
            let (old, new) =
                (old.sets.get(&now.name).unwrap_or(&none), new.sets.get(&now.name).unwrap_or(&none));
            let (gone, come) = (less(old, new), less(new, old));
            // What is nobody's alone belongs to lists of the host's, and is there as long as their chains are.
            let gone: Vec<Element> = gone.into_iter().filter(|element| is_own(now, element)).collect();
            // Somebody else has it.
            if come.iter().any(|element| now.is_map() && now.elements.contains(&element.key)) {
                return None;
            }
            let is_fresh = |element: &&Element| is_own(now, element) || !now.elements.contains(&element.key);
            let fresh = come.iter().filter(is_fresh).count();
            let was = tally.size(&name, now.name.as_str());
            let size = was.saturating_sub(gone.len()) + fresh;
            // Of which sets are empty the chains follow, and of how large they grow their room.
            if (was > 0 && size == 0) || now.size.is_some_and(|room| (room as usize) < size) {
                return None;
            }
            tally.resize(&name, now.name.as_str(), size);
            now.elements.subtract(&gone.into());
            now.elements.extend(new.elements.iter().cloned());
        }
        // Connections are asked for where anybody is not stateless.
        if asked && !asks(tally) {
            return None;
        }
        tables.insert(table);
    }
    Some(tables)
}

/// Whether all that `new` needs of chains and sets is `here`, in its order.
fn covers(here: &Table, new: &Table) -> bool {
    let has_set = |set: &nft::Set| {
        let kind = |set: &nft::Set| (set.key.clone(), set.data.clone(), set.interval);
        here.sets.get(&set.name).is_some_and(|known| kind(known) == kind(set))
    };
    let has_chain = |chain: &nft::Chain| {
        here.chains.get(&chain.name).is_some_and(|known| {
            let mut rules = known.rules.iter();
            known.base == chain.base && chain.rules.iter().all(|rule| rules.any(|known| known == rule))
        })
    };
    new.sets.iter().all(has_set) && new.chains.iter().all(has_chain)
}

/// The elements of `set` whose keys `other` has not.
fn less(set: &nft::Set, other: &nft::Set) -> Vec<Element> {
    set.elements.iter().filter(|element| !other.elements.contains(&element.key)).cloned().collect()
}

/// Whether it is the first byte of private addresses that nobody has any more.
fn is_far(set: &nft::Set, element: &Element, nat: &NatSpec, near: &BTreeMap<u8, usize>) -> bool {
    let Some(Value::Ipv4(address)) = element.key.first().first() else { return false };
    set.name.as_str() == guestnet_nat::NEAR
        && !nat.is_near((*address).into())
        && !near.contains_key(&address.octets()[0])
}

/// Whether the key starts with one of `links`.
fn is_of(element: &Element, links: &BTreeSet<LinkName>) -> bool {
    matches!(element.key.first().first(), Some(Value::Ifname(link)) if links.contains(link))
}
