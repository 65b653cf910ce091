//! Understanding what the kernel says of tables. Nothing that it can say panics; what cannot be understood makes the
//! table differ from every wanted one, so that it is made anew.

use std::collections::BTreeMap;

use guestnet_core::Set as Keyed;
use guestnet_core::netlink::Attributes;
use guestnet_core::owner::TABLE_PREFIX;
use nftnl::nftnl_sys as c;

use crate::encode::{INTERVAL_END, VERDICT, flags, values};
use crate::expr::Unknown;
use crate::interval::{Bound, paired};
use crate::sys::{ElementView, RawChain, RawRule, RawSet, RawTable};
use crate::{
    Base, Chain, ChainType, Data, DataType, Element, Expr, Family, Hook, Key, MapType, Name, Policy, Rule,
    Set, Table, TableKey, Verdict, userdata,
};

/// Length of `struct nlmsghdr`, and of the `struct nfgenmsg` behind it.
const HEADER: usize = 16;
pub const NFGENMSG: usize = 4;

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
    /// The bounds of intervals, until all are there.
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

    /// Takes in what `message` says.
    pub fn see(&mut self, message: &[u8]) {
        let [_, _, _, _, kind, subsystem, ..] = *message else { return };
        let Some(family) = message.get(HEADER).copied().and_then(Family::from_number) else { return };
        if libc::c_int::from(subsystem) != libc::NFNL_SUBSYS_NFTABLES {
            return;
        }
        // The name of the table is attribute 1 of all of them.
        let attributes = Attributes::after(message, HEADER + NFGENMSG);
        let name = attributes.get_str(1).filter(|name| name.starts_with(TABLE_PREFIX));
        let Some(Ok(name)) = name.map(str::parse) else { return };
        let key = TableKey(family, name);
        let kind = libc::c_int::from(kind);
        if kind == libc::NFT_MSG_NEWTABLE {
            self.0.extend(table(message, &key).map(|found| (key, found)));
            return;
        }
        let Some(found) = self.0.get_mut(&key) else { return };
        match kind {
            libc::NFT_MSG_NEWCHAIN => found.see_chain(message, family),
            libc::NFT_MSG_NEWRULE => found.see_rule(message, attributes),
            libc::NFT_MSG_NEWSET => found.see_set(message),
            libc::NFT_MSG_NEWSETELEM => found.see_elements(message, attributes),
            _ => {}
        }
    }

    /// The tables, when all messages were seen.
    pub fn finish(self) -> Keyed<Table> {
        self.0.into_values().map(Found::finish).collect()
    }
}

fn table(message: &[u8], TableKey(family, name): &TableKey) -> Option<Found> {
    let raw = RawTable::read(message)?;
    let mut table = Table::new(*family, name.clone());
    match raw.get_u32(c::NFTNL_TABLE_FLAGS).unwrap_or(0) {
        0 => {}
        flags if flags & 1 != 0 => table.unknown.push("the flag dormant".into()),
        flags => table.unknown.push(format!("flags {flags:#x}")),
    }
    Some(Found { table, has: raw.get_u32(c::NFTNL_TABLE_USE).unwrap_or(0), seen: 0, bounds: BTreeMap::new() })
}

impl Found {
    fn see_chain(&mut self, message: &[u8], family: Family) {
        self.seen = self.seen.saturating_add(1);
        let raw = RawChain::read(message);
        let name = raw.as_ref().and_then(|raw| raw.get_str(c::NFTNL_CHAIN_NAME)).unwrap_or("?");
        match raw.as_ref().and_then(|raw| chain(raw, name, family)) {
            Some(chain) => drop(self.table.chains.insert(chain)),
            None => self.table.unknown.push(format!("chain {name}")),
        }
    }

    fn see_rule(&mut self, message: &[u8], attributes: Attributes<'_>) {
        // NFTA_RULE_CHAIN is 2. The chain of a strange name is unknown already.
        let Some(Ok(name)) = attributes.get_str(2).map(str::parse) else { return };
        let Some(mut chain) = self.table.chains.remove(&name) else { return };
        chain
            .rules
            .push(rule(message).unwrap_or_else(|| Rule { expressions: names(attributes), comment: None }));
        self.table.chains.insert(chain);
    }

    fn see_set(&mut self, message: &[u8]) {
        self.seen = self.seen.saturating_add(1);
        let raw = RawSet::read(message);
        let name = raw.as_ref().and_then(|raw| raw.get_str(c::NFTNL_SET_NAME)).unwrap_or("?");
        match raw.as_ref().and_then(|raw| set(raw, name)) {
            Some(set) => drop(self.table.sets.insert(set)),
            None => self.table.unknown.push(format!("set {name}")),
        }
    }

    fn see_elements(&mut self, message: &[u8], attributes: Attributes<'_>) {
        // NFTA_SET_ELEM_LIST_SET is 2.
        let Some(Ok(name)) = attributes.get_str(2).map(str::parse) else { return };
        let Some(mut set) = self.table.sets.remove(&name) else { return };
        let mut strange = false;
        match RawSet::read_elements(message) {
            None => strange = true,
            Some(raw) => raw.for_each_element(|view| match bound(view, &set) {
                Some(one) if in_halves(&set) => self.bounds.entry(name.clone()).or_default().push(one),
                Some(one) => match whole(view, one, &set) {
                    Some(element) => drop(set.elements.insert(element)),
                    None => strange = true,
                },
                None => strange = true,
            }),
        }
        self.table.sets.insert(set);
        if strange {
            self.table.unknown.push(format!("an element of set {name}"));
        }
    }

