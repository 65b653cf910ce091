//! Verdict maps.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;
use crate::{MapType, Name};

/// Decides by what a map has for a key: `… vmap @guests`. The next rule decides where it has nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictMap {
    /// The map.
    pub map: Name,
    /// The key.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// `NFT_REG_VERDICT`.
const VERDICT: u32 = 0;

/// Attributes in the kernel's numbers, for reading.
const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SREG: u16 = 2;
const NFTA_LOOKUP_DREG: u16 = 3;

impl Expression for VerdictMap {
    const NAME: &'static str = "lookup";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_LOOKUP_SREG, self.register.number())
            .text(c::NFTNL_EXPR_LOOKUP_SET, self.map.as_str())
            .u32(c::NFTNL_EXPR_LOOKUP_DREG, VERDICT)
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        if raw.u32(NFTA_LOOKUP_DREG)? != VERDICT {
            return None;
        }
        let map = raw.text(NFTA_LOOKUP_SET)?.parse().ok()?;
        Some(Self { map, register: Register::from_number(raw.u32(NFTA_LOOKUP_SREG)?)? })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        if check
            .looks_up("map", &self.map, self.register)
            .is_some_and(|set| set.data != Some(MapType::Verdict))
        {
            check.problem("map", format!("{} is no map of verdicts", self.map));
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let key = text.key(&self.map, self.register);
        text.say(format!("{key} vmap @{}", self.map));
    }
}
