//! Writing bytes of the packet.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::payload::check_length;
use super::{Expression, PayloadBase, Register};
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Writes bytes of the packet from a register: `ip daddr set …`.
///
/// The checksums are updated by the difference (RFC 1624). nft's grammar chooses them by the field; here they are
/// said, so that the source of a packet quoted in an ICMP error can be written as well: its header checksum lies
/// 18 bytes behind the ICMP header's start, absorbs the change, and leaves the ICMP checksum right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayloadWrite {
    /// From where the offsets count.
    pub base: PayloadBase,
    /// How many bytes behind it.
    pub offset: u32,
    /// How many bytes, 1 to 16.
    pub length: u32,
    /// Where from.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
    /// Where an Internet checksum (RFC 1071) over what is written lies, in bytes behind the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<u32>,
    /// Whether what is written is in the pseudo-header, so that the transport's checksum changes too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub pseudo_header: bool,
}

/// `NFT_PAYLOAD_CSUM_NONE` and `NFT_PAYLOAD_CSUM_INET`.
const NO_CHECKSUM: u32 = 0;
const INTERNET: u32 = 1;
/// `NFT_PAYLOAD_L4CSUM_PSEUDOHDR`.
const PSEUDO_HEADER: u32 = 1;

/// Attributes in the kernel's numbers, for reading.
const NFTA_PAYLOAD_BASE: u16 = 2;
const NFTA_PAYLOAD_OFFSET: u16 = 3;
const NFTA_PAYLOAD_LEN: u16 = 4;
const NFTA_PAYLOAD_SREG: u16 = 5;
const NFTA_PAYLOAD_CSUM_TYPE: u16 = 6;
const NFTA_PAYLOAD_CSUM_OFFSET: u16 = 7;
const NFTA_PAYLOAD_CSUM_FLAGS: u16 = 8;

impl Expression for PayloadWrite {
    const NAME: &'static str = "payload";

    fn write(&self, raw: RawExpr) -> RawExpr {
        let kind = if self.checksum.is_some() { INTERNET } else { NO_CHECKSUM };
        raw.u32(c::NFTNL_EXPR_PAYLOAD_BASE, self.base.number())
            .u32(c::NFTNL_EXPR_PAYLOAD_OFFSET, self.offset)
            .u32(c::NFTNL_EXPR_PAYLOAD_LEN, self.length)
            .u32(c::NFTNL_EXPR_PAYLOAD_SREG, self.register.number())
            .u32(c::NFTNL_EXPR_PAYLOAD_CSUM_TYPE, kind)
            .u32(c::NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, self.checksum.unwrap_or(0))
            .u32(c::NFTNL_EXPR_PAYLOAD_FLAGS, if self.pseudo_header { PSEUDO_HEADER } else { 0 })
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let checksum = match raw.u32(NFTA_PAYLOAD_CSUM_TYPE).unwrap_or(NO_CHECKSUM) {
            NO_CHECKSUM => None,
            INTERNET => Some(raw.u32(NFTA_PAYLOAD_CSUM_OFFSET).unwrap_or(0)),
            _ => return None,
        };
        Some(Self {
            base: PayloadBase::from_number(raw.u32(NFTA_PAYLOAD_BASE)?)?,
            offset: raw.u32(NFTA_PAYLOAD_OFFSET)?,
            length: raw.u32(NFTA_PAYLOAD_LEN)?,
            register: Register::from_number(raw.u32(NFTA_PAYLOAD_SREG)?)?,
            checksum,
            pseudo_header: raw.u32(NFTA_PAYLOAD_CSUM_FLAGS).unwrap_or(0) & PSEUDO_HEADER != 0,
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check_length(check, self.length);
        check.takes(self.register, self.length as usize);
    }

    fn render(&self, text: &mut Text<'_>) {
        let (field, data) = text.field(self.base, self.offset, self.length);
        let value = text.take(self.register, data, self.length as usize);
        // nft chooses the checksums by the field: those of an address, none for anything else that is written here.
        let of_nft = match field.as_str() {
            "ip saddr" | "ip daddr" => self.checksum == Some(10) && self.pseudo_header,
            "ip6 saddr" | "ip6 daddr" => self.checksum.is_none() && self.pseudo_header,
            _ => false,
        };
        if !of_nft {
            text.only_netlink();
        }
        text.say(format!("{field} set {value}"));
    }
}
