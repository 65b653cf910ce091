//! Sets.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::Name;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Matches when the register is in a set: `… @inbound`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The set; a map serves too.
    pub set: Name,
    /// Matches when it is not in the set: `… != @inbound`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub invert: bool,
    /// The key.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SREG: u16 = 2;
const NFTA_LOOKUP_DREG: u16 = 3;
const NFTA_LOOKUP_FLAGS: u16 = 5;

impl Expression for Lookup {
    const NAME: &'static str = "lookup";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_LOOKUP_SREG, self.register.number())
            .text(c::NFTNL_EXPR_LOOKUP_SET, self.set.as_str())
            .u32(c::NFTNL_EXPR_LOOKUP_FLAGS, self.invert.into())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        if raw.u32(NFTA_LOOKUP_DREG).is_some() {
            return None;
        }
        Some(Self {
            set: raw.text(NFTA_LOOKUP_SET)?.parse().ok()?,
            invert: raw.u32(NFTA_LOOKUP_FLAGS).unwrap_or(0) & 1 != 0,
            register: Register::from_number(raw.u32(NFTA_LOOKUP_SREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.looks_up("set", &self.set, self.register);
    }

    fn render(&self, text: &mut Text<'_>) {
        let key = text.key(&self.set, self.register);
        text.say(format!("{key}{} @{}", if self.invert { " !=" } else { "" }, self.set));
    }
}
