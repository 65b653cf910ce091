//! Understanding what the kernel says of tables. Nothing that it can say panics; what cannot be understood makes the
//! table differ from every wanted one, so that it is made anew.
//!
//! libnftnl is for writing only: it ends the process when an answer is not as it expects.

use std::collections::BTreeMap;

use guestnet_core::Set as Keyed;
use guestnet_core::netlink::Attributes;
use guestnet_core::owner::TABLE_PREFIX;

use crate::encode::{INTERVAL, INTERVAL_END, VERDICT, flags};
use crate::interval::{Bound, paired};
use crate::setelem::values;
use crate::uapi::*;
use crate::view::View;
use crate::{
    Base, Chain, ChainType, Data, DataType, Element, Elements, Expr, Family, Hook, Key, MapType, Name,
    Policy, Rule, Set, Stateful, Table, TableKey, userdata,
};

impl Table {
    /// The tables that netlink messages tell of, header included: of a dump, or of a change. Only those that carry our
    /// mark. Tables come before chains and sets, chains before rules, sets before elements.
    pub fn read<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Keyed<Self> {
        let mut reader = Reader::default();
        messages.into_iter().for_each(|message| reader.see(message));
        reader.finish()
    }
}

/// Tables, as far as messages have told of them.
#[derive(Default)]
pub struct Reader(BTreeMap<TableKey, Found>);

/// A table of ours, how many chains, sets and other things the kernel says it has, and how many were seen.
struct Found {
    table: Table,
    has: u32,
    seen: u32,
    /// The elements of sets, until all are there.
    elements: BTreeMap<Name, Vec<Element>>,
    /// The bounds of intervals, likewise.
    bounds: BTreeMap<Name, Vec<Bound>>,
}

impl Reader {
    /// The tables so far.
    pub fn tables(&self) -> Vec<TableKey> {
        self.0.keys().cloned().collect()
    }

    /// The sets of a table so far.
    pub fn sets(&self, table: &TableKey) -> Vec<Name> {
        self.0
            .get(table)
            .map(|found| found.table.sets.iter().map(|set| set.name.clone()).collect())
            .unwrap_or_default()
    }

    /// Takes `table`, which has no elements yet, for known.
    pub fn know(&mut self, table: Table) {
        let (elements, bounds) = (BTreeMap::new(), BTreeMap::new());
        self.0.insert(
            TableKey(table.family, table.name.clone()),
            Found { table, has: 0, seen: 0, elements, bounds },
        );
    }

    /// The table without its elements, if all that it has was seen.
    pub fn structure(&self, key: &TableKey) -> Option<&Table> {
        self.0.get(key).filter(|found| found.has <= found.seen).map(|found| &found.table)
    }

    /// Takes in what `message` says.
    pub fn see(&mut self, message: &[u8]) {
        let [_, _, _, _, kind, subsystem, ..] = *message else { return };
        let Some(family) = message.get(HEADER).copied().and_then(Family::from_number) else { return };
        if libc::c_int::from(subsystem) != libc::NFNL_SUBSYS_NFTABLES {
            return;
        }
        let raw = View::new(Attributes::after(message, HEADER + NFGENMSG));
        let name = raw.text(NFTA_TABLE_NAME).filter(|name| name.starts_with(TABLE_PREFIX));
        let Some(Ok(name)) = name.map(str::parse) else { return };
        let key = TableKey(family, name);
        let kind = libc::c_int::from(kind);
        if kind == libc::NFT_MSG_NEWTABLE {
            let found = table(&raw, &key);
            self.0.insert(key, found);
            return;
        }
        let Some(found) = self.0.get_mut(&key) else { return };
        match kind {
            libc::NFT_MSG_NEWCHAIN => found.see_chain(&raw, family),
            libc::NFT_MSG_NEWRULE => found.see_rule(&raw),
            libc::NFT_MSG_NEWSET => found.see_set(&raw),
            libc::NFT_MSG_NEWSETELEM => found.see_elements(&raw),
            _ => {}
        }
    }

    /// The tables, when all messages were seen.
    pub fn finish(self) -> Keyed<Table> {
        self.0.into_values().map(Found::finish).collect()
    }
}

fn table(raw: &View<'_>, TableKey(family, name): &TableKey) -> Found {
    let mut table = Table::new(*family, name.clone());
    match raw.u32(NFTA_TABLE_FLAGS).unwrap_or(0) {
        0 => {}
        flags if flags & 1 != 0 => table.unknown.push("the flag dormant".into()),
        flags => table.unknown.push(format!("flags {flags:#x}")),
    }
    let has = raw.u32(NFTA_TABLE_USE).unwrap_or(0);
    Found { table, has, seen: 0, elements: BTreeMap::new(), bounds: BTreeMap::new() }
}

