//! What the kernel knows about a packet besides its bytes.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::{Expression, Register};
use crate::DataType;
use crate::Family;
use crate::check::RuleCheck;
use crate::render::{KIND, TRACE, Term, Text};
use crate::sys::RawExpr;
use crate::view::View;

/// Loads a value into a register: `meta mark`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Which value.
    pub key: MetaKey,
    /// Where to.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// Sets a value from a register: `meta mark set …`. The kernel takes `mark`, `priority`, `pkttype` and `nftrace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetaSet {
    /// Which value.
    pub key: MetaKey,
    /// Where from.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    #[schemars(extend("default" = Register::default()))]
    pub register: Register,
}

/// What can be asked about a packet (`enum nft_meta_keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetaKey {
    /// Its length in bytes; 4 bytes, host order.
    Length,
    /// Its EtherType; 2 bytes.
    Protocol,
    /// Its class for the queueing discipline; 4 bytes, host order.
    Priority,
    /// Its mark; 4 bytes, host order.
    Mark,
    /// The index of the interface that it came from; 4 bytes, host order.
    Iif,
    /// The index of the interface that it goes to; 4 bytes, host order.
    Oif,
    /// The name of the interface that it came from; 16 bytes.
    Iifname,
    /// The name of the interface that it goes to; 16 bytes.
    Oifname,
    /// The hardware type (`ARPHRD_*`) of the interface that it came from; 2 bytes, host order.
    Iiftype,
    /// Whether it is traced; 1 byte.
    Nftrace,
    /// The family: 2 for IPv4, 10 for IPv6; 1 byte.
    Nfproto,
    /// The protocol behind IP and all extension headers; 1 byte.
    L4proto,
    /// The bridge that it came through; 16 bytes.
    Ibrname,
    /// The bridge that it goes through; 16 bytes.
    Obrname,
    /// Unicast (0), broadcast (1), multicast (2); 1 byte.
    Pkttype,
    /// The group of the interface that it came from; 4 bytes, host order.
    Iifgroup,
    /// The group of the interface that it goes to; 4 bytes, host order.
    Oifgroup,
    /// Whether it came out of an IPsec tunnel; 1 byte.
    Secpath,
}

impl MetaKey {
    /// All of them, with the kernel's numbers.
    const NUMBERS: &'static [(Self, u32)] = &[
        (Self::Length, 0),
        (Self::Protocol, 1),
        (Self::Priority, 2),
        (Self::Mark, 3),
        (Self::Iif, 4),
        (Self::Oif, 5),
        (Self::Iifname, 6),
        (Self::Oifname, 7),
        (Self::Iiftype, 8),
        (Self::Nftrace, 12),
        (Self::Nfproto, 15),
        (Self::L4proto, 16),
        (Self::Ibrname, 17),
        (Self::Obrname, 18),
        (Self::Pkttype, 19),
        (Self::Iifgroup, 21),
        (Self::Oifgroup, 22),
        (Self::Secpath, 25),
    ];

    /// The kernel's number.
    pub fn number(self) -> u32 {
        Self::NUMBERS.iter().find(|(key, _)| *key == self).map_or(u32::MAX, |(_, number)| *number)
    }

    /// The one with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::NUMBERS.iter().find(|(_, n)| *n == number).map(|(key, _)| *key)
    }

    /// nft's word for it.
    fn text(self) -> &'static str {
        match self {
            Self::Length => "meta length",
            Self::Protocol => "meta protocol",
            Self::Priority => "meta priority",
            Self::Mark => "meta mark",
            Self::Iif => "iif",
            Self::Oif => "oif",
            Self::Iifname => "iifname",
            Self::Oifname => "oifname",
            Self::Iiftype => KIND,
            Self::Nftrace => TRACE,
            Self::Nfproto => "meta nfproto",
            Self::L4proto => "meta l4proto",
            Self::Ibrname => "meta ibrname",
            Self::Obrname => "meta obrname",
            Self::Pkttype => "meta pkttype",
            Self::Iifgroup => "iifgroup",
            Self::Oifgroup => "oifgroup",
            Self::Secpath => "meta secpath",
        }
    }

    /// What its bytes are.
    fn data(self) -> Option<DataType> {
        match self {
            Self::Protocol => Some(DataType::EtherType),
            Self::Mark | Self::Length | Self::Priority | Self::Iifgroup | Self::Oifgroup => {
                Some(DataType::Mark)
            }
            Self::Iif | Self::Oif => Some(DataType::IfaceIndex),
            Self::Iifname | Self::Oifname | Self::Ibrname | Self::Obrname => Some(DataType::Ifname),
            Self::L4proto => Some(DataType::InetProto),
            _ => None,
        }
    }

    /// How many bytes the value has.
    pub fn size(self) -> usize {
        match self {
            Self::Iifname | Self::Oifname | Self::Ibrname | Self::Obrname => 16,
            Self::Protocol | Self::Iiftype => 2,
            Self::Nftrace | Self::Nfproto | Self::L4proto | Self::Pkttype | Self::Secpath => 1,
            _ => 4,
        }
    }
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_META_DREG: u16 = 1;
const NFTA_META_KEY: u16 = 2;
const NFTA_META_SREG: u16 = 3;

impl Expression for Meta {
    const NAME: &'static str = "meta";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_META_KEY, self.key.number())
            .u32(c::NFTNL_EXPR_META_DREG, self.register.number())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let key = MetaKey::from_number(raw.u32(NFTA_META_KEY)?)?;
        Some(Self { key, register: Register::from_number(raw.u32(NFTA_META_DREG)?)? })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.loads(self.register, self.key.size());
    }

    fn render(&self, text: &mut Text<'_>) {
        if self.key == MetaKey::Secpath {
            return text.load(self.register, Term::presence(self.key.text()));
        }
        // nft asks for the family only where there are two.
        if self.key == MetaKey::Nfproto && text.family() != Family::Inet {
            text.only_netlink();
        }
        let term = Term::new(self.key.text(), self.key.data(), self.key.size());
        let has_own_type =
            matches!(self.key, MetaKey::Length | MetaKey::Priority | MetaKey::Iifgroup | MetaKey::Oifgroup);
        text.load(self.register, if has_own_type { term.loosely() } else { term });
    }
}

impl Expression for MetaSet {
    const NAME: &'static str = "meta";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_META_KEY, self.key.number())
            .u32(c::NFTNL_EXPR_META_SREG, self.register.number())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let key = MetaKey::from_number(raw.u32(NFTA_META_KEY)?)?;
        Some(Self { key, register: Register::from_number(raw.u32(NFTA_META_SREG)?)? })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        check.takes(self.register, self.key.size());
        if !matches!(self.key, MetaKey::Mark | MetaKey::Priority | MetaKey::Pkttype | MetaKey::Nftrace) {
            check.problem("key", "this cannot be set; mark, priority, pkttype and nftrace can");
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        // All but the mark nft sets to constants, and tracing to 0 or 1.
        let can_be_said = match text.constant(self.register) {
            None => self.key == MetaKey::Mark,
            Some(bytes) => self.key != MetaKey::Nftrace || bytes.iter().all(|byte| *byte <= 1),
        };
        if !can_be_said {
            text.only_netlink();
        }
        let value = text.take(self.register, self.key.data(), self.key.size());
        text.say(format!("meta {} set {value}", self.key.text().trim_start_matches("meta ")));
    }
}
