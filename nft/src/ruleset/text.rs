//! Rules as text, for people. It is close to what nft lists, and not meant to be read back.

use super::step::Destination;
use super::{Jump, RulesetRule, RulesetTable, Step};
use crate::render::Text;
use crate::{Family, Table};

impl RulesetTable {
    /// `rule` of this table in nft's words, as far as there are any: `iifname "lo" accept`.
    pub fn words(&self, rule: &RulesetRule) -> String {
        // Fields have their names by the family; nothing else of a table is asked for.
        let Ok(name) = "guestnet_text".parse() else { return String::new() };
        let family = if self.family == Family::Netdev { Family::Inet } else { self.family };
        let table = Table::new(family, name);
        let mut text = Text::new(&table);
        rule.steps.iter().for_each(|step| say(step, &mut text));
        let words = text.finish();
        match &rule.comment {
            Some(comment) => format!("{words} comment \"{comment}\""),
            None => words,
        }
    }
}

fn say(step: &Step, text: &mut Text<'_>) {
    match step {
        Step::Known(expression) => expression.render(text),
        // The words for what is loaded stay the same.
        Step::Byteorder { .. } => {}
        Step::Verdict(jump) => text.say(jump.to_string()),
        Step::Lookup { set, register, to, invert } => {
            let key = text.words(*register);
            match to {
                None => text.say(format!("{key} {}@{set}", if *invert { "!= " } else { "" })),
                Some(Destination::Verdict) => text.say(format!("{key} vmap @{set}")),
                Some(Destination::Register(to)) => text.mapped(*to, format!("{key} map @{set}")),
            }
        }
        Step::Match(found) => text.say(format!("xt match {}", found.name())),
        Step::Target(target) => text.say(format!("xt target {}", target.name())),
        Step::Translate(name) => text.say(name.as_str()),
        Step::Notes(set) => text.say(format!("add @{set}")),
        // A counter tells nothing here.
        Step::Nothing(name) if name == "counter" => {}
        Step::Nothing(name) | Step::Unknown(name) => text.say(format!("({name})")),
    }
}

impl std::fmt::Display for Jump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Continue => f.write_str("continue"),
            Self::Return => f.write_str("return"),
            Self::Queue => f.write_str("queue"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}
