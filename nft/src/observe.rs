//! Asking the kernel for the tables that are ours.

use std::sync::Arc;

use guestnet_core::netlink::{Attributes, Dump};
use guestnet_core::netns::Transactions;
use guestnet_core::{Error, Message, Namespace, Object, Observed, Protocol, Result, Set as Keyed};

use crate::read::Reader;
use crate::setelem::bytes;
use crate::uapi::*;
use crate::{Family, Key, Name, Set, Table, TableKey};

/// How often tables are read again when somebody changes them meanwhile.
const TRIES: usize = 16;

/// Reads the tables that carry our mark, all as of one moment.
pub fn tables(namespace: &mut Namespace, wanted: &Keyed<Table>) -> Result<Observed<Table>> {
    if !namespace.speaks(Protocol::Netfilter) && wanted.is_empty() {
        return Ok(Observed::default());
    }
    let found = at_one_moment(namespace, wanted, |namespace, _| read(namespace))?;
    Ok(Observed { ours: found, ..Observed::default() })
}

/// Reads the tables of `wanted`, all as of one moment: whole, but for the elements of sets of values, of which only those
/// are read whose keys are wanted.
pub fn tables_by_key(namespace: &mut Namespace, wanted: &Keyed<Table>) -> Result<Observed<Table>> {
    if wanted.is_empty() {
        return Ok(Observed::default());
    }
    let found = at_one_moment(namespace, wanted, |namespace, now| read_by_key(namespace, wanted, now))?;
    Ok(Observed { ours: found, ..Observed::default() })
}

/// Reads again while somebody changes what is read.
fn at_one_moment(
    namespace: &mut Namespace,
    wanted: &Keyed<Table>,
    mut read: impl FnMut(&mut Namespace, u32) -> Result<Keyed<Table>>,
) -> Result<Keyed<Table>> {
    for _ in 0..TRIES {
        let Some(before) = generation(namespace)? else {
            // No nf_tables, so none of ours; that it is missing is said when a table is wanted.
            if wanted.is_empty() {
                return Ok(Keyed::new());
            }
            return Err(Error::Unsupported("this kernel has no nf_tables (CONFIG_NF_TABLES)".into()));
        };
        let found = read(namespace, before);
        // Where there was none there is nothing that might not belong together.
        let is_whole = found.as_ref().is_ok_and(Keyed::is_empty) || generation(namespace)? == Some(before);
        if is_whole {
            namespace
                .noting(|_, transcript| transcript.into_iter().for_each(|t| t.generation = Some(before)));
            return found;
        }
    }
    Err(Error::Busy(format!("nf_tables changed during each of {TRIES} readings; try again")))
}

/// The number of the ruleset's generation: every transaction makes a new one.
pub(crate) fn generation(namespace: &mut Namespace) -> Result<Option<u32>> {
    let request = request(libc::NFT_MSG_GETGEN, 0, &[]);
    let answer = match namespace.get(Protocol::Netfilter, &request) {
        Err(e) if [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)].contains(&e.errno()) => return Ok(None),
        other => other?,
    };
    let number = |dump: Dump| dump.replies().find_map(|r| Attributes::after(r.payload, NFGENMSG).get_u32(1));
    Ok(answer.and_then(number).map(u32::from_be))
}

