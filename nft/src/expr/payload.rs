//! Bytes of the packet.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::check::RuleCheck;
use crate::render::{Term, Text};
use crate::sys::RawExpr;
use crate::view::View;

/// Loads bytes of the packet into a register: `ip daddr`, or `@nh,128,32`. Does not match where the packet ends earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// From where the offset counts.
    pub base: PayloadBase,
    /// How many bytes behind it.
    pub offset: u32,
    /// How many bytes, 1 to 16.
    pub length: u32,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// The header from which an offset into a packet counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayloadBase {
    /// The link-layer header: `@ll`.
    Link,
    /// The network header: `@nh`.
    Network,
    /// The header behind IP and its extension headers: `@th`.
    Transport,
    /// What the transport header carries: `@ih` (kernel 5.16).
    Inner,
}

impl PayloadBase {
    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] =
        &[(Self::Link, 0), (Self::Network, 1), (Self::Transport, 2), (Self::Inner, 3)];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_PAYLOAD_DREG: u16 = 1;
const NFTA_PAYLOAD_BASE: u16 = 2;
const NFTA_PAYLOAD_OFFSET: u16 = 3;
const NFTA_PAYLOAD_LEN: u16 = 4;

impl Expression for Payload {
    const NAME: &'static str = "payload";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_PAYLOAD_BASE, self.base.number())
            .u32(c::NFTNL_EXPR_PAYLOAD_OFFSET, self.offset)
            .u32(c::NFTNL_EXPR_PAYLOAD_LEN, self.length)
            .u32(c::NFTNL_EXPR_PAYLOAD_DREG, self.register.number())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        Some(Self {
            base: PayloadBase::from_number(raw.u32(NFTA_PAYLOAD_BASE)?)?,
            offset: raw.u32(NFTA_PAYLOAD_OFFSET)?,
            length: raw.u32(NFTA_PAYLOAD_LEN)?,
            register: Register::from_number(raw.u32(NFTA_PAYLOAD_DREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check_length(check, self.length);
        check.loads(self.register, self.length as usize);
    }

    fn render(&self, text: &mut Text<'_>) {
        let (field, data) = text.field(self.base, self.offset, self.length);
        text.load(self.register, Term::new(field, data, self.length as usize));
    }
}

/// What one expression can load or write at once.
pub(super) fn check_length(check: &mut RuleCheck<'_>, length: u32) {
    if !(1..=16).contains(&length) {
        check.problem("length", format!("{length} bytes; 1 to 16 are possible"));
    }
}
