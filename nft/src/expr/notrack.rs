//! `notrack`.

use serde::{Deserialize, Serialize};

use super::Expression;
use crate::Family;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;
/// Makes conntrack leave the packet alone. Works at a priority before conntrack's (-200).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notrack {}

impl Expression for Notrack {
    const NAME: &'static str = "notrack";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw
    }

    fn read(_: &View<'_>) -> Option<Self> {
        Some(Self {})
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        if !matches!(check.table.family, Family::Ip | Family::Ip6 | Family::Inet) {
            check.problem("notrack", format!("family {} has no conntrack", check.table.family));
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        text.say("notrack");
    }
}
