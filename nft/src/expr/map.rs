//! Maps.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::check::RuleCheck;
use crate::render::{Term, Text};
use crate::sys::RawExpr;
use crate::view::View;
use crate::{DataType, MapType, Name};

/// Loads what a map has for a key: `… map @inbound`. Does not match where the map has nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// The map.
    pub map: Name,
    /// The key.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub to: Register,
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SREG: u16 = 2;
const NFTA_LOOKUP_DREG: u16 = 3;

impl Expression for Map {
    const NAME: &'static str = "lookup";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_LOOKUP_SREG, self.register.number())
            .text(c::NFTNL_EXPR_LOOKUP_SET, self.map.as_str())
            .u32(c::NFTNL_EXPR_LOOKUP_DREG, self.to.number())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        Some(Self {
            map: raw.text(NFTA_LOOKUP_SET)?.parse().ok()?,
            register: Register::from_number(raw.u32(NFTA_LOOKUP_SREG)?)?,
            to: Register::from_number(raw.u32(NFTA_LOOKUP_DREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        match check.looks_up("map", &self.map, self.register).map(|set| set.data.clone()) {
            Some(Some(MapType::Values(types))) => check.loads(self.to, DataType::total(&types)),
            Some(_) => check.problem("map", format!("{} is no map of values", self.map)),
            None => {}
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let key = text.key(&self.map, self.register);
        // nft looks a route up only where a rule begins with it.
        if key.starts_with("fib ") {
            text.only_netlink();
        }
        let types = text.data(&self.map);
        let data = if let [one] = types[..] { Some(one) } else { None };
        text.load(self.to, Term::mapped(format!("{key} map @{}", self.map), data, DataType::total(&types)));
    }
}
