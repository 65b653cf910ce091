//! What becomes of a packet by somebody's rules, said without sending one.
//!
//! The machine does what the kernel's does (`net/netfilter/nf_tables_core.c`), with three answers instead of two: what
//! depends on something that is not known here, as an expression of no sort that this crate knows or a field of the
//! packet that was left open, both matches and does not. Where both ways lead to the same end, that is the outcome;
//! where they do not, it [cannot be said](Outcome::Unsure), and the outcome says for which rule.
//!
//! It is pure: packet, rules and the answers of sets in, outcome out. Nothing that a ruleset contains panics or takes
//! more than [`STEPS`] instructions.

mod fields;
mod packet;
mod registers;
mod steps;
mod xtables;

pub use packet::{Conntrack, Interface, Packet, Side};

use smol_str::SmolStr;

use crate::ruleset::{Jump, RulesetChain, RulesetTable, Sets};
use crate::{Family, Hook, Policy};

/// The most instructions for one packet in one base chain.
pub const STEPS: usize = 500_000;

/// The deepest nesting of jumps (`NFT_JUMP_STACK_SIZE`).
const DEPTH: usize = 16;

/// What becomes of a packet in one base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Pass,
    /// It is dropped or rejected.
    Drop(Place),
    /// It is dropped or goes on, by something that is not known here.
    Unsure {
        /// Where it is dropped, if it is.
        drop: Place,
        /// The rule that decides.
        by: Place,
        /// What is not known of it: `match hashlimit`.
        what: String,
    },
}

/// A place in a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The chain.
    pub chain: SmolStr,
    /// Which rule of it, from 0; `None` for its policy.
    pub rule: Option<usize>,
}

/// An outcome, and what else happened on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The outcome.
    pub outcome: Outcome,
    /// The first rule that translates its addresses, or may.
    pub translated: Option<Place>,
}

/// Runs `packet` through the base chain `chain` of `table`. What rules do to its mark, its addresses and its connection
/// is done to `packet`.
pub fn run(
    table: &RulesetTable,
    chain: &RulesetChain,
    packet: &mut Packet,
    sets: &mut dyn Sets,
) -> Judgement {
    let tracked = packet.conntrack;
    let is_early = is_before_conntrack(table, chain);
    if is_early {
        packet.conntrack = Some(Conntrack::INVALID);
    }
    let mut machine = Machine {
        table,
        packet: &mut *packet,
        sets,
        steps: 0,
        perhaps: 0,
        doubt: None,
        translated: None,
        registers: registers::Registers::default(),
    };
    let mut fate = machine.walk(chain, 0);
    if fate.returns {
        match chain.base.as_ref().map(|base| base.policy) {
            Some(Policy::Drop) => {
                fate.drops.get_or_insert(Place { chain: chain.name.clone(), rule: None });
            }
            _ => fate.accepts = true,
        }
    }
    let (translated, doubt) = (machine.translated, machine.doubt);
    if is_early && packet.conntrack == Some(Conntrack::INVALID) {
        packet.conntrack = tracked;
    }
    let outcome = match (fate.drops, fate.accepts) {
        (None, _) => Outcome::Pass,
        (Some(drop), false) => Outcome::Drop(drop),
        (Some(drop), true) => {
            let (by, what) = doubt.unwrap_or_else(|| (drop.clone(), "?".into()));
            Outcome::Unsure { drop, by, what }
        }
    };
    Judgement { outcome, translated }
}

/// Whether packets come to `chain` before conntrack looks at them, as to the chains of `raw`: to rules all are invalid.
fn is_before_conntrack(table: &RulesetTable, chain: &RulesetChain) -> bool {
    const CONNTRACK: i32 = -200;
    let of_ip = matches!(table.family, Family::Ip | Family::Ip6 | Family::Inet);
    chain.base.as_ref().is_some_and(|base| match base.hook {
        Hook::Ingress | Hook::Egress => true,
        Hook::Prerouting | Hook::Output => of_ip && base.priority <= CONNTRACK,
        _ => false,
    })
}

/// How a packet may leave a chain.
#[derive(Debug, Default)]
struct Fate {
    accepts: bool,
    drops: Option<Place>,
    /// By its end, back to where it came from.
    returns: bool,
}

impl Fate {
    fn join(&mut self, other: Self) {
        self.accepts |= other.accepts;
        if self.drops.is_none() {
            self.drops = other.drops;
        }
    }
}

/// Whether a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Matched {
    Yes,
    No,
    /// It depends on this.
    Perhaps(String),
}

/// What a rule does where it matches.
enum Action {
    Next,
    Go(Jump),
    /// By something that is not known.
    Somehow(String),
}

struct Machine<'a> {
    table: &'a RulesetTable,
    packet: &'a mut Packet,
    sets: &'a mut dyn Sets,
    steps: usize,
    /// How many rules on the way here matched only perhaps.
    perhaps: usize,
    /// The first rule on which it depends, and by what.
    doubt: Option<(Place, String)>,
    translated: Option<Place>,
    registers: registers::Registers,
}

impl Machine<'_> {
    fn walk(&mut self, chain: &RulesetChain, depth: usize) -> Fate {
        let mut fate = Fate::default();
        for (n, rule) in chain.rules.iter().enumerate() {
            let place = || Place { chain: chain.name.clone(), rule: Some(n) };
            let (matched, action) = if self.steps > STEPS {
                (Matched::Yes, Action::Somehow("more rules than are looked at".into()))
            } else {
                self.rule(rule, &place)
            };
            let surely = match (&matched, &action) {
                (Matched::No, _) | (_, Action::Next) => continue,
                (Matched::Yes, _) => true,
                (Matched::Perhaps(what), _) => {
                    self.doubt.get_or_insert_with(|| (place(), what.clone()));
                    false
                }
            };
            let to = match action {
                Action::Next | Action::Go(Jump::Continue) => continue,
                Action::Go(Jump::Jump(to) | Jump::Goto(to)) if depth >= DEPTH => {
                    Action::Somehow(format!("jump {to}"))
                }
                other => other,
            };
            match to {
                Action::Go(Jump::Accept) => fate.accepts = true,
                Action::Go(Jump::Drop) => {
                    fate.drops.get_or_insert_with(place);
                }
                Action::Go(Jump::Return) => fate.returns = true,
                Action::Go(ref go @ (Jump::Jump(ref to) | Jump::Goto(ref to))) => {
                    let table = self.table;
                    let Some(there) = table.chains.get(to) else { continue };
                    self.perhaps += usize::from(!surely);
                    let sub = self.walk(there, depth + 1);
                    self.perhaps -= usize::from(!surely);
                    let (returns, goes) = (sub.returns, matches!(go, Jump::Goto(_)));
                    fate.join(sub);
                    if returns && goes {
                        fate.returns = true;
                    } else if returns {
                        continue;
                    }
                }
                Action::Go(Jump::Continue) | Action::Next => continue,
                Action::Go(Jump::Queue) => self.somehow(&mut fate, &place, "queue"),
                Action::Somehow(what) => self.somehow(&mut fate, &place, &what),
            }
            if surely {
                return fate;
            }
        }
        fate.returns = true;
        fate
    }

    fn somehow(&mut self, fate: &mut Fate, place: &dyn Fn() -> Place, what: &str) {
        self.doubt.get_or_insert_with(|| (place(), what.to_owned()));
        fate.accepts = true;
        fate.drops.get_or_insert_with(place);
    }
}
