//! Tables of this crate's own as rulesets, to be evaluated as others' are.

use smol_str::SmolStr;

use super::step::Destination;
use super::{
    Found, Jump, Ruleset, RulesetBase, RulesetChain, RulesetRule, RulesetSet, RulesetTable, Sets, Step,
};
use crate::{Chain, Data, DataType, Element, Expr, MapType, Rule, Set, Table, Verdict};

impl<'a> FromIterator<&'a Table> for Ruleset {
    fn from_iter<T: IntoIterator<Item = &'a Table>>(tables: T) -> Self {
        Self { tables: tables.into_iter().map(table).collect() }
    }
}

fn table(table: &Table) -> RulesetTable {
    let set = |set: &Set| RulesetSet {
        key_length: DataType::total(&set.key),
        verdicts: set.data == Some(MapType::Verdict),
        stateful: set.stateful.is_some(),
    };
    RulesetTable {
        family: table.family,
        name: table.name.as_str().into(),
        dormant: false,
        chains: table.chains.iter().map(|c| (SmolStr::from(c.name.as_str()), chain(c))).collect(),
        sets: table.sets.iter().map(|s| (SmolStr::from(s.name.as_str()), set(s))).collect(),
    }
}

fn chain(chain: &Chain) -> RulesetChain {
    let base = chain.base.as_ref().map(|base| RulesetBase {
        kind: base.kind,
        hook: base.hook,
        priority: base.priority,
        policy: base.policy,
        devices: base.devices.iter().map(|name| name.as_str().into()).collect(),
    });
    let rule = |rule: &Rule| RulesetRule {
        handle: 0,
        steps: rule.expressions.iter().map(step).collect(),
        comment: rule.comment.clone(),
    };
    RulesetChain { name: chain.name.as_str().into(), base, rules: chain.rules.iter().map(rule).collect() }
}

fn step(expression: &Expr) -> Step {
    match expression {
        Expr::Verdict(verdict) => Step::Verdict(verdict.into()),
        Expr::Lookup(e) => {
            Step::Lookup { set: e.set.as_str().into(), register: e.register, to: None, invert: e.invert }
        }
        Expr::Dynset(e) => Step::Notes(e.set.as_str().into()),
        Expr::Map(e) => {
            let to = Some(Destination::Register(e.to));
            Step::Lookup { set: e.map.as_str().into(), register: e.register, to, invert: false }
        }
        Expr::VerdictMap(e) => {
            let to = Some(Destination::Verdict);
            Step::Lookup { set: e.map.as_str().into(), register: e.register, to, invert: false }
        }
        Expr::Byteorder(e) => Step::Byteorder { from: e.register, to: e.register, length: 2, size: 2 },
        Expr::Unknown(e) => Step::Unknown(e.name.as_str().into()),
        other => Step::Known(other.clone()),
    }
}

impl From<&Verdict> for Jump {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Accept => Self::Accept,
            Verdict::Drop => Self::Drop,
            Verdict::Continue => Self::Continue,
            Verdict::Return => Self::Return,
            Verdict::Jump(chain) => Self::Jump(chain.as_str().into()),
            Verdict::Goto(chain) => Self::Goto(chain.as_str().into()),
        }
    }
}

/// Answers by what tables of this crate's have.
pub struct OwnSets<'a>(pub Vec<&'a Table>);

impl Sets for OwnSets<'_> {
    fn find(&mut self, table: &RulesetTable, set: &str, key: &[u8]) -> Found {
        let of_name = |t: &&&Table| t.family == table.family && t.name.as_str() == table.name;
        let set = self.0.iter().find(of_name).and_then(|t| t.sets.iter().find(|s| s.name.as_str() == set));
        let Some(set) = set else { return Found::Unknown };
        match set.elements.iter().find(|element| holds(set, element, key)) {
            Some(_) if set.stateful.as_ref().is_some_and(|stateful| !stateful.holds_one()) => Found::Nothing,
            None => Found::Nothing,
            Some(element) => match &element.data {
                None => Found::Element,
                Some(Data::Verdict(verdict)) => Found::Verdict((&**verdict).into()),
                Some(Data::Values(values)) => match &set.data {
                    Some(MapType::Values(types)) => Found::Data(crate::setelem::bytes(types, values)),
                    _ => Found::Unknown,
                },
            },
        }
    }
}

/// Whether each part of `key` is in the element's interval; each is filled up to a whole register.
fn holds(set: &Set, element: &Element, key: &[u8]) -> bool {
    let mut at = 0;
    let mut ends = element.key.first().iter().zip(element.key.last()).zip(&set.key);
    ends.all(|((first, last), data)| {
        let (first, last) = (first.bytes(*data), last.bytes(*data));
        let part = key.get(at..at + first.len());
        at += first.len().next_multiple_of(4);
        part.is_some_and(|part| first[..] <= *part && *part <= last[..])
    })
}
