//! The order of bytes.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Turns a number of two bytes from the host's order to the network's, which on some machines are the same. nft adds it
/// where it is needed and has no word for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Byteorder {
    /// Where from and to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// `NFT_BYTEORDER_HTON`, of one number of two bytes.
const HOST_TO_NETWORK: u32 = 1;
const LENGTH: u32 = 2;

/// Attributes in the kernel's numbers, for reading.
const NFTA_BYTEORDER_SREG: u16 = 1;
const NFTA_BYTEORDER_DREG: u16 = 2;
const NFTA_BYTEORDER_OP: u16 = 3;
const NFTA_BYTEORDER_LEN: u16 = 4;
const NFTA_BYTEORDER_SIZE: u16 = 5;

impl Expression for Byteorder {
    const NAME: &'static str = "byteorder";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_BYTEORDER_SREG, self.register.number())
            .u32(c::NFTNL_EXPR_BYTEORDER_DREG, self.register.number())
            .u32(c::NFTNL_EXPR_BYTEORDER_OP, HOST_TO_NETWORK)
            .u32(c::NFTNL_EXPR_BYTEORDER_LEN, LENGTH)
            .u32(c::NFTNL_EXPR_BYTEORDER_SIZE, LENGTH)
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let numbers = [NFTA_BYTEORDER_OP, NFTA_BYTEORDER_LEN, NFTA_BYTEORDER_SIZE].map(|n| raw.u32(n));
        let same = raw.u32(NFTA_BYTEORDER_SREG) == raw.u32(NFTA_BYTEORDER_DREG);
        let known = numbers == [Some(HOST_TO_NETWORK), Some(LENGTH), Some(LENGTH)] && same;
        known.then_some(())?;
        Some(Self { register: Register::from_number(raw.u32(NFTA_BYTEORDER_SREG)?)? })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.takes(self.register, LENGTH as usize);
    }

    /// The words for what is loaded stay the same.
    fn render(&self, _: &mut Text<'_>) {}
}
