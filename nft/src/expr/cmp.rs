//! Comparing with a constant.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Bytes, Expression, Register};
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Matches when the register compares so with `data`. The order is that of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cmp {
    /// How.
    #[serde(default, skip_serializing_if = "CmpOp::is_eq")]
    #[schemars(extend("default" = CmpOp::default()))]
    pub op: CmpOp,
    /// With what.
    pub data: Bytes,
    /// What is compared.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CmpOp {
    /// Equal.
    #[default]
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

impl CmpOp {
    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] =
        &[(Self::Eq, 0), (Self::Ne, 1), (Self::Lt, 2), (Self::Le, 3), (Self::Gt, 4), (Self::Ge, 5)];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }

    fn is_eq(&self) -> bool {
        *self == Self::Eq
    }
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_OP: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;

impl Expression for Cmp {
    const NAME: &'static str = "cmp";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_CMP_SREG, self.register.number())
            .u32(c::NFTNL_EXPR_CMP_OP, self.op.number())
            .value(c::NFTNL_EXPR_CMP_DATA, &self.data.0)
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        Some(Self {
            op: CmpOp::from_number(raw.u32(NFTA_CMP_OP)?)?,
            data: raw.value(NFTA_CMP_DATA)?.into(),
            register: Register::from_number(raw.u32(NFTA_CMP_SREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.constant("data", &self.data.0);
        check.takes(self.register, self.data.0.len());
    }

    fn render(&self, text: &mut Text<'_>) {
        text.compare(self.register, self.op, &self.data.0);
    }
}
