//! The types of the keys and data of sets.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{Types, Value};

/// A type of value, by nft's name for it. The kernel stores its number only so that `nft list` can print
/// elements (`src/datatype.c` of nftables).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// An IPv4 address, 4 bytes.
    Ipv4Addr,
    /// An IPv6 address, 16 bytes.
    Ipv6Addr,
    /// A MAC address, 6 bytes.
    EtherAddr,
    /// An EtherType, 2 bytes: `0x0800`.
    EtherType,
    /// An IP protocol number, 1 byte: `6` or `"tcp"`.
    InetProto,
    /// A port of TCP, UDP and the like, 2 bytes.
    InetService,
    /// A packet mark, 4 bytes.
    Mark,
    /// The name of an interface, 16 bytes.
    Ifname,
    /// The index of an interface, 4 bytes.
    IfaceIndex,
    /// An ICMP type, 1 byte.
    IcmpType,
    /// An ICMPv6 type, 1 byte.
    #[serde(rename = "icmpv6_type")]
    Icmpv6Type,
    /// An ICMP code, 1 byte.
    IcmpCode,
    /// An ICMPv6 code, 1 byte.
    #[serde(rename = "icmpv6_code")]
    Icmpv6Code,
    /// An ARP operation, 2 bytes.
    ArpOp,
}

impl DataType {
    /// All types.
    pub const ALL: [Self; 14] = [
        Self::Ipv4Addr,
        Self::Ipv6Addr,
        Self::EtherAddr,
        Self::EtherType,
        Self::InetProto,
        Self::InetService,
        Self::Mark,
        Self::Ifname,
        Self::IfaceIndex,
        Self::IcmpType,
        Self::Icmpv6Type,
        Self::IcmpCode,
        Self::Icmpv6Code,
        Self::ArpOp,
    ];

    /// How many types a concatenation can have: their 6-bit numbers share 32 bits.
    pub const MOST: usize = 5;

    /// nft's number.
    pub fn number(self) -> u32 {
        match self {
            Self::Ipv4Addr => 7,
            Self::Ipv6Addr => 8,
            Self::EtherAddr => 9,
            Self::EtherType => 10,
            Self::ArpOp => 11,
            Self::InetProto => 12,
            Self::InetService => 13,
            Self::IcmpType => 14,
            Self::Mark => 19,
            Self::IfaceIndex => 20,
            Self::Icmpv6Type => 29,
            Self::IcmpCode => 32,
            Self::Icmpv6Code => 33,
            Self::Ifname => 41,
        }
    }

    /// The number of a concatenation: that of the last type is lowest.
    pub fn numbers(types: &[Self]) -> u32 {
        types.iter().fold(0, |sum, data| (sum << 6) | data.number())
    }

    /// The types of a concatenation with `number`; `None` when one is not known.
    pub fn from_numbers(mut number: u32) -> Option<Types> {
        let mut types = Vec::new();
        while number > 0 {
            types.insert(0, Self::ALL.into_iter().find(|t| t.number() == number & 0x3f)?);
            number >>= 6;
        }
        (!types.is_empty()).then(|| types.into())
    }

    /// How many bytes a value has.
    pub fn size(self) -> usize {
        match self {
            Self::InetProto | Self::IcmpType | Self::Icmpv6Type | Self::IcmpCode | Self::Icmpv6Code => 1,
            Self::EtherType | Self::InetService | Self::ArpOp => 2,
            Self::Ipv4Addr | Self::Mark | Self::IfaceIndex => 4,
            Self::EtherAddr => 6,
            Self::Ipv6Addr | Self::Ifname => 16,
        }
    }

    /// How many bytes the values of a key have together. In a concatenation each starts at a 4-byte boundary.
    pub fn total(types: &[Self]) -> usize {
        match types {
            [one] => one.size(),
            many => many.iter().map(|t| t.size().next_multiple_of(4)).sum(),
        }
    }

    /// Whether values are stored in the machine's byte order, so that their bytes do not sort as they do.
    pub fn is_host_order(self) -> bool {
        matches!(self, Self::Mark | Self::Ifname | Self::IfaceIndex)
    }

    /// Whether an interval of values makes sense to the kernel.
    pub fn has_order(self) -> bool {
        !self.is_host_order()
    }

