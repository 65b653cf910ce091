//! Masks.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Bytes, Expression, Register};
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// `to = (register & mask) ^ xor`. Two registers cannot be combined before Linux 6.13.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bitwise {
    /// The bits that stay.
    pub mask: Bytes,
    /// The bits that are inverted then, as many bytes as the mask.
    pub xor: Bytes,
    /// Where from.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub to: Register,
}

/// `NFT_BITWISE_BOOL`; the others shift.
const MASK_AND_XOR: u32 = 0;

/// Attributes in the kernel's numbers, for reading.
const NFTA_BITWISE_SREG: u16 = 1;
const NFTA_BITWISE_DREG: u16 = 2;
const NFTA_BITWISE_MASK: u16 = 4;
const NFTA_BITWISE_XOR: u16 = 5;
const NFTA_BITWISE_OP: u16 = 6;

impl Expression for Bitwise {
    const NAME: &'static str = "bitwise";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_BITWISE_SREG, self.register.number())
            .u32(c::NFTNL_EXPR_BITWISE_DREG, self.to.number())
            .u32(c::NFTNL_EXPR_BITWISE_LEN, self.mask.0.len() as u32)
            .u32(c::NFTNL_EXPR_BITWISE_OP, MASK_AND_XOR)
            .value(c::NFTNL_EXPR_BITWISE_MASK, &self.mask.0)
            .value(c::NFTNL_EXPR_BITWISE_XOR, &self.xor.0)
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        if raw.u32(NFTA_BITWISE_OP).unwrap_or(MASK_AND_XOR) != MASK_AND_XOR {
            return None;
        }
        Some(Self {
            mask: raw.value(NFTA_BITWISE_MASK)?.into(),
            xor: raw.value(NFTA_BITWISE_XOR)?.into(),
            register: Register::from_number(raw.u32(NFTA_BITWISE_SREG)?)?,
            to: Register::from_number(raw.u32(NFTA_BITWISE_DREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.constant("mask", &self.mask.0);
        check.takes(self.register, self.mask.0.len());
        check.loads(self.to, self.mask.0.len());
        if self.mask.0.len() != self.xor.0.len() {
            check.problem("xor", "has not as many bytes as the mask");
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        text.bits(self.register, self.to, &self.mask.0, &self.xor.0);
    }
}
