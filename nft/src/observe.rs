//! Reading tables back.

use std::collections::BTreeMap;

use guestnet_core::netlink::{Attributes, Dump};
use guestnet_core::owner::TABLE_PREFIX;
use guestnet_core::{Error, Message, Namespace, Observed, Protocol, Result, Set as Keyed};
use nftnl::nftnl_sys as c;

use crate::encode::{INTERVAL_END, VERDICT, flags, values};
use crate::expr::Unknown;
use crate::interval::{Bound, paired};
use crate::sys::{ElementView, RawChain, RawRule, RawSet, RawTable};
use crate::{
    Base, Chain, ChainType, Data, DataType, Element, Expr, Family, Hook, Key, MapType, Policy, Rule, Set,
    Table, TableKey, Verdict, userdata,
};

/// How often tables are read again when somebody changes them meanwhile.
const TRIES: usize = 16;

/// Length of `struct nfgenmsg`.
const NFGENMSG: usize = 4;

/// Reads the tables that carry our mark, all as of one moment.
pub fn tables(namespace: &mut Namespace, wanted: &Keyed<Table>) -> Result<Observed<Table>> {
    if !namespace.speaks(Protocol::Netfilter) && wanted.is_empty() {
        return Ok(Observed::default());
    }
    for _ in 0..TRIES {
        let Some(before) = generation(namespace)? else {
            // No nf_tables, so none of ours; that it is missing is said when a table is wanted.
            if wanted.is_empty() {
                return Ok(Observed::default());
            }
            return Err(Error::Unsupported("this kernel has no nf_tables (CONFIG_NF_TABLES)".into()));
        };
        let found = read(namespace);
        if generation(namespace)? == Some(before) {
            return Ok(Observed { ours: found?, ..Observed::default() });
        }
    }
    Err(Error::Busy(format!("nf_tables changed during each of {TRIES} readings; try again")))
}

/// The number of the ruleset's generation: every transaction makes a new one.
fn generation(namespace: &mut Namespace) -> Result<Option<u32>> {
    let request = request(libc::NFT_MSG_GETGEN, 0, &[]);
    let answer = match namespace.get(Protocol::Netfilter, &request) {
        Err(e) if [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)].contains(&e.errno()) => return Ok(None),
        other => other?,
    };
    Ok(answer.and_then(|dump| dump.replies().find_map(|r| Attributes::after(r.payload, NFGENMSG).get_u32(1))))
}