/// A request of nf_tables with attributes that are texts.
pub(crate) fn request(kind: libc::c_int, family: u8, attributes: &[(u16, &str)]) -> Message {
    let mut payload = vec![family, 0, 0, 0];
    for (number, text) in attributes {
        payload.extend(attribute(*number, &[text.as_bytes(), &[0]].concat()));
    }
    Message::new((libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | kind as u16, 0, &payload)
}

pub(crate) fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(number.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn nested(number: u16, attributes: &[u8]) -> Vec<u8> {
    attribute(number | libc::NLA_F_NESTED as u16, attributes)
}

/// Asks for the element of `set` with `key`.
fn element_request(TableKey(family, table): &TableKey, set: &Set, key: &Key) -> Message {
    let value = attribute(NFTA_DATA_VALUE, &bytes(&set.key, key.first()));
    let element = nested(NFTA_LIST_ELEM, &nested(NFTA_SET_ELEM_KEY, &value));
    let mut payload = vec![family.number(), 0, 0, 0];
    payload.extend(attribute(NFTA_TABLE_NAME, &[table.as_str().as_bytes(), &[0]].concat()));
    payload.extend(attribute(NFTA_SET_ELEM_LIST_SET, &[set.name.as_str().as_bytes(), &[0]].concat()));
    payload.extend(nested(NFTA_SET_ELEM_LIST_ELEMENTS, &element));
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | libc::NFT_MSG_GETSETELEM as u16;
    Message::new(kind, 0, &payload)
}

pub(crate) fn dump(namespace: &mut Namespace, request: &Message) -> Result<Arc<Dump>> {
    match namespace.dump(Protocol::Netfilter, request) {
        // The table went away under way; the generation says so too.
        Err(e) if e.errno() == Some(libc::ENOENT) => Ok(Arc::default()),
        other => other,
    }
}

fn read(namespace: &mut Namespace) -> Result<Keyed<Table>> {
    let mut reader = Reader::default();
    for reply in dump(namespace, &request(libc::NFT_MSG_GETTABLE, 0, &[]))?.replies() {
        reader.see(reply.whole);
    }
    let tables = reader.tables();
    for family in Family::ALL.into_iter().filter(|family| tables.iter().any(|key| key.0 == *family)) {
        for reply in dump(namespace, &request(libc::NFT_MSG_GETCHAIN, family.number(), &[]))?.replies() {
            reader.see(reply.whole);
        }
    }
    // Of this family there may be a table for each port.
    if tables.iter().any(|key| key.0 == Family::Netdev) {
        read_rules_and_sets(namespace, &mut reader, Family::Netdev, &[])?;
    }
    for table in tables {
        if table.0 != Family::Netdev {
            read_structure(namespace, &mut reader, &table)?;
        }
        for set in reader.sets(&table) {
            read_elements(namespace, &mut reader, &table, &set)?;
        }
    }
    Ok(reader.finish())
}

/// Reads the rules and the sets of a table, without elements.
fn read_structure(namespace: &mut Namespace, reader: &mut Reader, table: &TableKey) -> Result<()> {
    // Old kernels send the rules of other tables too.
    read_rules_and_sets(namespace, reader, table.0, &[(NFTA_TABLE_NAME, table.1.as_str())])
}

/// Reads the rules and the sets, without elements, of the tables of a family that `of` narrows down.
fn read_rules_and_sets(
    namespace: &mut Namespace,
    reader: &mut Reader,
    family: Family,
    of: &[(u16, &str)],
) -> Result<()> {
    for kind in [libc::NFT_MSG_GETRULE, libc::NFT_MSG_GETSET] {
        let request = request(kind, family.number(), of);
        dump(namespace, &request)?.replies().for_each(|reply| reader.see(reply.whole));
    }
    Ok(())
}

/// Reads all elements of a set.
fn read_elements(namespace: &mut Namespace, reader: &mut Reader, table: &TableKey, set: &Name) -> Result<()> {
    let of_set = [(NFTA_TABLE_NAME, table.1.as_str()), (NFTA_SET_ELEM_LIST_SET, set.as_str())];
    let request = request(libc::NFT_MSG_GETSETELEM, table.0.number(), &of_set);
    dump(namespace, &request)?.replies().for_each(|reply| reader.see(reply.whole));
    Ok(())
}

/// Reads one table without elements; whether there is such a table.
fn read_table(namespace: &mut Namespace, reader: &mut Reader, key: &TableKey) -> Result<bool> {
    // Old kernels send the chains of other tables too.
    let of_table = [(NFTA_TABLE_NAME, key.1.as_str())];
    let asked = request(libc::NFT_MSG_GETTABLE, key.0.number(), &of_table);
    let found = namespace.get_each(Protocol::Netfilter, &[asked])?;
    found.replies().for_each(|reply| reader.see(reply.whole));
    if !reader.tables().contains(key) {
        return Ok(false);
    }
    let chains = request(libc::NFT_MSG_GETCHAIN, key.0.number(), &of_table);
    dump(namespace, &chains)?.replies().for_each(|reply| reader.see(reply.whole));
    read_structure(namespace, reader, key)?;
    Ok(true)
}

/// How many elements of a set are asked for one by one; more than that, and a dump of all is less.
const SINGLE: usize = 512;

/// Tables without their elements, as they were in one generation. Every transaction makes another one: those of our own
/// are counted, so that adding an element is no reason to read the rules again.
#[derive(Default)]
struct Structures {
    generation: u32,
    sent: Transactions,
    tables: Keyed<Table>,
}

impl Structures {
    /// Whether nothing has happened up to `generation` but transactions of ours about elements.
    fn hold(&self, generation: u32, sent: Transactions) -> bool {
        let ours = sent.all.wrapping_sub(self.sent.all);
        sent.of_structure == self.sent.of_structure && generation.wrapping_sub(self.generation) == ours
    }
}

fn read_by_key(namespace: &mut Namespace, wanted: &Keyed<Table>, generation: u32) -> Result<Keyed<Table>> {
    let mut reader = Reader::default();
    let sent = namespace.transactions();
    let mut known = std::mem::take(namespace.keepsake::<Structures>());
    if !known.hold(generation, sent) {
        known.tables = Keyed::new();
    }
    (known.generation, known.sent) = (generation, sent);
    let mut requests = Vec::new();
    for table in wanted {
        let key = table.key();
        if let Some(table) = known.tables.get(&key) {
            reader.know(table.clone());
        } else if !read_table(namespace, &mut reader, &key)? {
            continue;
        }
        known.tables.extend(reader.structure(&key).cloned());
        for name in reader.sets(&key) {
            let Some(set) = table.sets.get(&name) else { continue };
            // What an interval's key leads to depends on its neighbours; they are few, being a tree.
            if set.interval || set.elements.len() > SINGLE {
                read_elements(namespace, &mut reader, &key, &name)?;
            } else {
                requests.extend(set.elements.iter().map(|element| element_request(&key, set, &element.key)));
            }
        }
    }
    let elements = namespace.get_each(Protocol::Netfilter, &requests)?;
    elements.replies().for_each(|reply| reader.see(reply.whole));
    *namespace.keepsake() = known;
    let mut found = reader.finish();
    for (_, table) in found.with_positions_mut() {
        let Some(want) = wanted.get(&table.key()) else { continue };
        for (_, set) in table.sets.with_positions_mut().filter(|(_, set)| !set.interval) {
            if let Some(want) = want.sets.get(&set.name) {
                set.elements.retain(|element| want.elements.contains(&element.key));
            }
        }
    }
    Ok(found)
}
