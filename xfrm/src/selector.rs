//! Which packets a policy or a state is for.

use std::fmt;

use guestnet_core::problem::{Path, Problems};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// Packets from `src` to `dst`, of one protocol and port if that is said: `src … dst … proto … sport … dport …`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Where the packets come from.
    #[schemars(with = "guestnet_core::schema::IpPrefix")]
    pub src: IpNet,
    /// Where they go. Of the same family.
    #[schemars(with = "guestnet_core::schema::IpPrefix")]
    pub dst: IpNet,
    /// Their protocol by number (IANA protocol numbers; 6 is TCP); left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<u8>,
    /// Their source port; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    /// Their destination port; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
}

impl Selector {
    /// All packets from `src` to `dst`.
    pub const fn new(src: IpNet, dst: IpNet) -> Self {
        Self { src, dst, proto: None, sport: None, dport: None }
    }

    /// Every IPv4 packet.
    pub fn ipv4() -> Self {
        let any = IpNet::V4(Ipv4Net::default());
        Self::new(any, any)
    }

    /// Every IPv6 packet.
    pub fn ipv6() -> Self {
        let any = IpNet::V6(Ipv6Net::default());
        Self::new(any, any)
    }

    /// The packets of the other direction.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport, proto: self.proto }
    }

    /// Notes what is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        check_prefix(&self.src, &path.field("src"), problems);
        check_prefix(&self.dst, &path.field("dst"), problems);
        if is_ipv4(&self.src) != is_ipv4(&self.dst) {
            problems
                .at(&path.field("dst"), format!("{} is of another family than src, {}", self.dst, self.src));
        }
        let ports = self.sport.is_some() || self.dport.is_some();
        if self.proto == Some(0) {
            problems.at(&path.field("proto"), "the kernel takes 0 for any protocol; leave it out");
        } else if ports && self.proto.is_none() {
            problems.at(&path.field("proto"), "ports need a protocol that has them");
        }
    }
}

pub(crate) fn is_ipv4(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}

pub(crate) fn check_prefix(net: &IpNet, path: &Path, problems: &mut Problems) {
    if *net != net.trunc() {
        problems.at(path, format!("{net} has bits behind its prefix; {} is meant?", net.trunc()));
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src {} dst {}", self.src, self.dst)?;
        if let Some(proto) = self.proto {
            write!(f, " proto {proto}")?;
        }
        if let Some(port) = self.sport {
            write!(f, " sport {port}")?;
        }
        if let Some(port) = self.dport {
            write!(f, " dport {port}")?;
        }
        Ok(())
    }
}

/// Packets whose mark, under `mask`, is `value` (`mark VALUE mask MASK`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The mark.
    pub value: u32,
    /// The bits of it that count.
    pub mask: u32,
}

impl Mark {
    pub(crate) fn check(self, path: &Path, problems: &mut Problems) {
        if self.mask == 0 {
            problems.at(&path.field("mask"), "a mark under no bits is no mark; leave it out");
        } else if self.value & !self.mask != 0 {
            problems.at(&path.field("value"), "no packet has a bit that the mask takes away");
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mark {:#x} mask {:#x}", self.value, self.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_found_each_at_its_place() {
        let json = r#"{"src": "10.0.0.1/24", "dst": "fd00::/64", "dport": 53}"#;
        let selector: Selector = serde_json::from_str(json).unwrap();
        let mut problems = Problems::new();
        selector.check(&Path::root(), &mut problems);
        Mark { value: 2, mask: 1 }.check(&Path::root().field("mark"), &mut problems);
        Selector { proto: Some(0), ..Selector::ipv4() }.check(&Path::root().field("any"), &mut problems);
        let said: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(said, ["src", "dst", "proto", "mark.value", "any.proto"]);
    }

    #[test]
    fn the_other_direction_swaps_both_ends() {
        let selector = Selector { dport: Some(53), proto: Some(17), ..Selector::ipv4() };
        assert_eq!(selector.reversed().to_string(), "src 0.0.0.0/0 dst 0.0.0.0/0 proto 17 sport 53");
        assert_eq!(selector.reversed().reversed(), selector);
    }
}