/// A request of nf_tables with attributes that are texts.
fn request(kind: libc::c_int, family: u8, attributes: &[(u16, &str)]) -> Message {
    let mut payload = vec![family, 0, 0, 0];
    for (number, text) in attributes {
        let length = 4 + text.len() + 1;
        payload.extend((length as u16).to_ne_bytes());
        payload.extend(number.to_ne_bytes());
        payload.extend(text.bytes());
        payload.push(0);
        payload.resize(payload.len().next_multiple_of(4), 0);
    }
    Message::new((libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | kind as u16, 0, &payload)
}

fn dump(namespace: &mut Namespace, request: &Message) -> Result<Dump> {
    match namespace.dump(Protocol::Netfilter, request) {
        // The table went away under way; the generation says so too.
        Err(e) if e.errno() == Some(libc::ENOENT) => Ok(Dump::default()),
        other => other,
    }
}

/// A table of ours, how many chains, sets and other things the kernel says it has, and how many were seen.
struct Found {
    table: Table,
    has: u32,
    seen: u32,
}

fn read(namespace: &mut Namespace) -> Result<Keyed<Table>> {
    let mut found: BTreeMap<TableKey, Found> = BTreeMap::new();
    for reply in dump(namespace, &request(libc::NFT_MSG_GETTABLE, 0, &[]))?.replies() {
        if let Some(one) = read_table(reply.whole) {
            found.insert(TableKey(one.table.family, one.table.name.clone()), one);
        }
    }
    let families: Vec<Family> =
        Family::ALL.into_iter().filter(|family| found.keys().any(|key| key.0 == *family)).collect();
    for family in families {
        for reply in dump(namespace, &request(libc::NFT_MSG_GETCHAIN, family.number(), &[]))?.replies() {
            read_chain(reply.whole, family, &mut found);
        }
    }
    for Found { table, has, seen } in found.values_mut() {
        let (family, name) = (table.family.number(), table.name.to_string());
        // NFTA_RULE_TABLE and NFTA_SET_TABLE are 1.
        let of_table = [(1, name.as_str())];
        for reply in dump(namespace, &request(libc::NFT_MSG_GETRULE, family, &of_table))?.replies() {
            read_rule(reply.whole, table);
        }
        for reply in dump(namespace, &request(libc::NFT_MSG_GETSET, family, &of_table))?.replies() {
            *seen += 1;
            match read_set(reply.whole) {
                Ok(set) => drop(table.sets.insert(set)),
                Err(what) => table.unknown.push(what),
            }
        }
        if let Some(more) = has.checked_sub(*seen).filter(|more| *more > 0) {
            table.unknown.push(crate::words::count(more as usize, "named object"));
        }
        let names: Vec<_> = table.sets.iter().map(|set| set.name.clone()).collect();
        for set in names {
            // NFTA_SET_ELEM_LIST_TABLE is 1, NFTA_SET_ELEM_LIST_SET 2.
            let of_set = [(1, name.as_str()), (2, set.as_str())];
            let answer = dump(namespace, &request(libc::NFT_MSG_GETSETELEM, family, &of_set))?;
            if let Some(mut into) = table.sets.remove(&set) {
                if let Err(what) = read_elements(answer.replies().map(|reply| reply.whole), &mut into) {
                    table.unknown.push(what);
                }
                table.sets.insert(into);
            }
        }
    }
    Ok(found.into_values().map(|found| found.table).collect())
}

/// A table that carries our mark.
fn read_table(message: &[u8]) -> Option<Found> {
    let raw = RawTable::read(message)?;
    let name = raw.get_str(c::NFTNL_TABLE_NAME).filter(|name| name.starts_with(TABLE_PREFIX))?;
    let family = Family::from_number(raw.get_u32(c::NFTNL_TABLE_FAMILY)?.try_into().ok()?)?;
    let mut table = Table::new(family, name.parse().ok()?);
    match raw.get_u32(c::NFTNL_TABLE_FLAGS).unwrap_or(0) {
        0 => {}
        flags if flags & 1 != 0 => table.unknown.push("the flag dormant".into()),
        flags => table.unknown.push(format!("flags {flags:#x}")),
    }
    Some(Found { table, has: raw.get_u32(c::NFTNL_TABLE_USE).unwrap_or(0), seen: 0 })
}

fn read_chain(message: &[u8], family: Family, tables: &mut BTreeMap<TableKey, Found>) {
    let Some(raw) = RawChain::read(message) else { return };
    let Some(Ok(table)) = raw.get_str(c::NFTNL_CHAIN_TABLE).map(str::parse) else { return };
    let Some(Found { table, seen, .. }) = tables.get_mut(&TableKey(family, table)) else { return };
    *seen += 1;
    let name = raw.get_str(c::NFTNL_CHAIN_NAME).unwrap_or_default();
    match chain(&raw, name, family) {
        Some(chain) => drop(table.chains.insert(chain)),
        None => table.unknown.push(format!("chain {name}")),
    }
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

fn read_rule(message: &[u8], table: &mut Table) {
    // NFTA_RULE_TABLE is 1, NFTA_RULE_CHAIN 2. Old kernels do not filter by table.
    let attributes = Attributes::after(message, 16 + NFGENMSG);
    if attributes.get_str(1) != Some(table.name.as_str()) {
        return;
    }
    let Some(Ok(name)) = attributes.get_str(2).map(str::parse) else { return };
    let Some(mut chain) = table.chains.remove(&name) else { return };
    chain.rules.push(rule(message).unwrap_or_else(|| Rule { expressions: names(attributes), comment: None }));
    table.chains.insert(chain);
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

/// A set without its elements; what it is, when it cannot be said.
fn read_set(message: &[u8]) -> std::result::Result<Set, String> {
    let raw = RawSet::read(message).ok_or("a set that cannot be read")?;
    let name = raw.get_str(c::NFTNL_SET_NAME).unwrap_or_default();
    set(&raw, name).ok_or_else(|| format!("set {name}"))
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

/// Reads elements into `set`. Says what stands there when one cannot be said.
fn read_elements<'a>(
    messages: impl Iterator<Item = &'a [u8]>,
    set: &mut Set,
) -> std::result::Result<(), String> {
    let strange = || format!("an element of set {}", set.name);
    let halves = set.interval && set.key.len() == 1;
    let (mut elements, mut bounds, mut all) = (Vec::new(), Vec::new(), true);
    for message in messages {
        let raw = RawSet::read_elements(message).ok_or_else(strange)?;
        raw.for_each_element(|view| match bound(view, set) {
            Some(one) if halves => bounds.push(one),
            Some(one) => match whole(view, one, set) {
                Some(element) => elements.push(element),
                None => all = false,
            },
            None => all = false,
        });
    }
    if halves && let [data] = set.key[..] {
        elements = paired(bounds, data).ok_or_else(strange)?;
    }
    let result = if all { Ok(()) } else { Err(strange()) };
    set.elements.extend(elements);
    result
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
