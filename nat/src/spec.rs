//! What is to be translated.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Whether the kernel may keep state about the translated connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "NatMode")]
pub enum Mode {
    /// None at all: translated packets bypass conntrack (`notrack`), so that no number of connections can exhaust it.
    /// A firewall in the namespace sees them as `ct state untracked`.
    Notrack,
    /// The translation itself keeps none, but lies outside of conntrack's view: conntrack sees the private addresses
    /// both ways, so that `ct state established` works in a firewall. Where no rule asks conntrack, there is no state.
    #[default]
    Tracked,
}

/// A public address or prefix and the private one that stands for it, of equal length. In IPv6 this is what RFC 6296
/// (NPTv6) does, but with checksums put right instead of kept neutral, so that all bits behind the prefix stay.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// As the world sees it. A single address has the length 32 or 128.
    #[schemars(with = "guestnet_core::schema::IpPrefix")]
    pub public: IpNet,
    /// As the guest has it.
    #[schemars(with = "guestnet_core::schema::IpPrefix")]
    pub private: IpNet,
}

/// The translation of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatSpec {
    /// Whether there is connection state.
    #[serde(default)]
    pub mode: Mode,
    /// Destinations to which guests speak from their private addresses. Prefixes may overlap. An outside host in one
    /// of them cannot reach a guest by its public address: the answers would come from the private one.
    #[serde(default)]
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    pub untranslated: Vec<IpNet>,
    /// The addresses and prefixes, each in one pair only, in any number and of both families.
    #[serde(default)]
    pub pairs: Vec<Pair>,
}
