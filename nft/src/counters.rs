//! What the counters of rules have counted. It is no part of what a table is: a table that has counted equals one that
//! has not.

use guestnet_core::netlink::Attributes;
use guestnet_core::{Error, Namespace, Protocol, Result};

use crate::observe::request;
use crate::uapi::*;
use crate::view::View;
use crate::{Family, TableKey, userdata};

/// A rule with a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The name of the table.
    pub table: String,
    /// The chain of the rule.
    pub chain: String,
    /// The words of the rule.
    pub comment: Option<String>,
    /// How many packets came to the counter since the rule was made.
    pub packets: u64,
    /// How many bytes they had, from the network header on; of frames on a bridge from the Ethernet header on.
    pub bytes: u64,
}

const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;

/// The counters of a table's rules, in their order: `nft list table FAMILY NAME`. None where there is no such table.
///
/// # Errors
/// When the kernel cannot be read.
pub fn counters(namespace: &mut Namespace, TableKey(family, name): &TableKey) -> Result<Vec<Count>> {
    let mut counts = read(namespace, *family, &[(NFTA_TABLE_NAME, name.as_str())])?;
    // Old kernels send the rules of other tables too.
    counts.retain(|count| count.table == name.as_str());
    Ok(counts)
}

/// The counters of the rules of all tables of a family, whosever they are.
///
/// # Errors
/// When the kernel cannot be read.
pub fn counters_of(namespace: &mut Namespace, family: Family) -> Result<Vec<Count>> {
    read(namespace, family, &[])
}

fn read(namespace: &mut Namespace, family: Family, of: &[(u16, &str)]) -> Result<Vec<Count>> {
    let request = request(libc::NFT_MSG_GETRULE, family.number(), of);
    let dump = match namespace.dump(Protocol::Netfilter, &request) {
        Err(Error::Kernel(e)) if e.errno == libc::ENOENT => return Ok(Vec::new()),
        other => other?,
    };
    let rules = dump.replies().map(|reply| View::new(Attributes::after(reply.payload, NFGENMSG)));
    Ok(rules.filter_map(|rule| count(&rule)).collect())
}

fn count(rule: &View<'_>) -> Option<Count> {
    let counter = rule.list(NFTA_RULE_EXPRESSIONS).find(|e| e.text(NFTA_EXPR_NAME) == Some("counter"))?;
    let counter = counter.nested(NFTA_EXPR_DATA)?;
    Some(Count {
        table: rule.text(NFTA_TABLE_NAME)?.to_owned(),
        chain: rule.text(NFTA_RULE_CHAIN)?.to_owned(),
        comment: rule.get(NFTA_RULE_USERDATA).and_then(userdata::read_comment),
        packets: counter.number(NFTA_COUNTER_PACKETS)?,
        bytes: counter.number(NFTA_COUNTER_BYTES)?,
    })
}
