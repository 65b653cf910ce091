//! Asking the kernel.

use std::collections::HashMap;

use guestnet_core::netlink::Attributes;
use guestnet_core::owner::TABLE_PREFIX;
use guestnet_core::{Message, Namespace, Protocol, Result};

use super::{Found, Jump, Ruleset, RulesetTable, Sets};
use crate::observe::{attribute, dump, generation, nested, request};
use crate::uapi::*;
use crate::view::View;

/// How often it is read again when somebody changes it meanwhile; then it is taken as it is.
const TRIES: usize = 4;

/// Reads all tables of `namespace` that are not guestnet's, without the elements of their sets.
///
/// # Errors
/// When they cannot be read.
pub fn foreign_ruleset(namespace: &mut Namespace) -> Result<Ruleset> {
    if !namespace.speaks(Protocol::Netfilter) {
        return Ok(Ruleset::default());
    }
    for _ in 1..TRIES {
        let Some(before) = generation(namespace)? else { return Ok(Ruleset::default()) };
        let found = once(namespace)?;
        if generation(namespace)? == Some(before) {
            return Ok(found);
        }
    }
    once(namespace)
}

fn once(namespace: &mut Namespace) -> Result<Ruleset> {
    let kinds = [libc::NFT_MSG_GETTABLE, libc::NFT_MSG_GETCHAIN, libc::NFT_MSG_GETSET, libc::NFT_MSG_GETRULE];
    let mut dumps = Vec::new();
    for kind in kinds {
        // Of all families at once.
        dumps.push(dump(namespace, &request(kind, 0, &[]))?);
    }
    let messages = dumps.iter().flat_map(|dump| dump.replies()).map(|reply| reply.whole);
    Ok(super::read(messages, |name| !name.starts_with(TABLE_PREFIX)))
}

/// Asks a namespace for elements, each key once.
pub struct KernelSets<'a> {
    namespace: &'a mut Namespace,
    known: HashMap<Asked, Found>,
}

type Asked = (u8, String, String, Vec<u8>);

impl<'a> KernelSets<'a> {
    /// Answers by what `namespace` has.
    pub fn new(namespace: &'a mut Namespace) -> Self {
        Self { namespace, known: HashMap::new() }
    }

    fn ask(&mut self, table: &RulesetTable, set: &str, key: &[u8]) -> Found {
        let text = |text: &str| [text.as_bytes(), &[0]].concat();
        let element = nested(NFTA_LIST_ELEM, &nested(NFTA_SET_ELEM_KEY, &attribute(NFTA_DATA_VALUE, key)));
        let mut payload = vec![table.family.number(), 0, 0, 0];
        payload.extend(attribute(NFTA_TABLE_NAME, &text(&table.name)));
        payload.extend(attribute(NFTA_SET_ELEM_LIST_SET, &text(set)));
        payload.extend(nested(NFTA_SET_ELEM_LIST_ELEMENTS, &element));
        let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | libc::NFT_MSG_GETSETELEM as u16;
        let request = Message::new(kind, 0, &payload);
        match self.namespace.get_each(Protocol::Netfilter, &[request]) {
            Ok(answers) => answers.replies().next().map_or(Found::Nothing, |reply| {
                let raw = View::new(Attributes::after(reply.payload, NFGENMSG));
                raw.list(NFTA_SET_ELEM_LIST_ELEMENTS).next().map_or(Found::Unknown, |e| element_of(&e))
            }),
            Err(_) => Found::Unknown,
        }
    }
}

fn element_of(raw: &View<'_>) -> Found {
    let has = |kind| raw.get(kind).is_some();
    // A limit or a quota of its own may keep it from matching.
    if has(NFTA_SET_ELEM_EXPR) || has(NFTA_SET_ELEM_EXPRESSIONS) || has(NFTA_SET_ELEM_OBJREF) {
        return Found::Unknown;
    }
    match raw.nested(NFTA_SET_ELEM_DATA) {
        None => Found::Element,
        Some(data) => match (Jump::read(&data), data.register()) {
            (Some(jump), _) => Found::Verdict(jump),
            (None, Some(bytes)) => Found::Data(bytes.to_vec()),
            (None, None) => Found::Unknown,
        },
    }
}

impl Sets for KernelSets<'_> {
    fn find(&mut self, table: &RulesetTable, set: &str, key: &[u8]) -> Found {
        let asked = (table.family.number(), table.name.to_string(), set.to_owned(), key.to_vec());
        if let Some(known) = self.known.get(&asked) {
            return known.clone();
        }
        let found = self.ask(table, set, key);
        self.known.insert(asked, found.clone());
        found
    }
}
