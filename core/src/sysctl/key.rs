//! Names and values of sysctls.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::checked_text;
use crate::kind::Ripple;
use crate::name::{LinkName, NameError};

/// The path of a sysctl below `/proc/sys`, starting with `net/`.
///
/// Ordered so that what sets others comes first: plain ones, then `conf/all`, `conf/default`, then interfaces. The
/// `accept_ra` of an interface comes before all of `conf`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SysctlKey {
    rank: u8,
    pub(super) path: SmolStr,
    pub(super) link: Option<LinkName>,
}

/// The value of a sysctl: 1 to 64 printable characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SysctlValue(pub(super) SmolStr);

/// Why a text names no sysctl or is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SysctlError(String);

impl FromStr for SysctlKey {
    type Err = SysctlError;

    fn from_str(text: &str) -> std::result::Result<Self, SysctlError> {
        let path: SmolStr = if text.contains('/') { text.into() } else { text.replace('.', "/").into() };
        let refuse = |why: &str| Err(SysctlError(format!("{text:?} is no sysctl of the network: {why}")));
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            let c = path.chars().find(|c| !c.is_ascii_graphic()).unwrap_or_default();
            return refuse(&format!("{c:?} cannot stand in it"));
        }
        let (mut rest, mut parts, mut count) = (Some(path.as_str()), [""; 5], 0);
        while let Some(path) = rest {
            let part;
            (part, rest) = cut(path).map_or((path, None), |(part, rest)| (part, Some(rest)));
            if part.is_empty() || part.starts_with("..") || part == "." {
                return refuse("a part of it is empty or dots");
            }
            parts.get_mut(count).into_iter().for_each(|place| *place = part);
            count += 1;
        }
        if parts[0] != "net" || count < 3 {
            return refuse("it starts with net/ and names at least a group and a value");
        }
        let link = |name: &str| name.parse().map(Some).map_err(|e: NameError| SysctlError(e.to_string()));
        let (rank, link) = match (count, parts) {
            (5, [_, "ipv4" | "ipv6", "conf" | "neigh", "all", _]) => (1, None),
            (5, [_, "ipv4" | "ipv6", "conf" | "neigh", "default", _]) => (2, None),
            // Without this being 2, `conf/all/forwarding` takes away the default route that a router has announced.
            (5, [_, "ipv6", "conf", name, "accept_ra"]) => (0, link(name)?),
            (5, [_, "ipv4" | "ipv6", "conf" | "neigh", name, _]) => (3, link(name)?),
            _ => (0, None),
        };
        Ok(Self { rank, path, link })
    }
}

/// The four parts behind `net/`, where there are four: family, group, whose, parameter.
fn parts(path: &str) -> Option<[&str; 4]> {
    let (family, rest) = cut(path.strip_prefix("net/")?)?;
    let (group, rest) = cut(rest)?;
    let (whose, parameter) = cut(rest)?;
    cut(parameter).is_none().then_some([family, group, whose, parameter])
}

/// What is before the first `/` and what is behind it: for short parts sooner than `split_once`, which searches by words.
fn cut(path: &str) -> Option<(&str, &str)> {
    let at = path.bytes().position(|byte| byte == b'/')?;
    Some((path.get(..at)?, path.get(at + 1..)?))
}

impl FromStr for SysctlValue {
    type Err = SysctlError;

    fn from_str(text: &str) -> std::result::Result<Self, SysctlError> {
        if text.is_empty()
            || text.len() > 64
            || text.chars().any(|c| !c.is_ascii_graphic() && c != ' ' && c != '\t')
        {
            return Err(SysctlError(format!(
                "{text:?} is no value of a sysctl: 1 to 64 printable characters"
            )));
        }
        Ok(Self(text.into()))
    }
}

checked_text!(SysctlKey, SysctlError, "^net[./][!-~]+[./][!-~]+$");
checked_text!(SysctlValue, SysctlError, r"^[\t -~]{1,64}$");

impl fmt::Display for SysctlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl fmt::Display for SysctlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parameters of one interface that concern nothing else.
const CALM: [&str; 12] = [
    "accept_dad",
    "accept_ra",
    "accept_redirects",
    "accept_source_route",
    "arp_accept",
    "arp_announce",
    "arp_ignore",
    "forwarding",
    "proxy_arp",
    "proxy_ndp",
    "rp_filter",
    "send_redirects",
];

impl SysctlKey {
    /// What setting it may change besides itself.
    pub(super) fn ripple(&self) -> Ripple {
        match (parts(&self.path), self.path.as_str()) {
            (Some([_, "conf", "all" | "default", parameter]), _) if CALM.contains(&parameter) => {
                Ripple::Settings
            }
            (Some([_, "conf", _, parameter]), _) if CALM.contains(&parameter) => Ripple::None,
            (Some([_, "neigh", ..]), _) => Ripple::None,
            (_, "net/ipv4/ip_forward") => Ripple::Settings,
            (_, "net/ipv4/fwmark_reflect" | "net/ipv6/fwmark_reflect") => Ripple::None,
            _ => Ripple::Anything,
        }
    }

    /// The setting of a link that this is, family and parameter, if it is one of `conf`.
    pub(super) fn setting(&self) -> Option<(&LinkName, &str, &str)> {
        match parts(&self.path)? {
            [family, "conf", _, parameter] => Some((self.link.as_ref()?, family, parameter)),
            _ => None,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        ["/proc/sys/", &self.path].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_so_that_all_comes_before_its_interfaces() {
        let mut keys: Vec<SysctlKey> =
            ["net.ipv4.conf.aaa.proxy_arp", "net/ipv4/conf/default/x", "net/ipv4/conf/all/x"]
                .iter()
                .chain(&["net.ipv4.ip_forward"])
                .map(|k| k.parse().unwrap())
                .collect();
        keys.sort();
        let paths: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let wanted = [
            "net/ipv4/ip_forward",
            "net/ipv4/conf/all/x",
            "net/ipv4/conf/default/x",
            "net/ipv4/conf/aaa/proxy_arp",
        ];
        assert_eq!(paths, wanted);
    }

    #[test]
    fn nothing_outside_of_the_network_is_a_key() {
        for bad in ["kernel/panic", "net/../kernel/panic", "net/ipv4//x", "net", "net/ipv4", "net/a/b\n"] {
            assert!(bad.parse::<SysctlKey>().is_err(), "{bad:?}");
        }
        let dotted: SysctlKey = "net/ipv4/conf/eth0.100/proxy_arp".parse().unwrap();
        assert_eq!(dotted.link.unwrap().as_str(), "eth0.100");
    }
}