    /// The value in `bytes`, which are as many as the type has.
    pub fn read(self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::Ipv4Addr => <[u8; 4]>::try_from(bytes).ok().map(|b| Value::Ipv4(Ipv4Addr::from(b))),
            Self::Ipv6Addr => <[u8; 16]>::try_from(bytes).ok().map(|b| Value::Ipv6(Ipv6Addr::from(b))),
            Self::EtherAddr => <[u8; 6]>::try_from(bytes).ok().map(Value::Ether),
            Self::Ifname => {
                let name = std::str::from_utf8(bytes.split(|b| *b == 0).next()?).ok()?;
                name.parse().ok().map(Value::Ifname)
            }
            Self::Mark | Self::IfaceIndex => {
                <[u8; 4]>::try_from(bytes).ok().map(|b| Value::Number(u32::from_ne_bytes(b)))
            }
            Self::EtherType | Self::InetService | Self::ArpOp => {
                <[u8; 2]>::try_from(bytes).ok().map(|b| Value::Number(u16::from_be_bytes(b).into()))
            }
            Self::InetProto | Self::IcmpType | Self::Icmpv6Type | Self::IcmpCode | Self::Icmpv6Code => {
                match bytes {
                    [byte] => Some(Value::Number((*byte).into())),
                    _ => None,
                }
            }
        }
    }

    /// The value that `text` says.
    ///
    /// # Errors
    /// What would be a value of this type.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let refuse = || format!("{text:?} is not {self} ({})", self.example());
        let value = match self {
            Self::Ipv4Addr => text.parse().ok().map(Value::Ipv4),
            Self::Ipv6Addr => text.parse().ok().map(Value::Ipv6),
            Self::EtherAddr => ether(text).map(Value::Ether),
            Self::Ifname => return text.parse().map(Value::Ifname).map_err(|e| format!("{e}")),
            _ => self.named(text).or_else(|| number(text)).map(Value::Number),
        };
        value.filter(|v| v.fits(self)).ok_or_else(refuse)
    }

    /// The number of a protocol or EtherType that has a name.
    fn named(self, text: &str) -> Option<u32> {
        let names: &[(&str, u32)] = match self {
            Self::InetProto => &[
                ("icmp", 1),
                ("igmp", 2),
                ("tcp", 6),
                ("udp", 17),
                ("gre", 47),
                ("esp", 50),
                ("ah", 51),
                ("icmpv6", 58),
                ("ipv6-icmp", 58),
                ("sctp", 132),
            ],
            Self::EtherType => &[("ip", 0x0800), ("arp", 0x0806), ("vlan", 0x8100), ("ip6", 0x86dd)],
            _ => &[],
        };
        names.iter().find(|(name, _)| *name == text).map(|(_, number)| *number)
    }

    fn example(self) -> &'static str {
        match self {
            Self::Ipv4Addr => "as in 192.0.2.1",
            Self::Ipv6Addr => "as in 2001:db8::1",
            Self::EtherAddr => "as in 02:00:5e:00:53:01",
            Self::Ifname => "as in eth0",
            Self::InetProto => "0 to 255, or a name as in tcp",
            Self::EtherType => "0 to 65535, or ip, ip6, arp, vlan",
            Self::InetService | Self::ArpOp => "0 to 65535",
            Self::IcmpType | Self::Icmpv6Type | Self::IcmpCode | Self::Icmpv6Code => "0 to 255",
            Self::Mark | Self::IfaceIndex => "0 to 4294967295, or hex as in 0x100",
        }
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None => guestnet_core::number(text),
    }
}

fn ether(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Addr => "ipv4_addr",
            Self::Ipv6Addr => "ipv6_addr",
            Self::EtherAddr => "ether_addr",
            Self::EtherType => "ether_type",
            Self::InetProto => "inet_proto",
            Self::InetService => "inet_service",
            Self::Mark => "mark",
            Self::Ifname => "ifname",
            Self::IfaceIndex => "iface_index",
            Self::IcmpType => "icmp_type",
            Self::Icmpv6Type => "icmpv6_type",
            Self::IcmpCode => "icmp_code",
            Self::Icmpv6Code => "icmpv6_code",
            Self::ArpOp => "arp_op",
        })
    }
}

/// A list of types as nft says it: `ifname . ipv4_addr`.
pub(crate) fn concatenation(types: &[DataType]) -> String {
    types.iter().map(DataType::to_string).collect::<Vec<_>>().join(" . ")
}
