//! Tables: the objects that a plan speaks of.

use std::collections::BTreeSet;
use std::fmt;

use guestnet_core::diff::{Change, diff};
use guestnet_core::{LinkName, Object, Observed, Set as Keyed};
use serde::{Deserialize, Serialize};

use crate::words::count;
use crate::{Chain, DataType, Family, Set, TableName, Value, interval};

/// A table with everything in it. It is ours by its name.
///
/// When only elements differ, only elements are sent; when chains, rules or the definitions of sets differ, the
/// table is made anew. Both happen in one transaction: there is no moment without the one or the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Which packets it is about.
    pub family: Family,
    /// Its name.
    pub name: TableName,
    /// Its sets and maps.
    #[serde(default)]
    pub sets: Keyed<Set>,
    /// Its chains.
    #[serde(default)]
    pub chains: Keyed<Chain>,
    /// What was found in it and cannot be said here. Never wanted, so that such a table is made anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    pub unknown: Vec<String>,
}

/// A table is identified by its family and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableKey(pub Family, pub TableName);

impl Table {
    /// An empty table.
    pub fn new(family: Family, name: TableName) -> Self {
        Self { family, name, sets: Keyed::new(), chains: Keyed::new(), unknown: Vec::new() }
    }

    /// The table with `chain`, which takes the place of another of the same name.
    #[must_use]
    pub fn chain(mut self, chain: Chain) -> Self {
        self.chains.insert(chain);
        self
    }

    /// The table with `set`, which takes the place of another of the same name.
    #[must_use]
    pub fn set(mut self, set: Set) -> Self {
        self.sets.insert(set);
        self
    }

    /// The sets of names of interfaces.
    fn links(&self) -> impl Iterator<Item = &Set> {
        self.sets.iter().filter(|set| !set.is_map() && *set.key == [DataType::Ifname])
    }

    /// Whether it hooks in at devices, which have to be there first.
    pub fn is_at_devices(&self) -> bool {
        self.chains.iter().filter_map(|chain| chain.base.as_ref()).any(|base| !base.devices.is_empty())
    }

    /// The device that it is about, if it is one device: that of its only base chain.
    pub fn device(&self) -> Option<&LinkName> {
        let mut bases = self.chains.iter().filter_map(|chain| chain.base.as_ref());
        let base = bases.next().filter(|_| bases.next().is_none())?;
        let mut devices = base.devices.iter();
        devices.next().filter(|_| devices.next().is_none())
    }

    /// Whether `found` differs from it in elements alone.
    pub fn same_structure(&self, found: &Self) -> bool {
        self.unknown == found.unknown
            && self.chains == found.chains
            && self.sets.len() == found.sets.len()
            && self.sets.iter().zip(&found.sets).all(|(want, found)| want.can_be(found))
    }

    /// Whether it is left of `found` when elements change and sets go that no rule looks into.
    pub(crate) fn is_left_of(&self, found: &Self) -> bool {
        self.unknown == found.unknown
            && self.chains == found.chains
            && self.sets.iter().all(|want| found.sets.get(&want.name).is_some_and(|set| want.can_be(set)))
    }
}

impl Object for Table {
    type Key = TableKey;
    const KIND: &'static str = "table";

    fn key(&self) -> TableKey {
        TableKey(self.family, self.name.clone())
    }

    /// The maps without the elements that `gone` has, and the sets without what is of interfaces that `gone` names;
    /// nothing where no map has elements then, and no interface is named. All else in sets stays: it holds for all.
    fn less(&self, gone: &Self) -> Option<Self> {
        let mut rest = self.clone();
        let links: BTreeSet<&[Value]> =
            gone.links().flat_map(|set| &set.elements).map(|element| element.key.first()).collect();
        for (_, set) in rest.sets.with_positions_mut() {
            let Some(gone) = gone.sets.get(&set.name) else { continue };
            if set.is_map() {
                set.elements.subtract(&gone.elements);
            } else {
                set.elements
                    .retain(|element| element.key.first().get(..1).is_none_or(|link| !links.contains(link)));
            }
        }
        let maps = rest.sets.iter().filter(|set| set.is_map());
        let left = maps.chain(rest.links()).any(|set| !set.elements.is_empty());
        left.then_some(rest)
    }

