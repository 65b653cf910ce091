//! Chains and their rules in the kernel's words.

use std::sync::{Arc, Mutex, PoisonError};

use guestnet_core::{Message, Object, Result, Set as Keyed};
use nftnl::MsgType;
use nftnl::nftnl_sys as c;

use crate::encode::{CREATE, c_kind, raw_table, with_flags};
use crate::sys::{self, RawChain};
use crate::{Chain, Policy, Rule, Table, TableKey};

const APPEND: u16 = (libc::NLM_F_CREATE | libc::NLM_F_APPEND) as u16;

/// What makes the chains of a table, and what fills them.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(crate) chains: Vec<Message>,
    pub(crate) rules: Vec<Message>,
}

/// Chains that were encoded lately: guests that have namespaces of their own all have the same.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// How many are known at once.
const MOST: usize = 8;

struct Known {
    table: TableKey,
    chains: Keyed<Chain>,
    messages: Arc<Messages>,
}

/// What makes the chains of `table` and fills them.
pub(crate) fn messages(table: &Table) -> Result<Arc<Messages>> {
    if table.device().is_some() {
        // Each device has its own.
        return Ok(Arc::new(encode(table)?));
    }
    let key = table.key();
    let is_it = |known: &&Known| known.table == key && known.chains == table.chains;
    // Nothing that can panic happens while it is held.
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known().iter().find(is_it) {
        return Ok(Arc::clone(&known.messages));
    }
    let messages = Arc::new(encode(table)?);
    let mut known = known();
    known.truncate(MOST - 1);
    known.insert(0, Known { table: key, chains: table.chains.clone(), messages: Arc::clone(&messages) });
    Ok(messages)
}

fn encode(table: &Table) -> Result<Messages> {
    let raw = raw_table(table);
    let mut messages = Messages { chains: Vec::new(), rules: Vec::new() };
    for chain in &table.chains {
        let message = raw_chain(table, chain);
        let message = message.message(c_kind(libc::NFT_MSG_NEWCHAIN), table.family.number(), CREATE);
        messages.chains.push(Message::from_bytes(message)?);
        let raw_chain = nftnl::Chain::new(sys::c_string(chain.name.as_str()), &raw);
        for rule in &chain.rules {
            let message = with_flags(sys::write(&raw_rule(&raw_chain, rule), MsgType::Add), APPEND);
            messages.rules.push(Message::from_bytes(message)?);
        }
    }
    Ok(messages)
}

/// The safe crate knows neither several devices nor hooks whose numbers depend on the family.
fn raw_chain(table: &Table, chain: &Chain) -> RawChain {
    let mut raw = RawChain::new();
    raw.set_str(c::NFTNL_CHAIN_TABLE, table.name.as_str());
    raw.set_str(c::NFTNL_CHAIN_NAME, chain.name.as_str());
    if let Some(base) = &chain.base {
        raw.set_str(c::NFTNL_CHAIN_TYPE, &base.kind.to_string());
        raw.set_u32(c::NFTNL_CHAIN_HOOKNUM, base.hook.number(table.family).unwrap_or(u32::MAX));
        raw.set_u32(c::NFTNL_CHAIN_PRIO, base.priority.cast_unsigned());
        raw.set_u32(c::NFTNL_CHAIN_POLICY, if base.policy == Policy::Drop { 0 } else { 1 });
        let mut devices = base.devices.iter().map(|device| device.as_str());
        match base.devices.len() {
            0 => {}
            1 => devices.for_each(|device| raw.set_str(c::NFTNL_CHAIN_DEV, device)),
            _ => raw.set_devices(&mut devices),
        }
    }
    raw
}

fn raw_rule<'a>(chain: &'a nftnl::Chain<'_>, rule: &Rule) -> nftnl::Rule<'a> {
    let mut raw = nftnl::Rule::new(chain);
    rule.expressions.iter().for_each(|expression| raw.add_expr(expression));
    if let Some(comment) = &rule.comment {
        // One that is too long is reported by the check; here it would be left out.
        let _ = raw.set_comment(sys::c_string(comment));
    }
    raw
}
