//! Comparing with an interval.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Bytes, Expression, Register};
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Matches when the register lies between two constants, both included. The order is that of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The lowest that matches.
    pub first: Bytes,
    /// The highest that matches, as many bytes.
    pub last: Bytes,
    /// Matches outside instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub invert: bool,
    /// What is compared.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_RANGE_SREG: u16 = 1;
const NFTA_RANGE_OP: u16 = 2;
const NFTA_RANGE_FROM_DATA: u16 = 3;
const NFTA_RANGE_TO_DATA: u16 = 4;

impl Expression for Range {
    const NAME: &'static str = "range";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_RANGE_SREG, self.register.number())
            .u32(c::NFTNL_EXPR_RANGE_OP, self.invert.into())
            .value(c::NFTNL_EXPR_RANGE_FROM_DATA, &self.first.0)
            .value(c::NFTNL_EXPR_RANGE_TO_DATA, &self.last.0)
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        Some(Self {
            first: raw.value(NFTA_RANGE_FROM_DATA)?.into(),
            last: raw.value(NFTA_RANGE_TO_DATA)?.into(),
            invert: raw.u32(NFTA_RANGE_OP)? != 0,
            register: Register::from_number(raw.u32(NFTA_RANGE_SREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.constant("first", &self.first.0);
        check.takes(self.register, self.first.0.len());
        if self.first.0.len() != self.last.0.len() {
            check.problem("last", "has not as many bytes as the first");
        } else if self.last.0 < self.first.0 {
            check.problem("last", "is lower than the first");
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        text.range(self.register, &self.first.0, &self.last.0, self.invert);
    }
}
