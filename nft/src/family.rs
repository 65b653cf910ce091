//! Families of tables.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The family of a table: which packets its chains can see.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// IPv4 and IPv6.
    Inet,
    /// What crosses a bridge.
    Bridge,
    /// What enters or leaves one device.
    Netdev,
    /// ARP.
    Arp,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 6] = [Self::Ip, Self::Ip6, Self::Inet, Self::Bridge, Self::Netdev, Self::Arp];

    /// The kernel's number (`NFPROTO_*`).
    pub fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Arp => 3,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
        }
    }

    /// The family with the kernel's number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.number() == number)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
            Self::Arp => "arp",
        })
    }
}
