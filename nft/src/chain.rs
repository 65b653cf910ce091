//! Chains, and where they hook into the packet's way.

use std::collections::BTreeSet;
use std::fmt;

use guestnet_core::{LinkName, Object};
use serde::{Deserialize, Serialize};

use crate::{Family, Name, Rule};

/// A chain of rules. With a [`Base`] packets enter it from the kernel, without one only from other rules.
///
/// `nft add chain ip guestnet_nat prerouting '{ type filter hook prerouting priority -300; policy accept; }'`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Its name.
    pub name: Name,
    /// Where packets enter it from the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Its rules, in the order in which a packet meets them.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// The hook of a base chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// What the chain is for.
    #[serde(rename = "type", default, skip_serializing_if = "ChainType::is_filter")]
    #[schemars(extend("default" = ChainType::default()))]
    pub kind: ChainType,
    /// Where on the packet's way.
    pub hook: Hook,
    /// The order among the chains of a hook; lower is earlier. `raw` is -300, conntrack -200, `filter` 0.
    pub priority: i32,
    /// What becomes of a packet that no rule decided on.
    #[serde(default, skip_serializing_if = "Policy::is_accept")]
    #[schemars(extend("default" = Policy::default()))]
    pub policy: Policy,
    /// The devices of an ingress or egress hook.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    pub devices: BTreeSet<LinkName>,
}

/// The type of a base chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChainType {
    /// Sees every packet.
    #[default]
    Filter,
    /// Output only: the packet is routed again when its mark or addresses changed.
    Route,
    /// Sees the first packet of a connection.
    Nat,
}

/// The places at which a base chain can hook in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Packets that came in, before routing.
    Prerouting,
    /// Packets for the host itself.
    Input,
    /// Packets that pass through.
    Forward,
    /// Packets of the host's own.
    Output,
    /// Packets that leave, after routing.
    Postrouting,
    /// Packets as they come from a device (netdev; inet from kernel 5.10).
    Ingress,
    /// Packets as they go to a device (netdev, kernel 5.16).
    Egress,
}

/// The policy of a base chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ChainPolicy")]
pub enum Policy {
    /// The packet goes on.
    #[default]
    Accept,
    /// The packet is dropped.
    Drop,
}

impl Chain {
    /// A chain that packets enter from other rules.
    pub fn regular(name: Name) -> Self {
        Self { name, base: None, rules: Vec::new() }
    }

    /// A chain of type filter with policy accept, which packets enter at `hook`.
    pub fn base(name: Name, hook: Hook, priority: i32) -> Self {
        let base = Base {
            kind: ChainType::Filter,
            hook,
            priority,
            policy: Policy::Accept,
            devices: BTreeSet::new(),
        };
        Self { name, base: Some(base), rules: Vec::new() }
    }

    /// Drops what no rule decided on. No effect on a chain without a base.
    #[must_use]
    pub fn policy_drop(mut self) -> Self {
        self.base.iter_mut().for_each(|base| base.policy = Policy::Drop);
        self
    }

    /// Appends `rule`.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }
}

impl Object for Chain {
    type Key = Name;
    const KIND: &'static str = "chain";

    fn key(&self) -> Name {
        self.name.clone()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.name, crate::words::count(self.rules.len(), "rule"))
    }
}

impl Hook {
    /// The kernel's number of the hook in `family`; `None` where the family has no such hook.
    pub fn number(self, family: Family) -> Option<u32> {
        use Family::{Arp, Bridge, Inet, Ip, Ip6, Netdev};
        match (family, self) {
            (Netdev, Self::Ingress) | (Arp, Self::Input) => Some(0),
            (Netdev, Self::Egress) | (Arp, Self::Output) => Some(1),
            (Inet, Self::Ingress) => Some(5),
            (Ip | Ip6 | Inet | Bridge, Self::Prerouting) => Some(0),
            (Ip | Ip6 | Inet | Bridge, Self::Input) => Some(1),
            (Ip | Ip6 | Inet | Bridge, Self::Forward) => Some(2),
            (Ip | Ip6 | Inet | Bridge, Self::Output) => Some(3),
            (Ip | Ip6 | Inet | Bridge, Self::Postrouting) => Some(4),
            _ => None,
        }
    }

    /// The hook with the kernel's number in `family`.
    pub fn from_number(number: u32, family: Family) -> Option<Self> {
        use Hook::{Egress, Forward, Ingress, Input, Output, Postrouting, Prerouting};
        [Prerouting, Input, Forward, Output, Postrouting, Ingress, Egress]
            .into_iter()
            .find(|hook| hook.number(family) == Some(number))
    }
}

impl ChainType {
    fn is_filter(&self) -> bool {
        *self == Self::Filter
    }
}

impl Policy {
    fn is_accept(&self) -> bool {
        *self == Self::Accept
    }
}

impl fmt::Display for ChainType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filter => "filter",
            Self::Route => "route",
            Self::Nat => "nat",
        })
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
        })
    }
}