    /// The elements of both, in chains, rules and sets as this one says.
    fn more(&self, there: &Self) -> Result<Self, String> {
        let mut both = self.clone();
        for found in &there.sets {
            match both.sets.get_mut(&found.name) {
                Some(set) if (&set.key, &set.data) == (&found.key, &found.data) => {
                    let added = std::mem::replace(&mut set.elements, found.elements.clone());
                    set.elements.extend(added);
                    set.size = set.size.max(found.size);
                }
                _ if found.elements.is_empty() => {}
                _ => {
                    return Err(format!(
                        "set {} of it is not of this spec alone; apply the spec of the whole host",
                        found.name
                    ));
                }
            }
        }
        Ok(both)
    }

    /// Equal, but for intervals that overlap: those are merged before they are sent.
    fn accepts(&self, found: &Self) -> bool {
        self.same_structure(found)
            && self
                .sets
                .iter()
                .zip(&found.sets)
                .all(|(want, found)| *interval::merged(want) == found.elements)
    }

    fn changed_from(&self, old: &Self) -> String {
        let mut words: Vec<String> = Vec::new();
        words.extend(old.unknown.iter().map(|what| format!("-{what}")));
        let chains = Observed { ours: old.chains.clone(), ..Observed::default() };
        words.extend(diff(&self.chains, &chains).0.iter().map(structure));
        let mut elements = Vec::new();
        for set in &self.sets {
            match old.sets.get(&set.name) {
                Some(was) if set.can_be(was) => elements.push((set, was)),
                Some(_) => words.push(format!("~set {}", set.name)),
                None => words.push(format!("+set {}", set.name)),
            }
        }
        words.extend(
            old.sets.iter().filter(|s| !self.sets.contains(&s.name)).map(|s| format!("-set {}", s.name)),
        );
        words.extend(elements.into_iter().filter_map(|(new, old)| elements_changed(new, old)));
        format!("{} {}  {}", self.family, self.name, words.join(", "))
    }
}

fn structure(change: &Change<Chain>) -> String {
    format!("{}chain {}", change.sign(), change.key())
}

/// How many changed elements a plan names before it only counts them.
const NAMED: usize = 3;

fn elements_changed(new: &Set, old: &Set) -> Option<String> {
    let wanted = interval::merged(new);
    let changes: Vec<_> = wanted.changes(&old.elements).collect();
    if changes.is_empty() {
        return None;
    }
    let named = changes.iter().take(NAMED).map(|change| format!("{}{}", change.sign(), change.object()));
    let mut text = format!("{}: {}", new.name, named.collect::<Vec<_>>().join(" "));
    if changes.len() > NAMED {
        let number = |sign| changes.iter().filter(|c| c.sign() == sign).count();
        text = format!("{text} … (+{} ~{} -{} elements)", number('+'), number('~'), number('-'));
    }
    Some(text)
}

impl fmt::Display for TableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.chains.iter().map(|chain| chain.rules.len()).sum();
        let maps = self.sets.iter().filter(|set| set.is_map()).count();
        let mut parts = vec![count(self.chains.len(), "chain"), count(rules, "rule")];
        parts.extend((self.sets.len() > maps).then(|| count(self.sets.len() - maps, "set")));
        parts.extend((maps > 0).then(|| count(maps, "map")));
        let elements = self.sets.iter().map(|set| set.elements.len()).sum();
        write!(f, "{} {}  {}", self.family, self.name, parts.join(", "))?;
        if elements > 0 { write!(f, " with {}", count(elements, "element")) } else { Ok(()) }
    }
}
