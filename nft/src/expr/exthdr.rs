//! Extension headers of IPv6, and options of TCP and IPv4.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::Family;
use crate::check::RuleCheck;
use crate::render::{Term, Text};
use crate::sys::RawExpr;
use crate::view::View;

/// Loads bytes of an extension header or an option, or with `exists` whether it is there (1 or 0, one byte):
/// `exthdr frag exists`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exthdr {
    /// Of what.
    #[serde(default, skip_serializing_if = "ExthdrKind::is_ipv6")]
    #[schemars(extend("default" = ExthdrKind::default()))]
    pub kind: ExthdrKind,
    /// Its number: of the IPv6 header (hop-by-hop 0, routing 43, fragment 44, destination 60), or of the option.
    pub header: u8,
    /// Loads only whether it is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub exists: bool,
    /// How many bytes behind its start.
    #[serde(default)]
    pub offset: u32,
    /// How many bytes; 1 with `exists`.
    pub length: u32,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// What has extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExthdrKind {
    /// Extension headers of IPv6.
    #[default]
    Ipv6,
    /// Options of TCP.
    Tcp,
    /// Options of IPv4.
    Ipv4,
}

impl ExthdrKind {
    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] = &[(Self::Ipv6, 0), (Self::Tcp, 1), (Self::Ipv4, 2)];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }

    fn is_ipv6(&self) -> bool {
        *self == Self::Ipv6
    }
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_EXTHDR_DREG: u16 = 1;
const NFTA_EXTHDR_TYPE: u16 = 2;
const NFTA_EXTHDR_OFFSET: u16 = 3;
const NFTA_EXTHDR_LEN: u16 = 4;
const NFTA_EXTHDR_FLAGS: u16 = 5;
const NFTA_EXTHDR_OP: u16 = 6;

impl Expression for Exthdr {
    const NAME: &'static str = "exthdr";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_EXTHDR_DREG, self.register.number())
            .u8(c::NFTNL_EXPR_EXTHDR_TYPE, self.header)
            .u32(c::NFTNL_EXPR_EXTHDR_OFFSET, self.offset)
            .u32(c::NFTNL_EXPR_EXTHDR_LEN, self.length)
            .u32(c::NFTNL_EXPR_EXTHDR_OP, self.kind.number())
            .u32(c::NFTNL_EXPR_EXTHDR_FLAGS, self.exists.into())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        Some(Self {
            kind: ExthdrKind::from_number(raw.u32(NFTA_EXTHDR_OP).unwrap_or(0))?,
            header: raw.u32(NFTA_EXTHDR_TYPE)?.try_into().ok()?,
            exists: raw.u32(NFTA_EXTHDR_FLAGS).unwrap_or(0) & 1 != 0,
            offset: raw.u32(NFTA_EXTHDR_OFFSET)?,
            length: raw.u32(NFTA_EXTHDR_LEN)?,
            register: Register::from_number(raw.u32(NFTA_EXTHDR_DREG)?)?,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.loads(self.register, self.length as usize);
        if self.length == 0 || self.length > 16 || (self.exists && self.length != 1) {
            check.problem("length", "1 to 16 bytes can be loaded, and 1 with exists");
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let name = match (self.kind, self.header) {
            (ExthdrKind::Ipv6, 0) => Some("hbh"),
            (ExthdrKind::Ipv6, 43) => Some("rt"),
            (ExthdrKind::Ipv6, 44) => Some("frag"),
            (ExthdrKind::Ipv6, 60) => Some("dst"),
            (ExthdrKind::Ipv6, 135) => Some("mh"),
            _ => None,
        };
        let term = match name {
            Some(name) if self.exists && !matches!(text.family(), Family::Ip | Family::Arp) => {
                Term::presence(format!("exthdr {name}"))
            }
            _ => {
                text.only_netlink();
                let place = format!(
                    "exthdr {} {},{}",
                    self.header,
                    u64::from(self.offset) * 8,
                    u64::from(self.length) * 8
                );
                Term::new(place, None, self.length as usize)
            }
        };
        text.load(self.register, term);
    }
}
