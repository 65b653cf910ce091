//! What conntrack knows about a packet.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::DataType;
use crate::Family;
use crate::check::RuleCheck;
use crate::render::{Term, Text};
use crate::sys::RawExpr;
use crate::view::View;

/// Loads a value: `ct state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ct {
    /// Which value.
    pub key: CtKey,
    /// Of which direction of the connection; only for those keys that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<CtDirection>,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// Sets a value: `ct mark set …`. The kernel takes `mark`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CtSet {
    /// Which value.
    pub key: CtKey,
    /// Where from.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// What can be asked of conntrack (`enum nft_ct_keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CtKey {
    /// The state: bits for invalid (1), established (2), related (4), new (8), untracked (64); 4 bytes, host order.
    State,
    /// Original (0) or reply (1); 1 byte.
    Direction,
    /// Bits of `IPS_*`; 4 bytes, host order.
    Status,
    /// The connection's mark; 4 bytes, host order.
    Mark,
    /// The source address; needs a direction.
    Saddr,
    /// The destination address; needs a direction.
    Daddr,
    /// The transport protocol; 1 byte.
    Protocol,
    /// The source port; 2 bytes; needs a direction.
    ProtoSrc,
    /// The destination port; 2 bytes; needs a direction.
    ProtoDst,
    /// The zone; 2 bytes, host order.
    Zone,
    /// The IPv4 source; 4 bytes; needs a direction.
    SrcIp,
    /// The IPv4 destination; 4 bytes; needs a direction.
    DstIp,
    /// The IPv6 source; 16 bytes; needs a direction.
    SrcIp6,
    /// The IPv6 destination; 16 bytes; needs a direction.
    DstIp6,
}

impl CtKey {
    /// nft's word for it.
    fn text(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Direction => "direction",
            Self::Status => "status",
            Self::Mark => "mark",
            Self::Saddr => "saddr",
            Self::Daddr => "daddr",
            Self::SrcIp => "ip saddr",
            Self::DstIp => "ip daddr",
            Self::SrcIp6 => "ip6 saddr",
            Self::DstIp6 => "ip6 daddr",
            Self::Protocol => "protocol",
            Self::ProtoSrc => "proto-src",
            Self::ProtoDst => "proto-dst",
            Self::Zone => "zone",
        }
    }

    /// What its bytes are.
    fn data(self) -> Option<DataType> {
        match self {
            Self::State | Self::Status | Self::Mark => Some(DataType::Mark),
            Self::SrcIp | Self::DstIp => Some(DataType::Ipv4Addr),
            Self::SrcIp6 | Self::DstIp6 => Some(DataType::Ipv6Addr),
            Self::Protocol => Some(DataType::InetProto),
            Self::ProtoSrc | Self::ProtoDst => Some(DataType::InetService),
            _ => None,
        }
    }

    /// How many bytes the value has; of an address of either family, as many as one of IPv6.
    pub fn size(self) -> usize {
        match self {
            Self::Saddr | Self::Daddr | Self::SrcIp6 | Self::DstIp6 => 16,
            Self::Direction | Self::Protocol => 1,
            Self::ProtoSrc | Self::ProtoDst | Self::Zone => 2,
            _ => 4,
        }
    }

    fn has_direction(self) -> bool {
        matches!(
            self,
            Self::Saddr
                | Self::Daddr
                | Self::ProtoSrc
                | Self::ProtoDst
                | Self::SrcIp
                | Self::DstIp
                | Self::SrcIp6
                | Self::DstIp6
        )
    }

    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] = &[
        (Self::State, 0),
        (Self::Direction, 1),
        (Self::Status, 2),
        (Self::Mark, 3),
        (Self::Saddr, 8),
        (Self::Daddr, 9),
        (Self::Protocol, 10),
        (Self::ProtoSrc, 11),
        (Self::ProtoDst, 12),
        (Self::Zone, 17),
        (Self::SrcIp, 19),
        (Self::DstIp, 20),
        (Self::SrcIp6, 21),
        (Self::DstIp6, 22),
    ];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CtDirection {
    /// As its first packet went.
    Original,
    /// The other way.
    Reply,
}

impl CtDirection {
    /// nft's word for it, with a space behind.
    fn text(self) -> &'static str {
        match self {
            Self::Original => "original ",
            Self::Reply => "reply ",
        }
    }

    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] = &[(Self::Original, 0), (Self::Reply, 1)];

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
const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;
const NFTA_CT_DIRECTION: u16 = 3;
const NFTA_CT_SREG: u16 = 4;

impl Expression for Ct {
    const NAME: &'static str = "ct";

    fn write(&self, raw: RawExpr) -> RawExpr {
        let raw = raw
            .u32(c::NFTNL_EXPR_CT_KEY, self.key.number())
            .u32(c::NFTNL_EXPR_CT_DREG, self.register.number());
        match self.direction {
            Some(direction) => raw.u8(c::NFTNL_EXPR_CT_DIR, direction.number() as u8),
            None => raw,
        }
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let direction = match raw.u32(NFTA_CT_DIRECTION) {
            Some(number) => Some(CtDirection::from_number(number)?),
            None => None,
        };
        let key = CtKey::from_number(raw.u32(NFTA_CT_KEY)?)?;
        Some(Self { key, direction, register: Register::from_number(raw.u32(NFTA_CT_DREG)?)? })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.loads(self.register, self.key.size());
        if self.key.has_direction() != self.direction.is_some() {
            let text = if self.direction.is_some() {
                "this key has no direction"
            } else {
                "this key needs a direction"
            };
            check.problem("direction", text);
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let direction = self.direction.map_or("", CtDirection::text);
        // nft takes a port only behind the protocol that has it, and an address only with its family.
        let can_be_said = match self.key {
            CtKey::Saddr | CtKey::Daddr | CtKey::ProtoSrc | CtKey::ProtoDst => false,
            CtKey::SrcIp | CtKey::DstIp => text.family() != Family::Ip6,
            CtKey::SrcIp6 | CtKey::DstIp6 => text.family() != Family::Ip,
            _ => true,
        };
        if !can_be_said {
            text.only_netlink();
        }
        let term = Term::new(format!("ct {direction}{}", self.key.text()), self.key.data(), self.key.size());
        let has_own_type = matches!(self.key, CtKey::State | CtKey::Status);
        text.load(self.register, if has_own_type { term.loosely() } else { term });
    }
}

impl Expression for CtSet {
    const NAME: &'static str = "ct";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_CT_KEY, self.key.number()).u32(c::NFTNL_EXPR_CT_SREG, self.register.number())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let key = CtKey::from_number(raw.u32(NFTA_CT_KEY)?)?;
        Some(Self { key, register: Register::from_number(raw.u32(NFTA_CT_SREG)?)? })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.takes(self.register, self.key.size());
        if self.key != CtKey::Mark {
            check.problem("key", "this cannot be set; the mark can");
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let value = text.take(self.register, self.key.data(), self.key.size());
        text.say(format!("ct {} set {value}", self.key.text()));
    }
}
