//! The route that a packet takes.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::check::RuleCheck;
use crate::render::{Term, Text};
use crate::sys::RawExpr;
use crate::view::View;

/// Loads something about the packet's route: `rt mtu`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rt {
    /// What.
    pub key: RtKey,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// What can be asked of a route (`enum nft_rt_keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RtKey {
    /// The largest TCP segment that fits the MTUs of this route and of the one back (nft calls it `mtu`); 2 bytes, host
    /// order.
    Tcpmss,
    /// Whether a policy of IPsec will encrypt the packet; 1 byte.
    Ipsec,
}

impl RtKey {
    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] = &[(Self::Tcpmss, 3), (Self::Ipsec, 4)];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }

    fn size(self) -> usize {
        if self == Self::Ipsec { 1 } else { 2 }
    }
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_RT_DREG: u16 = 1;
const NFTA_RT_KEY: u16 = 2;

impl Expression for Rt {
    const NAME: &'static str = "rt";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_RT_KEY, self.key.number()).u32(c::NFTNL_EXPR_RT_DREG, self.register.number())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        Some(Self {
            key: RtKey::from_number(raw.u32(NFTA_RT_KEY)?)?,
            register: Register::from_number(raw.u32(NFTA_RT_DREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.loads(self.register, self.key.size());
    }

    fn render(&self, text: &mut Text<'_>) {
        let term = match self.key {
            RtKey::Tcpmss => Term::new("rt mtu", None, self.key.size()),
            RtKey::Ipsec => Term::presence("rt ipsec"),
        };
        text.load(self.register, term);
    }
}
