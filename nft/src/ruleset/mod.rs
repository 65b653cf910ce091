//! Rulesets as they are found, whoever made them: any name, any expression, sets of any type. They are read to be
//! evaluated ([`crate::evaluate`]), never to be written.
//!
//! What this crate does not know of an expression makes a [`Step::Unknown`], with which the evaluation says that it
//! cannot say. Elements are not read: a set can have millions, and the kernel answers for one key ([`Sets`]).

mod compat;
mod kernel;
mod ours;
mod read;
mod step;
mod text;

use std::collections::BTreeMap;

use smol_str::SmolStr;

pub use compat::{Match, Target};
pub use kernel::{KernelSets, foreign_ruleset};
pub use ours::OwnSets;
pub use read::read;
pub use step::{Destination, Jump, Step};

use crate::{ChainType, Family, Hook, Policy};

/// The tables of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// The tables, in the kernel's order.
    pub tables: Vec<RulesetTable>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct RulesetTable {
    /// Its family.
    pub family: Family,
    /// Its name: `filter`, `firewalld`.
    pub name: SmolStr,
    /// Whether it is switched off (`flags dormant`).
    pub dormant: bool,
    /// Its chains by name.
    pub chains: BTreeMap<SmolStr, RulesetChain>,
    /// Its sets and maps by name, anonymous ones (`__set0`) included.
    pub sets: BTreeMap<SmolStr, RulesetSet>,
}

/// A chain.
#[derive(Clone, Debug)]
pub struct RulesetChain {
    /// Its name: `FORWARD`, `DOCKER-USER`.
    pub name: SmolStr,
    /// Where packets enter it; `None` for one that only other chains lead to.
    pub base: Option<RulesetBase>,
    /// Its rules in their order.
    pub rules: Vec<RulesetRule>,
}

/// Where a base chain hooks in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesetBase {
    /// What it is for. A chain of type [`ChainType::Nat`] sees the first packet of a connection only.
    pub kind: ChainType,
    /// Where on the packet's way.
    pub hook: Hook,
    /// The order among the chains of a hook; lower is earlier.
    pub priority: i32,
    /// What becomes of a packet that no rule decided on.
    pub policy: Policy,
    /// The devices of an ingress or egress hook.
    pub devices: Vec<SmolStr>,
}

/// A rule.
#[derive(Clone, Debug, Default)]
pub struct RulesetRule {
    /// The kernel's number for it in its table: `nft -a list chain …` shows it.
    pub handle: u64,
    /// Its instructions.
    pub steps: Vec<Step>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A set or map, without its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesetSet {
    /// The length of its keys in bytes.
    pub key_length: usize,
    /// Whether its data are verdicts.
    pub verdicts: bool,
    /// Whether its elements have expressions of their own: a limit, a count.
    pub stateful: bool,
}

/// Answers for the elements of sets.
pub trait Sets {
    /// Looks `key` up, as a packet would.
    fn find(&mut self, table: &RulesetTable, set: &str, key: &[u8]) -> Found;
}

/// What a set has for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// An element of a set.
    Element,
    /// An element of a map, and its data.
    Data(Vec<u8>),
    /// An element of a verdict map.
    Verdict(Jump),
    /// It cannot be said.
    Unknown,
}

impl Ruleset {
    /// The chains that packets enter at `hook` in tables of one of `families`, in the order in which they do.
    pub fn at(&self, families: &[Family], hook: Hook) -> Vec<(&RulesetTable, &RulesetChain)> {
        let tables = self.tables.iter().filter(|table| !table.dormant && families.contains(&table.family));
        let chains = tables.flat_map(|table| table.chains.values().map(move |chain| (table, chain)));
        let mut chains: Vec<_> =
            chains.filter_map(|(table, chain)| Some((chain.base.as_ref()?, table, chain))).collect();
        chains.retain(|(base, ..)| base.hook == hook);
        chains.sort_by_key(|(base, ..)| base.priority);
        chains.into_iter().map(|(_, table, chain)| (table, chain)).collect()
    }
}
