//! Understanding what the kernel says of tables. Nothing that it can say panics; what cannot be understood makes the
//! table differ from every wanted one, so that it is made anew.
//!
//! libnftnl is for writing only: it ends the process when an answer is not as it expects.

use std::collections::BTreeMap;

use guestnet_core::Set as Keyed;
use guestnet_core::netlink::Attributes;
use guestnet_core::owner::TABLE_PREFIX;

use crate::elements::values;
use crate::encode::{INTERVAL, INTERVAL_END, VERDICT, flags};
use crate::interval::{Bound, paired};
use crate::{
    Base, Chain, ChainType, Data, DataType, Element, Expr, Family, Hook, Key, MapType, Name, Policy, Rule,
    Set, Table, TableKey, Verdict, userdata,
};

/// Attributes in the kernel's numbers (`linux/netfilter/nf_tables.h`). The name of the table is attribute 1 of
/// everything that is in one.
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_USE: u16 = 3;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_CHAIN_FLAGS: u16 = 10;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;
const NFTA_HOOK_DEVS: u16 = 4;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_DATA_TYPE: u16 = 6;
const NFTA_SET_DATA_LEN: u16 = 7;
const NFTA_SET_DESC: u16 = 9;
const NFTA_SET_EXPR: u16 = 17;
const NFTA_SET_EXPRESSIONS: u16 = 18;
const NFTA_SET_DESC_SIZE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_SET_ELEM_EXPR: u16 = 7;
const NFTA_SET_ELEM_OBJREF: u16 = 9;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFTA_SET_ELEM_EXPRESSIONS: u16 = 11;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;

/// The attributes of something of nf_tables, whose numbers are in the byte order of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a>(Attributes<'a>);

impl Default for View<'_> {
    fn default() -> Self {
        Self(Attributes::after(&[], 0))
    }
}

impl<'a> View<'a> {
    /// What a message says of something.
    pub fn new(attributes: Attributes<'a>) -> Self {
        Self(attributes)
    }

    /// An attribute as it stands there.
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.get(kind)
    }

    /// An attribute that is a number of 1 to 8 bytes.
    pub fn number(&self, kind: u16) -> Option<u64> {
        let bytes = self.get(kind).filter(|bytes| (1..=8).contains(&bytes.len()))?;
        Some(bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    /// An attribute that is a number of 1 to 4 bytes.
    pub fn u32(&self, kind: u16) -> Option<u32> {
        self.number(kind)?.try_into().ok()
    }

    /// An attribute that is a text, up to its NUL.
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        self.0.get_str(kind)
    }

    /// The attributes inside an attribute.
    pub fn nested(&self, kind: u16) -> Option<View<'a>> {
        self.get(kind).map(|value| View(Attributes::after(value, 0)))
    }

    /// The members of a list, each of which has attributes.
    pub fn list(&self, kind: u16) -> impl Iterator<Item = View<'a>> + use<'a> {
        let members = self.nested(kind).unwrap_or_default();
        members.0.map(|(_, value)| View(Attributes::after(value, 0)))
    }

    /// All attributes, which are texts.
    fn texts(&self) -> Vec<&'a str> {
        let text = |value: &'a [u8]| std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok();
        self.0.filter_map(|(_, value)| text(value)).collect()
    }

    /// An attribute that holds the value of a register: 1 to 64 bytes.
    pub fn value(&self, kind: u16) -> Option<&'a [u8]> {
        self.nested(kind)?.get(NFTA_DATA_VALUE).filter(|value| (1..=64).contains(&value.len()))
    }

    /// The verdict that stands where otherwise a value does.
    pub fn verdict(&self) -> Option<Verdict> {
        let verdict = self.nested(NFTA_DATA_VERDICT)?;
        Verdict::from_number(verdict.u32(NFTA_VERDICT_CODE)?.cast_signed(), verdict.text(NFTA_VERDICT_CHAIN))
    }
}

/// Length of `struct nlmsghdr`, and of the `struct nfgenmsg` behind it.
const HEADER: usize = 16;
pub(crate) const NFGENMSG: usize = 4;

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
        let raw = View(Attributes::after(message, HEADER + NFGENMSG));
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
    Found { table, has: raw.u32(NFTA_TABLE_USE).unwrap_or(0), seen: 0, bounds: BTreeMap::new() }
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
        let Some(mut set) = self.table.sets.remove(&name) else { return };
        let mut strange = false;
        for element in raw.list(NFTA_SET_ELEM_LIST_ELEMENTS) {
            match bound(&element, &set) {
                Some(one) if in_halves(&set) => self.bounds.entry(name.clone()).or_default().push(one),
                Some(one) => match whole(&element, one, &set) {
                    Some(element) => drop(set.elements.insert(element)),
                    None => strange = true,
                },
                None => strange = true,
            }
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
    let set = Set { name: name.parse().ok()?, key, data, interval, size, elements: Keyed::new() };
    // Elements that carry expressions of their own, or go after some time, are never wanted.
    let plain = [NFTA_SET_EXPR, NFTA_SET_EXPRESSIONS].iter().all(|kind| raw.get(*kind).is_none());
    (plain && flags(&set) == said).then_some(set)
}

fn bound(raw: &View<'_>, set: &Set) -> Option<Bound> {
    let flags = raw.u32(NFTA_SET_ELEM_FLAGS).unwrap_or(0);
    let never = [NFTA_SET_ELEM_TIMEOUT, NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_OBJREF, NFTA_SET_ELEM_EXPRESSIONS];
    if flags & !INTERVAL_END != 0 || never.iter().any(|kind| raw.get(*kind).is_some()) {
        return None;
    }
    let end = flags & INTERVAL_END != 0;
    let data = match &set.data {
        None => None,
        Some(_) if end => None,
        Some(MapType::Verdict) => Some(Data::Verdict(raw.nested(NFTA_SET_ELEM_DATA)?.verdict()?)),
        Some(MapType::Values(types)) => Some(values(types, raw.value(NFTA_SET_ELEM_DATA)?)?.into()),
    };
    let key = raw.value(NFTA_SET_ELEM_KEY)?.to_vec();
    let comment = raw.get(NFTA_SET_ELEM_USERDATA).and_then(userdata::read_comment);
    Some(Bound { key, end, data, comment })
}

fn whole(raw: &View<'_>, bound: Bound, set: &Set) -> Option<Element> {
    let first = values(&set.key, &bound.key)?;
    let key = match raw.value(NFTA_SET_ELEM_KEY_END) {
        Some(end) => Key::between(first, values(&set.key, end)?),
        None => Key::from(first),
    };
    Some(Element { key, data: bound.data, comment: bound.comment })
}
