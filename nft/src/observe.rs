//! Asking the kernel for the tables that are ours.

use guestnet_core::netlink::{Attributes, Dump};
use guestnet_core::{Error, Message, Namespace, Observed, Protocol, Result, Set as Keyed};

use crate::read::{NFGENMSG, Reader};
use crate::{Family, Table, TableKey};

/// How often tables are read again when somebody changes them meanwhile.
const TRIES: usize = 16;

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
pub(crate) fn request(kind: libc::c_int, family: u8, attributes: &[(u16, &str)]) -> Message {
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
    for TableKey(family, name) in tables {
        // NFTA_RULE_TABLE and NFTA_SET_TABLE are 1. Old kernels send the rules of other tables too.
        for kind in [libc::NFT_MSG_GETRULE, libc::NFT_MSG_GETSET] {
            let request = request(kind, family.number(), &[(1, name.as_str())]);
            for reply in dump(namespace, &request)?.replies() {
                reader.see(reply.whole);
            }
        }
        for set in reader.sets(&TableKey(family, name.clone())) {
            // NFTA_SET_ELEM_LIST_TABLE is 1, NFTA_SET_ELEM_LIST_SET 2.
            let of_set = [(1, name.as_str()), (2, set.as_str())];
            for reply in
                dump(namespace, &request(libc::NFT_MSG_GETSETELEM, family.number(), &of_set))?.replies()
            {
                reader.see(reply.whole);
            }
        }
    }
    Ok(reader.finish())
}
