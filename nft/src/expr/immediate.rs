//! Constants, and verdicts, which are constants for the register of verdicts.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Bytes, Expression, Register};
use crate::Verdict;
use crate::check::RuleCheck;
use crate::render::{Term, Text};
use crate::sys::RawExpr;
use crate::view::View;

/// Loads a constant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Immediate {
    /// The constant.
    pub data: Bytes,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;

impl Expression for Immediate {
    const NAME: &'static str = "immediate";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_IMM_DREG, self.register.number()).value(c::NFTNL_EXPR_IMM_DATA, &self.data.0)
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let register = Register::from_number(raw.u32(NFTA_IMMEDIATE_DREG)?)?;
        Some(Self { data: raw.value(NFTA_IMMEDIATE_DATA)?.into(), register })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.constant("data", &self.data.0);
        check.loads(self.register, self.data.0.len());
    }

    fn render(&self, text: &mut Text<'_>) {
        text.load(self.register, Term::constant(&self.data.0));
    }
}

/// `NFT_REG_VERDICT`.
const VERDICT: u32 = 0;

impl Expression for Verdict {
    const NAME: &'static str = "immediate";

    fn write(&self, raw: RawExpr) -> RawExpr {
        let raw = raw
            .u32(c::NFTNL_EXPR_IMM_DREG, VERDICT)
            .u32(c::NFTNL_EXPR_IMM_VERDICT, self.number().cast_unsigned());
        match self.chain() {
            Some(chain) => raw.text(c::NFTNL_EXPR_IMM_CHAIN, chain.as_str()),
            None => raw,
        }
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        if raw.u32(NFTA_IMMEDIATE_DREG)? != VERDICT {
            return None;
        }
        raw.nested(NFTA_IMMEDIATE_DATA)?.verdict()
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.verdict(self);
    }

    fn render(&self, text: &mut Text<'_>) {
        text.say(self.to_string());
    }
}
