//! Sets that packets fill.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::Name;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Puts the register into a set that is `dynamic`, unless it is there, and matches where the set's own expression does
/// ([`crate::Set::stateful`]): `add @connections { iifname }`. The kernel takes elements away that have no connection left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dynset {
    /// The set.
    pub set: Name,
    /// The key.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_DYNSET_SET_NAME: u16 = 1;
const NFTA_DYNSET_SET_ID: u16 = 2;
const NFTA_DYNSET_OP: u16 = 3;
const NFTA_DYNSET_SREG_KEY: u16 = 4;
const NFTA_DYNSET_TIMEOUT: u16 = 6;
const NFTA_DYNSET_FLAGS: u16 = 9;

/// `NFT_DYNSET_OP_ADD`.
const ADD: u32 = 0;

impl Expression for Dynset {
    const NAME: &'static str = "dynset";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.text(c::NFTNL_EXPR_DYNSET_SET_NAME, self.set.as_str())
            .u32(c::NFTNL_EXPR_DYNSET_OP, ADD)
            .u32(c::NFTNL_EXPR_DYNSET_SREG_KEY, self.register.number())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let known = [
            NFTA_DYNSET_SET_NAME,
            NFTA_DYNSET_SET_ID,
            NFTA_DYNSET_OP,
            NFTA_DYNSET_SREG_KEY,
            NFTA_DYNSET_TIMEOUT,
            NFTA_DYNSET_FLAGS,
        ];
        let none = |kind| raw.number(kind).unwrap_or(0) == 0;
        let adds = raw.u32(NFTA_DYNSET_OP)? == ADD && none(NFTA_DYNSET_TIMEOUT) && none(NFTA_DYNSET_FLAGS);
        if !adds || raw.each().any(|(kind, _)| !known.contains(&kind)) {
            return None;
        }
        let set = raw.text(NFTA_DYNSET_SET_NAME)?.parse().ok()?;
        Some(Self { set, register: Register::from_number(raw.u32(NFTA_DYNSET_SREG_KEY)?)? })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.looks_up("set", &self.set, self.register);
    }

    fn render(&self, text: &mut Text<'_>) {
        let key = text.key(&self.set, self.register);
        text.say(format!("add @{} {{ {key} }}", self.set));
    }
}
