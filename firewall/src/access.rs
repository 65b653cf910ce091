//! Access lists: who may speak to whom.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use guestnet_core::number;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{IcmpMessage, RateLimit};

/// What a guest may send and get, beside what the contract grants everybody. Nothing when it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// The groups that it is in, whose lists are its own too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub groups: Vec<GroupName>,
    /// What it gets. `[{}]` is everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Entry>,
    /// What it may send. `[{}]` is everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Entry>,
    /// Looks up every packet in the list of its direction, and does not ask for connections: answers need an entry too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub stateless: bool,
    /// How many connections it may have at once, from and to it; what would begin another one is dropped. Left out, as many
    /// as conntrack of the host has room for. `ct count over 1000 drop`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<NonZeroU32>,
}

/// One entry of an access list. What it does not say is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Entry {
    /// The protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Transport>,
    /// The ports of the destination: `"443"`, `"8000-8100"`. For TCP, UDP, UDP-Lite, SCTP and DCCP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::narrowing")]
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub ports: Vec<PortRange>,
    /// The types of ICMP or ICMPv6, or a type and a code: `8`, `"3/4"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::narrowing")]
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub types: Vec<IcmpMessage>,
    /// The other side: any of these prefixes, or of the groups. Without either, everybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    #[serde(deserialize_with = "guestnet_core::records::narrowing")]
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub prefixes: Vec<IpNet>,
    /// The other side: the members of these groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::narrowing")]
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub groups: Vec<GroupName>,
    /// Drops what it fits, whatever other entries say: an entry that denies comes before all that do not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub deny: bool,
    /// Fits no faster: for each guest, port and type by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<RateLimit>,
}

/// A group of guests with one access list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Members that are not among the guests here: those on other hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub addresses: Vec<IpNet>,
    /// What each member gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Entry>,
    /// What each member may send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Entry>,
}

/// What the members of one group may send to those of another: an entry in the `egress` of the one and in the
/// `ingress` of the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Who sends.
    pub from: GroupName,
    /// Who gets it.
    pub to: GroupName,
    /// As in [`Entry`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Transport>,
    /// As in [`Entry`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::narrowing")]
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub ports: Vec<PortRange>,
    /// As in [`Entry`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::narrowing")]
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub types: Vec<IcmpMessage>,
}

impl Tier {
    /// Its entry in the list of one side, about the other.
    pub(crate) fn entry(&self, other: &GroupName) -> Entry {
        Entry {
            protocol: self.protocol,
            ports: self.ports.clone(),
            types: self.types.clone(),
            groups: vec![other.clone()],
            ..Entry::default()
        }
    }
}

/// The name of a group: 1 to 31 characters from `a-z 0-9 _`, starting with a letter. It is part of the names of the
/// kernel's sets: `nft list set inet guestnet_firewall members_web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

impl GroupName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "1 to 31 of a to z, 0 to 9 and '_', the first a letter";
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !plain || text.len() > 31 || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(format!("{text:?} is not a name for a group: {form}"));
        }
        Ok(Self(text.to_owned()))
    }
}

guestnet_core::checked_text!(GroupName, String, "^[a-z][a-z0-9_]{0,30}$");

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A protocol over IP, by its name or number: `tcp`, `47`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Transport(pub u8);

impl Transport {
    /// ICMP, of IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);

    const NAMES: &'static [(&'static str, Self)] = &[
        ("icmp", Self::ICMP),
        ("igmp", Self(2)),
        ("tcp", Self::TCP),
        ("udp", Self::UDP),
        ("dccp", Self(33)),
        ("gre", Self(47)),
        ("esp", Self(50)),
        ("ah", Self(51)),
        ("icmpv6", Self::ICMPV6),
        ("sctp", Self(132)),
        ("udplite", Self(136)),
    ];

    /// Whether it has ports.
    pub fn has_ports(self) -> bool {
        [6, 17, 33, 132, 136].contains(&self.0)
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, protocol)| *protocol);
        named.or_else(|| number(text).map(Self)).ok_or_else(|| {
            format!("{text:?} is no protocol: 0 to 255, or a name as in tcp, udp, icmp, icmpv6")
        })
    }
}

guestnet_core::checked_text!(
    Transport,
    String,
    "^(0|[1-9][0-9]{0,2}|icmp|igmp|tcp|udp|dccp|gre|esp|ah|icmpv6|sctp|udplite)$"
);

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, protocol)| protocol == self) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// A port, or the ports from one to another, both included: `443`, `8000-8100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The ports from `first` to `last`; `None` where it ends before it starts.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether `port` is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        number(first)
            .zip(number(last))
            .and_then(|(first, last)| Self::new(first, last))
            .ok_or_else(|| format!("{text:?} is no port and no range of ports, as in 443 or 8000-8100"))
    }
}

guestnet_core::checked_text!(PortRange, String, "^(0|[1-9][0-9]{0,4})(-(0|[1-9][0-9]{0,4}))?$");

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", self.last) }
    }
}
