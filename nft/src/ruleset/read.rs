//! Understanding what the kernel says of anybody's tables. Nothing that it can say panics.

use std::collections::BTreeMap;

use guestnet_core::netlink::Attributes;
use smol_str::SmolStr;

use super::{Ruleset, RulesetBase, RulesetChain, RulesetRule, RulesetSet, RulesetTable, Step};
use crate::encode::VERDICT;
use crate::uapi::*;
use crate::view::View;
use crate::{ChainType, Family, Hook, Policy, userdata};

const NFT_TABLE_F_DORMANT: u32 = 1;
const NFTA_RULE_HANDLE: u16 = 3;

/// The tables that netlink messages tell of, header included, whose names are `wanted`. Tables come before chains and
/// sets, chains before rules.
pub fn read<'a>(messages: impl IntoIterator<Item = &'a [u8]>, wanted: impl Fn(&str) -> bool) -> Ruleset {
    let mut reader = Reader::default();
    messages.into_iter().for_each(|message| reader.see(message, &wanted));
    Ruleset { tables: reader.tables }
}

/// Tables, and where they are among the others: rules come by the ten thousands.
#[derive(Default)]
struct Reader {
    tables: Vec<RulesetTable>,
    positions: BTreeMap<(Family, SmolStr), usize>,
}

impl Reader {
    fn see(&mut self, message: &[u8], wanted: impl Fn(&str) -> bool) {
        let [_, _, _, _, kind, subsystem, ..] = *message else { return };
        let Some(family) = message.get(HEADER).copied().and_then(Family::from_number) else { return };
        if libc::c_int::from(subsystem) != libc::NFNL_SUBSYS_NFTABLES {
            return;
        }
        let raw = View::new(Attributes::after(message, HEADER + NFGENMSG));
        let Some(name) = raw.text(NFTA_TABLE_NAME).filter(|name| wanted(name)) else { return };
        let key = (family, SmolStr::from(name));
        let kind = libc::c_int::from(kind);
        if kind == libc::NFT_MSG_NEWTABLE {
            let dormant = raw.u32(NFTA_TABLE_FLAGS).unwrap_or(0) & NFT_TABLE_F_DORMANT != 0;
            let name = key.1.clone();
            self.positions.insert(key, self.tables.len());
            self.tables.push(RulesetTable {
                family,
                name,
                dormant,
                chains: BTreeMap::new(),
                sets: BTreeMap::new(),
            });
            return;
        }
        let Some(table) = self.positions.get(&key).and_then(|at| self.tables.get_mut(*at)) else { return };
        match kind {
            libc::NFT_MSG_NEWCHAIN => {
                if let Some(chain) = chain(&raw, family) {
                    table.chains.insert(chain.name.clone(), chain);
                }
            }
            libc::NFT_MSG_NEWRULE => {
                let chain = raw.text(NFTA_RULE_CHAIN).and_then(|name| table.chains.get_mut(name));
                chain.into_iter().for_each(|chain| chain.rules.push(rule(&raw)));
            }
            libc::NFT_MSG_NEWSET => {
                if let Some((name, set)) = set(&raw) {
                    table.sets.insert(name, set);
                }
            }
            _ => {}
        }
    }
}

fn chain(raw: &View<'_>, family: Family) -> Option<RulesetChain> {
    let base = raw.nested(NFTA_CHAIN_HOOK).and_then(|hook| base(raw, &hook, family));
    Some(RulesetChain { name: raw.text(NFTA_CHAIN_NAME)?.into(), base, rules: Vec::new() })
}

fn base(raw: &View<'_>, hook: &View<'_>, family: Family) -> Option<RulesetBase> {
    let devices = hook.nested(NFTA_HOOK_DEVS).map(|list| list.texts()).unwrap_or_default();
    Some(RulesetBase {
        kind: match raw.text(NFTA_CHAIN_TYPE)? {
            "nat" => ChainType::Nat,
            "route" => ChainType::Route,
            _ => ChainType::Filter,
        },
        hook: Hook::from_number(hook.u32(NFTA_HOOK_HOOKNUM)?, family)?,
        priority: hook.u32(NFTA_HOOK_PRIORITY)?.cast_signed(),
        policy: if raw.u32(NFTA_CHAIN_POLICY) == Some(0) { Policy::Drop } else { Policy::Accept },
        devices: devices.into_iter().chain(hook.text(NFTA_HOOK_DEV)).map(Into::into).collect(),
    })
}

fn rule(raw: &View<'_>) -> RulesetRule {
    let step = |raw: View<'_>| {
        let attributes = raw.nested(NFTA_EXPR_DATA).unwrap_or_default();
        Step::read(raw.text(NFTA_EXPR_NAME).unwrap_or("?"), &attributes)
    };
    RulesetRule {
        handle: raw.number(NFTA_RULE_HANDLE).unwrap_or(0),
        steps: raw.list(NFTA_RULE_EXPRESSIONS).map(step).collect(),
        comment: raw.get(NFTA_RULE_USERDATA).and_then(userdata::read_comment),
    }
}

fn set(raw: &View<'_>) -> Option<(SmolStr, RulesetSet)> {
    let set = RulesetSet {
        key_length: raw.u32(NFTA_SET_KEY_LEN)? as usize,
        verdicts: raw.u32(NFTA_SET_DATA_TYPE) == Some(VERDICT),
        stateful: raw.get(NFTA_SET_EXPR).or(raw.get(NFTA_SET_EXPRESSIONS)).is_some(),
    };
    Some((raw.text(NFTA_SET_NAME)?.into(), set))
}
