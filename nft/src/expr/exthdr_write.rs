//! Writing options of TCP.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, ExthdrKind, Register};
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Writes bytes of an option of TCP from a register: `tcp option maxseg size set …`. The kernel updates the checksum; a
/// maximum segment size it only ever lowers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExthdrWrite {
    /// The number of the option: 2 is the maximum segment size.
    pub option: u8,
    /// How many bytes behind its start.
    pub offset: u32,
    /// How many bytes: 2 or 4.
    pub length: u32,
    /// Where from.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// `TCPOPT_MSS`, and where its value lies.
const MSS: (u8, u32, u32) = (2, 2, 2);

/// Attributes in the kernel's numbers, for reading.
const NFTA_EXTHDR_TYPE: u16 = 2;
const NFTA_EXTHDR_OFFSET: u16 = 3;
const NFTA_EXTHDR_LEN: u16 = 4;
const NFTA_EXTHDR_OP: u16 = 6;
const NFTA_EXTHDR_SREG: u16 = 7;

impl ExthdrWrite {
    /// `tcp option maxseg size set …`
    pub fn mss(register: Register) -> Self {
        let (option, offset, length) = MSS;
        Self { option, offset, length, register }
    }
}

impl Expression for ExthdrWrite {
    const NAME: &'static str = "exthdr";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_EXTHDR_SREG, self.register.number())
            .u8(c::NFTNL_EXPR_EXTHDR_TYPE, self.option)
            .u32(c::NFTNL_EXPR_EXTHDR_OFFSET, self.offset)
            .u32(c::NFTNL_EXPR_EXTHDR_LEN, self.length)
            .u32(c::NFTNL_EXPR_EXTHDR_OP, ExthdrKind::Tcp.number())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        if ExthdrKind::from_number(raw.u32(NFTA_EXTHDR_OP)?)? != ExthdrKind::Tcp {
            return None;
        }
        Some(Self {
            option: raw.u32(NFTA_EXTHDR_TYPE)?.try_into().ok()?,
            offset: raw.u32(NFTA_EXTHDR_OFFSET)?,
            length: raw.u32(NFTA_EXTHDR_LEN)?,
            register: Register::from_number(raw.u32(NFTA_EXTHDR_SREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.takes(self.register, self.length as usize);
        if self.length != 2 && self.length != 4 {
            check.problem("length", "2 or 4 bytes can be written");
        }
        if self.option < 2 || self.offset < 2 {
            check.problem(
                "offset",
                "an option has a value from its third byte on, and those below 2 have none",
            );
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let value = text.take(self.register, None, self.length as usize);
        if (self.option, self.offset, self.length) == MSS {
            return text.say(format!("tcp option maxseg size set {value}"));
        }
        text.only_netlink();
        let (offset, length) = (self.offset * 8, self.length * 8);
        text.say(format!("tcp option @{},{offset},{length} set {value}", self.option));
    }
}
