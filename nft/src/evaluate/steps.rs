//! What each instruction does.

use super::fields::Load;
use super::packet::Conntrack;
use super::{Action, Machine, Matched, Place};
use crate::Expr;
use crate::expr::{Bitwise, CmpOp, CtKey, MetaKey, Register};
use crate::ruleset::{Destination, Found, Jump, RulesetRule, Step, Target};

/// What an instruction says of its rule.
enum Said {
    Yes,
    No,
    Perhaps(String),
    Done(Action),
}

impl Machine<'_> {
    /// Whether `rule` matches, and what it does then.
    pub(super) fn rule(&mut self, rule: &RulesetRule, place: &dyn Fn() -> Place) -> (Matched, Action) {
        let mut matched = Matched::Yes;
        for step in &rule.steps {
            self.steps += 1;
            let surely = matched == Matched::Yes && self.perhaps == 0;
            match self.step(step, surely, place) {
                Said::Yes => {}
                Said::No => return (Matched::No, Action::Next),
                Said::Perhaps(what) if matched == Matched::Yes => matched = Matched::Perhaps(what),
                Said::Perhaps(_) => {}
                Said::Done(action) => return (matched, action),
            }
        }
        (matched, Action::Next)
    }

    fn step(&mut self, step: &Step, surely: bool, place: &dyn Fn() -> Place) -> Said {
        match step {
            Step::Known(expression) => self.known(expression, surely),
            Step::Byteorder { from, to, length, size } => {
                match self.registers.get(*from, *length).map(|bytes| swapped(bytes, *size)) {
                    Some(bytes) => self.registers.store(*to, &bytes),
                    None => self.registers.forget(*to, *length),
                }
                Said::Yes
            }
            Step::Verdict(jump) => Said::Done(Action::Go(jump.clone())),
            Step::Lookup { set, register, to, invert } => self.lookup(set, *register, *to, *invert),
            Step::Match(found) => match super::xtables::matches(self.packet, found) {
                Matched::Yes => Said::Yes,
                Matched::No => Said::No,
                Matched::Perhaps(what) => Said::Perhaps(what),
            },
            Step::Target(target) => self.target(target, surely, place),
            Step::Translate(_) => self.translate(place),
            Step::Notes(set) if self.table.sets.get(set).is_none_or(|set| set.stateful) => {
                Said::Perhaps(format!("what set {set} has seen"))
            }
            Step::Notes(_) | Step::Nothing(_) => Said::Yes,
            Step::Unknown(name) => {
                self.registers.forget_all();
                Said::Perhaps(format!("expression {name}"))
            }
        }
    }

    fn known(&mut self, expression: &Expr, surely: bool) -> Said {
        match expression {
            Expr::Meta(e) => self.load(e.register, e.key.size(), self.packet.meta(e.key)),
            Expr::Payload(e) => {
                self.load(e.register, e.length as usize, self.packet.payload(e.base, e.offset, e.length))
            }
            Expr::Ct(e) => self.load(e.register, e.key.size(), self.packet.ct(e)),
            Expr::Exthdr(e) => self.load(e.register, e.length as usize, self.packet.exthdr(e)),
            Expr::Fib(e) => self.load(e.register, 16, self.packet.fib(e)),
            Expr::Rt(e) => self.load(e.register, 16, Load::Unknown),
            Expr::Immediate(e) => self.load(e.register, 0, Load::Bytes(e.data.0.clone())),
            Expr::Bitwise(e) => {
                let masked = self.registers.get(e.register, e.mask.0.len()).map(|bytes| bits(bytes, e));
                self.load(e.to, e.mask.0.len(), masked.into())
            }
            Expr::Cmp(e) => {
                self.compare(e.register, e.data.0.len(), "cmp", |found| holds(e.op, found, &e.data.0))
            }
            Expr::Range(e) => self.compare(e.register, e.first.0.len(), "range", |found| {
                (e.first.0[..] <= *found && *found <= e.last.0[..]) != e.invert
            }),
            // A packet that comes alone is within every limit.
            Expr::Limit(e) => {
                if e.over {
                    Said::No
                } else {
                    Said::Yes
                }
            }
            // The others that there are, are not known.
            Expr::Connlimit(e) => Said::Perhaps(e.to_string()),
            Expr::Reject(_) => Said::Done(Action::Go(Jump::Drop)),
            Expr::Notrack(_) => {
                self.packet.conntrack = surely.then_some(Conntrack::UNTRACKED);
                Said::Yes
            }
            Expr::MetaSet(e) => {
                if e.key == MetaKey::Mark {
                    self.packet.mark = self.number(e.register).filter(|_| surely);
                }
                Said::Yes
            }
            Expr::CtSet(e) => {
                let mark = self.number(e.register).filter(|_| surely);
                if let (CtKey::Mark, Some(connection)) = (e.key, &mut self.packet.conntrack) {
                    connection.mark = mark;
                }
                Said::Yes
            }
            Expr::PayloadWrite(e) => {
                if let (Some(bytes), true) = (self.registers.get(e.register, e.length as usize), surely) {
                    self.packet.write(e.base, e.offset, bytes);
                }
                Said::Yes
            }
            Expr::Counter(_) | Expr::Log(_) | Expr::ExthdrWrite(_) => Said::Yes,
            Expr::Verdict(verdict) => Said::Done(Action::Go(verdict.into())),
            // Those that name sets are steps of their own.
            Expr::Lookup(_)
            | Expr::Map(_)
            | Expr::VerdictMap(_)
            | Expr::Dynset(_)
            | Expr::Byteorder(_)
            | Expr::Unknown(_) => {
                self.registers.forget_all();
                Said::Perhaps("an expression".into())
            }
        }
    }

    fn load(&mut self, register: Register, length: usize, load: Load) -> Said {
        match load {
            Load::Bytes(bytes) => self.registers.store(register, &bytes),
            Load::Unknown => self.registers.forget(register, length),
            Load::Nothing => return Said::No,
        }
        Said::Yes
    }

    fn compare(
        &self,
        register: Register,
        length: usize,
        what: &str,
        test: impl FnOnce(&[u8]) -> bool,
    ) -> Said {
        match self.registers.get(register, length).map(test) {
            Some(true) => Said::Yes,
            Some(false) => Said::No,
            None => Said::Perhaps(format!("{what} with what is not known")),
        }
    }

    fn number(&self, register: Register) -> Option<u32> {
        Some(u32::from_ne_bytes(self.registers.get(register, 4)?.try_into().ok()?))
    }

    fn lookup(&mut self, set: &str, register: Register, to: Option<Destination>, invert: bool) -> Said {
        let table = self.table;
        let length = table.sets.get(set).map(|set| set.key_length);
        let key = length.and_then(|length| self.registers.get(register, length)).map(<[u8]>::to_vec);
        let found = key.map_or(Found::Unknown, |key| self.sets.find(table, set, &key));
        match (found, to) {
            (Found::Unknown, None) => Said::Perhaps(format!("set {set}")),
            (Found::Unknown, Some(Destination::Verdict)) => Said::Done(Action::Somehow(format!("map {set}"))),
            (Found::Unknown, Some(Destination::Register(_))) => {
                self.registers.forget_all();
                Said::Perhaps(format!("map {set}"))
            }
            (Found::Nothing, None) if invert => Said::Yes,
            (Found::Nothing, _) => Said::No,
            (_, None) if invert => Said::No,
            (_, None) => Said::Yes,
            (Found::Verdict(jump), Some(Destination::Verdict)) => Said::Done(Action::Go(jump)),
            (Found::Data(bytes), Some(Destination::Register(to))) => {
                self.registers.store(to, &bytes);
                Said::Yes
            }
            (_, Some(_)) => Said::Done(Action::Somehow(format!("map {set}"))),
        }
    }

    /// Ends the chains of the hook, as an accept does.
    fn translate(&mut self, place: &dyn Fn() -> Place) -> Said {
        self.translated.get_or_insert_with(place);
        Said::Done(Action::Go(Jump::Accept))
    }

    fn target(&mut self, target: &Target, surely: bool, place: &dyn Fn() -> Place) -> Said {
        match target {
            Target::Drop(_) => Said::Done(Action::Go(Jump::Drop)),
            Target::Translate(_) => self.translate(place),
            Target::Mark { value, mask } => {
                self.packet.mark = self.packet.mark.map(|mark| mark & !mask ^ value).filter(|_| surely);
                Said::Yes
            }
            Target::Untrack(_) => {
                self.packet.conntrack = surely.then_some(Conntrack::UNTRACKED);
                Said::Yes
            }
            Target::Nothing(_) => Said::Yes,
            Target::Unknown(name) => Said::Done(Action::Somehow(format!("target {name}"))),
        }
    }
}

fn holds(op: CmpOp, found: &[u8], data: &[u8]) -> bool {
    let order = found.cmp(data);
    match op {
        CmpOp::Eq => order.is_eq(),
        CmpOp::Ne => order.is_ne(),
        CmpOp::Lt => order.is_lt(),
        CmpOp::Le => order.is_le(),
        CmpOp::Gt => order.is_gt(),
        CmpOp::Ge => order.is_ge(),
    }
}

fn bits(bytes: &[u8], bitwise: &Bitwise) -> Vec<u8> {
    let both = bitwise.mask.0.iter().zip(&bitwise.xor.0);
    bytes.iter().zip(both).map(|(byte, (mask, xor))| byte & mask ^ xor).collect()
}

/// Numbers of `size` bytes in the other order, where the machine's is not the network's.
fn swapped(bytes: &[u8], size: usize) -> Vec<u8> {
    if cfg!(target_endian = "big") {
        return bytes.to_vec();
    }
    bytes.chunks(size.max(1)).flat_map(|number| number.iter().rev().copied()).collect()
}