impl Found {
    fn see_chain(&mut self, raw: &View<'_>, family: Family) {
        self.seen = self.seen.saturating_add(1);
        let name = raw.text(NFTA_CHAIN_NAME).unwrap_or("?");
        match chain(raw, name, family) {
            Some(chain) => drop(self.table.chains.insert(chain)),
            None => self.table.unknown.push(format!("chain {name}")),
        }
    }

    fn see_rule(&mut self, raw: &View<'_>) {
        // The chain of a strange name is unknown already.
        let Some(Ok(name)) = raw.text(NFTA_RULE_CHAIN).map(str::parse) else { return };
        let Some(mut chain) = self.table.chains.remove(&name) else { return };
        chain.rules.push(rule(raw));
        self.table.chains.insert(chain);
    }

    fn see_set(&mut self, raw: &View<'_>) {
        self.seen = self.seen.saturating_add(1);
        let name = raw.text(NFTA_SET_NAME).unwrap_or("?");
        match set(raw, name) {
            Some(set) => drop(self.table.sets.insert(set)),
            None => self.table.unknown.push(format!("set {name}")),
        }
    }

    fn see_elements(&mut self, raw: &View<'_>) {
        let Some(Ok(name)) = raw.text(NFTA_SET_ELEM_LIST_SET).map(str::parse) else { return };
        let Some(set) = self.table.sets.get(&name).filter(|set| !set.is_dynamic()) else { return };
        let mut strange = false;
        let list = raw.list(NFTA_SET_ELEM_LIST_ELEMENTS).map(|element| Listed::read(element, set));
        if set.interval && set.key.len() == 1 {
            // The kernel lists an interval as two elements, its start and what comes behind its end.
            let bounds = self.bounds.entry(name.clone()).or_default();
            bounds.extend(list.filter_map(|listed| known(listed.map(Listed::bound), &mut strange)));
        } else {
            let elements = self.elements.entry(name.clone()).or_default();
            elements.extend(list.filter_map(|listed| known(listed.and_then(|l| l.whole(set)), &mut strange)));
        }
        if strange {
            self.table.unknown.push(format!("an element of set {name}"));
        }
    }

    fn finish(mut self) -> Table {
        if let Some(more) = self.has.checked_sub(self.seen).filter(|more| *more > 0) {
            self.table.unknown.push(crate::words::count(more as usize, "named object"));
        }
        for (name, elements) in self.elements {
            if let Some(set) = self.table.sets.get_mut(&name) {
                set.elements = elements.into();
            }
        }
        for (name, bounds) in self.bounds {
            let Some(mut set) = self.table.sets.remove(&name) else { continue };
            match set.key.first().and_then(|data| paired(bounds, *data)) {
                Some(elements) => set.elements.extend(elements),
                None => self.table.unknown.push(format!("an element of set {name}")),
            }
            self.table.sets.insert(set);
        }
        self.table
    }
}

/// `NFT_CHAIN_BASE`, which says nothing that the hook does not say.
const CHAIN_BASE: u32 = 1;

fn chain(raw: &View<'_>, name: &str, family: Family) -> Option<Chain> {
    if raw.u32(NFTA_CHAIN_FLAGS).unwrap_or(0) & !CHAIN_BASE != 0 {
        return None;
    }
    let mut chain = Chain::regular(name.parse().ok()?);
    if let Some(hook) = raw.nested(NFTA_CHAIN_HOOK) {
        let devices = hook.nested(NFTA_HOOK_DEVS).map(|list| list.texts()).unwrap_or_default();
        let devices = devices.into_iter().chain(hook.text(NFTA_HOOK_DEV)).map(|name| name.parse().ok());
        chain.base = Some(Base {
            kind: match raw.text(NFTA_CHAIN_TYPE)? {
                "filter" => ChainType::Filter,
                "route" => ChainType::Route,
                "nat" => ChainType::Nat,
                _ => return None,
            },
            hook: Hook::from_number(hook.u32(NFTA_HOOK_HOOKNUM)?, family)?,
            priority: hook.u32(NFTA_HOOK_PRIORITY)?.cast_signed(),
            policy: if raw.u32(NFTA_CHAIN_POLICY)? == 0 { Policy::Drop } else { Policy::Accept },
            devices: devices.collect::<Option<_>>()?,
        });
    }
    Some(chain)
}

