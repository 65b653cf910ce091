//! `counter`.

use serde::{Deserialize, Serialize};

use super::Expression;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;
/// Counts packets and bytes. What it counted is no part of a rule's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counter {}

impl Expression for Counter {
    const NAME: &'static str = "counter";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw
    }

    fn read(_: &View<'_>) -> Option<Self> {
        Some(Self {})
    }

    fn check(&self, _: &mut RuleCheck<'_>) {}

    fn render(&self, text: &mut Text<'_>) {
        text.say("counter");
    }
}