    fn finish(mut self) -> Table {
        if let Some(more) = self.has.checked_sub(self.seen).filter(|more| *more > 0) {
            self.table.unknown.push(crate::words::count(more as usize, "named object"));
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

/// Whether the kernel lists an interval as two elements, its start and what comes behind its end.
fn in_halves(set: &Set) -> bool {
    set.interval && set.key.len() == 1
}

/// `NFT_CHAIN_BASE`, which says nothing that the hook does not say.
const CHAIN_BASE: u32 = 1;

fn chain(raw: &RawChain, name: &str, family: Family) -> Option<Chain> {
    if raw.get_u32(c::NFTNL_CHAIN_FLAGS).unwrap_or(0) & !CHAIN_BASE != 0 {
        return None;
    }
    let mut chain = Chain::regular(name.parse().ok()?);
    if let Some(hook) = raw.get_u32(c::NFTNL_CHAIN_HOOKNUM) {
        let devices = raw.devices();
        chain.base = Some(Base {
            kind: match raw.get_str(c::NFTNL_CHAIN_TYPE)? {
                "filter" => ChainType::Filter,
                "route" => ChainType::Route,
                "nat" => ChainType::Nat,
                _ => return None,
            },
            hook: Hook::from_number(hook, family)?,
            priority: raw.get_u32(c::NFTNL_CHAIN_PRIO)?.cast_signed(),
            policy: if raw.get_u32(c::NFTNL_CHAIN_POLICY)? == 0 { Policy::Drop } else { Policy::Accept },
            devices: devices.iter().map(|name| name.parse().ok()).collect::<Option<_>>()?,
        });
    }
    Some(chain)
}

fn rule(message: &[u8]) -> Option<Rule> {
    let raw = RawRule::read(message)?;
    let comment = raw.get(c::NFTNL_RULE_USERDATA).and_then(userdata::read_comment);
    Some(Rule { expressions: raw.expressions().iter().map(Expr::read).collect(), comment })
}

/// The names of the expressions of a rule that libnftnl does not understand.
fn names(rule: Attributes<'_>) -> Vec<Expr> {
    // NFTA_RULE_EXPRESSIONS is 4, NFTA_LIST_ELEM 1, NFTA_EXPR_NAME 1.
    let list = Attributes::after(rule.get(4).unwrap_or_default(), 0);
    let name = |expression| Attributes::after(expression, 0).get_str(1).unwrap_or("?").to_owned();
    list.map(|(_, expression)| Expr::Unknown(Unknown { name: name(expression) })).collect()
}

fn set(raw: &RawSet, name: &str) -> Option<Set> {
    let said = raw.get_u32(c::NFTNL_SET_FLAGS).unwrap_or(0);
    let key = DataType::from_numbers(raw.get_u32(c::NFTNL_SET_KEY_TYPE)?)?;
    let length = |types: &[DataType]| Some(DataType::total(types) as u32);
    if raw.get_u32(c::NFTNL_SET_KEY_LEN) != length(&key) {
        return None;
    }
    let data = match raw.get_u32(c::NFTNL_SET_DATA_TYPE) {
        None => None,
        Some(VERDICT) => Some(MapType::Verdict),
        Some(number) => {
            let types = DataType::from_numbers(number)?;
            if raw.get_u32(c::NFTNL_SET_DATA_LEN) != length(&types) {
                return None;
            }
            Some(MapType::Values(types))
        }
    };
    let interval = said & crate::encode::INTERVAL != 0;
    let size = raw.get_u32(c::NFTNL_SET_DESC_SIZE).filter(|size| *size != 0);
    let set = Set { name: name.parse().ok()?, key, data, interval, size, elements: Keyed::new() };
    (flags(&set) == said).then_some(set)
}

fn bound(view: &ElementView<'_>, set: &Set) -> Option<Bound> {
    let flags = view.get_u32(c::NFTNL_SET_ELEM_FLAGS).unwrap_or(0);
    let plain = [c::NFTNL_SET_ELEM_TIMEOUT, c::NFTNL_SET_ELEM_OBJREF].iter().all(|a| view.get(*a).is_none());
    if flags & !INTERVAL_END != 0 || !plain {
        return None;
    }
    let end = flags & INTERVAL_END != 0;
    let data = match &set.data {
        None => None,
        Some(_) if end => None,
        Some(MapType::Verdict) => {
            let number = view.get_u32(c::NFTNL_SET_ELEM_VERDICT)?.cast_signed();
            Some(Data::Verdict(Verdict::from_number(number, view.get_str(c::NFTNL_SET_ELEM_CHAIN))?))
        }
        Some(MapType::Values(types)) => Some(Data::Values(values(types, view.get(c::NFTNL_SET_ELEM_DATA)?)?)),
    };
    let key = view.get(c::NFTNL_SET_ELEM_KEY)?.to_vec();
    let comment = view.get(c::NFTNL_SET_ELEM_USERDATA).and_then(userdata::read_comment);
    Some(Bound { key, end, data, comment })
}

fn whole(view: &ElementView<'_>, bound: Bound, set: &Set) -> Option<Element> {
    let first = values(&set.key, &bound.key)?;
    let key = match view.get(c::NFTNL_SET_ELEM_KEY_END) {
        Some(end) => Key::between(first, values(&set.key, end)?),
        None => Key::from(first),
    };
    Some(Element { key, data: bound.data, comment: bound.comment })
}
