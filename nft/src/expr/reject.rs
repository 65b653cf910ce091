//! `reject`.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::Expression;
use crate::Family;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;
/// Drops the packet and answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// With a TCP reset: `reject with tcp reset`. Only for TCP.
    TcpReset,
    /// With "port unreachable" of the packet's family: `reject with icmpx port-unreachable`. Tables of both families
    /// and bridges only.
    IcmpxPortUnreachable,
    /// With "administratively prohibited" of the packet's family: `reject with icmpx admin-prohibited`.
    IcmpxAdminProhibited,
    /// With "host unreachable", or "address unreachable" in IPv6: `reject with icmpx host-unreachable`.
    IcmpxHostUnreachable,
    /// With "no route": `reject with icmpx no-route`.
    IcmpxNoRoute,
    /// With this code of ICMP or ICMPv6 "destination unreachable". For tables of one family.
    Icmp(u8),
}

impl Reject {
    /// `enum nft_reject_types` and the code: of ICMP, or of `enum nft_reject_inet_code`.
    fn numbers(self) -> (u32, u8) {
        match self {
            Self::Icmp(code) => (0, code),
            Self::TcpReset => (1, 0),
            Self::IcmpxNoRoute => (2, 0),
            Self::IcmpxPortUnreachable => (2, 1),
            Self::IcmpxHostUnreachable => (2, 2),
            Self::IcmpxAdminProhibited => (2, 3),
        }
    }
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_REJECT_TYPE: u16 = 1;
const NFTA_REJECT_ICMP_CODE: u16 = 2;

impl Expression for Reject {
    const NAME: &'static str = "reject";

    fn write(&self, raw: RawExpr) -> RawExpr {
        let (kind, code) = self.numbers();
        raw.u32(c::NFTNL_EXPR_REJECT_TYPE, kind).u8(c::NFTNL_EXPR_REJECT_CODE, code)
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let code = u8::try_from(raw.u32(NFTA_REJECT_ICMP_CODE).unwrap_or(0)).ok()?;
        match (raw.u32(NFTA_REJECT_TYPE)?, code) {
            (0, code) => Some(Self::Icmp(code)),
            (1, _) => Some(Self::TcpReset),
            (2, 0) => Some(Self::IcmpxNoRoute),
            (2, 1) => Some(Self::IcmpxPortUnreachable),
            (2, 2) => Some(Self::IcmpxHostUnreachable),
            (2, 3) => Some(Self::IcmpxAdminProhibited),
            _ => None,
        }
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        let family = check.table.family;
        let (kind, _) = self.numbers();
        let fits = match kind {
            0 => matches!(family, Family::Ip | Family::Ip6),
            2 => matches!(family, Family::Inet | Family::Bridge | Family::Netdev),
            _ => family != Family::Arp,
        };
        if !fits {
            check.problem("reject", format!("family {family} cannot answer so"));
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let how = match self {
            Self::TcpReset => " with tcp reset".into(),
            Self::IcmpxPortUnreachable => " with icmpx type port-unreachable".into(),
            Self::IcmpxAdminProhibited => " with icmpx type admin-prohibited".into(),
            Self::IcmpxHostUnreachable => " with icmpx type host-unreachable".into(),
            Self::IcmpxNoRoute => " with icmpx type no-route".into(),
            Self::Icmp(code) if text.family() == Family::Ip6 => format!(" with icmpv6 type {code}"),
            Self::Icmp(code) => format!(" with icmp type {code}"),
        };
        text.say(format!("reject{how}"));
    }
}