fn rule(raw: &View<'_>) -> Rule {
    let expression = |raw: View<'_>| {
        let attributes = raw.nested(NFTA_EXPR_DATA).unwrap_or_default();
        Expr::read(raw.text(NFTA_EXPR_NAME).unwrap_or("?"), &attributes)
    };
    Rule {
        expressions: raw.list(NFTA_RULE_EXPRESSIONS).map(expression).collect(),
        comment: raw.get(NFTA_RULE_USERDATA).and_then(userdata::read_comment),
    }
}

/// A set without its elements.
fn set(raw: &View<'_>, name: &str) -> Option<Set> {
    let said = raw.u32(NFTA_SET_FLAGS).unwrap_or(0);
    let key = DataType::from_numbers(raw.u32(NFTA_SET_KEY_TYPE)?)?;
    let length = |types: &[DataType]| Some(DataType::total(types) as u32);
    if raw.u32(NFTA_SET_KEY_LEN) != length(&key) {
        return None;
    }
    let data = match raw.u32(NFTA_SET_DATA_TYPE) {
        None => None,
        Some(VERDICT) => Some(MapType::Verdict),
        Some(number) => {
            let types = DataType::from_numbers(number)?;
            if raw.u32(NFTA_SET_DATA_LEN) != length(&types) {
                return None;
            }
            Some(MapType::Values(types))
        }
    };
    let interval = said & INTERVAL != 0;
    let size =
        raw.nested(NFTA_SET_DESC).and_then(|desc| desc.u32(NFTA_SET_DESC_SIZE)).filter(|size| *size != 0);
    let stateful = match raw.nested(NFTA_SET_EXPR) {
        Some(expression) => Some(Stateful::read(&expression)?),
        None => None,
    };
    let set =
        Set { name: name.parse().ok()?, key, data, interval, size, stateful, elements: Elements::new() };
    // Several expressions, and elements that go after some time, are never wanted.
    (raw.get(NFTA_SET_EXPRESSIONS).is_none() && flags(&set) == said).then_some(set)
}

/// Passes on what could be read, and notes that something could not.
fn known<T>(read: Option<T>, strange: &mut bool) -> Option<T> {
    *strange |= read.is_none();
    read
}

/// An element as the kernel lists it.
struct Listed<'a> {
    key: &'a [u8],
    /// The end of an interval in a concatenation.
    key_end: Option<&'a [u8]>,
    /// Whether it says where an interval of one type ends.
    end: bool,
    data: Option<Data>,
    comment: Option<Box<str>>,
}

impl<'a> Listed<'a> {
    /// `None` where it cannot be wanted: it goes after some time, or carries what an element here cannot.
    fn read(raw: View<'a>, set: &Set) -> Option<Self> {
        let (mut key, mut key_end, mut data, mut comment, mut flags) = (None, None, None, None, 0);
        // In one pass: there can be hundreds of thousands.
        for (kind, value) in raw.each() {
            let nested = || View::inside(value);
            match kind {
                NFTA_SET_ELEM_KEY => key = nested().register(),
                NFTA_SET_ELEM_KEY_END => key_end = Some(nested().register()?),
                NFTA_SET_ELEM_DATA => data = Some(nested()),
                NFTA_SET_ELEM_FLAGS => flags = u32::from_be_bytes(value.try_into().ok()?),
                NFTA_SET_ELEM_USERDATA => comment = userdata::read_comment(value).map(Into::into),
                NFTA_SET_ELEM_EXPR if Stateful::read(&nested()).is_some_and(|e| set.stateful == Some(e)) => {}
                NFTA_SET_ELEM_TIMEOUT
                | NFTA_SET_ELEM_EXPR
                | NFTA_SET_ELEM_OBJREF
                | NFTA_SET_ELEM_EXPRESSIONS => return None,
                _ => {}
            }
        }
        let end = flags & INTERVAL_END != 0;
        let data = match &set.data {
            Some(MapType::Verdict) if !end => Some(data?.verdict()?.into()),
            Some(MapType::Values(types)) if !end => Some(Data::Values(values(types, data?.register()?)?)),
            _ => None,
        };
        (flags & !INTERVAL_END == 0).then_some(Self { key: key?, key_end, end, data, comment })
    }

    fn bound(self) -> Bound {
        Bound { key: self.key.to_vec(), end: self.end, data: self.data, comment: self.comment }
    }

    fn whole(self, set: &Set) -> Option<Element> {
        let first = values(&set.key, self.key)?;
        let key = match self.key_end {
            Some(end) => Key::of(first, values(&set.key, end)?),
            None => Key::from(first),
        };
        Some(Element { key, data: self.data, comment: self.comment })
    }
}
