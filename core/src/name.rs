//! Names and hardware addresses, checked where they enter so that nothing behind has to doubt them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::checked_text;

/// The name of a network interface: 1 to 15 visible ASCII characters (`IFNAMSIZ` less the NUL).
///
/// Narrower than the kernel, which also takes other UTF-8: no `/` and `:` (the kernel refuses them), no `.` or
/// `..` alone, and none of `% " ' \ , # ; { }`, which mean something in the files and commands that names end
/// up in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkName(SmolStr);

/// The name of a network namespace as `ip netns` knows it: a file in `/run/netns`.
///
/// 1 to 255 characters from `A-Z a-z 0-9 _ . @ -`, not starting with `.` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetnsName(SmolStr);

/// Which of a host's network namespaces an object lives in.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Netns {
    /// The host's own: the one in which the host was opened.
    #[default]
    Host,
    /// One that guestnet makes for a guest.
    Named(NetnsName),
}

/// A 48-bit MAC address, unicast.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// Why a text is not a name; says what would be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(String);

impl FromStr for LinkName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |why: &str| Err(NameError(format!("{text:?} is not an interface name: {why}")));
        if text.is_empty() || text.len() > 15 {
            return refuse(&format!("it has {} bytes, the kernel takes 1 to 15", text.len()));
        }
        if text == "." || text == ".." {
            return refuse("it is a directory");
        }
        let means_something =
            |c| matches!(c, '/' | ':' | '%' | '"' | '\'' | '\\' | ',' | '#' | ';' | '{' | '}');
        match text.chars().find(|c| !c.is_ascii_graphic() || means_something(*c)) {
            Some(c) => refuse(&format!("{c:?} cannot stand in it")),
            None => Ok(Self(text.into())),
        }
    }
}

impl LinkName {
    /// Why no link of ours can have this name, though it is one: `lo`, and what sysctl(8) calls all links and those to
    /// come, which the kernel refuses to register.
    pub fn reserved(&self) -> Option<&'static str> {
        match self.as_str() {
            "lo" => Some("the loopback is the kernel's"),
            "all" => Some("sysctls of all interfaces are called so: net/ipv6/conf/all"),
            "default" => Some("sysctls of interfaces to come are called so: net/ipv6/conf/default"),
            _ => None,
        }
    }
}

impl FromStr for NetnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |why: &str| Err(NameError(format!("{text:?} is not a namespace name: {why}")));
        if text.is_empty() || text.len() > 255 {
            return refuse(&format!("it has {} bytes, a file name has 1 to 255", text.len()));
        }
        if text.starts_with(['.', '-']) {
            return refuse("it starts with '.' or '-'");
        }
        match text.chars().find(|c| !c.is_ascii_alphanumeric() && !"_.@-".contains(*c)) {
            Some(c) => refuse(&format!("{c:?} cannot stand in it (letters, digits, '_', '.', '@', '-' can)")),
            None => Ok(Self(text.into())),
        }
    }
}

impl FromStr for Mac {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = || {
            NameError(format!(
                "{text:?} is not a MAC address: six pairs of hex digits, as in 02:00:5e:00:53:01"
            ))
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or_else(refuse)?, 16).map_err(|_| refuse())?;
        }
        if parts.next().is_some() {
            return Err(refuse());
        }
        let mac = Self(bytes);
        if mac.0[0] & 1 == 1 || mac.0 == [0; 6] {
            return Err(NameError(format!(
                "{text} is not the address of one interface: it is multicast or all zero"
            )));
        }
        Ok(mac)
    }
}

impl Mac {
    /// The EUI-64 link-local address of an interface with this MAC (RFC 4291, appendix A).
    pub fn link_local(self) -> std::net::Ipv6Addr {
        let m = self.0;
        let pair = |a: u8, b: u8| u16::from_be_bytes([a, b]);
        std::net::Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            pair(m[0] ^ 2, m[1]),
            pair(m[2], 0xff),
            pair(0xfe, m[3]),
            pair(m[4], m[5]),
        )
    }

    /// A locally administered MAC that follows from `seed`: equal seeds give equal addresses, so a link that is
    /// made again keeps its link-local address and its neighbours' caches stay right.
    pub fn derived(seed: &str) -> Self {
        // FNV-1a, 64 bits: any stable hash does, it guards nothing.
        let hash = seed
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let b = (hash ^ (hash >> 48)).to_be_bytes();
        Self([(b[2] & 0xfc) | 0x02, b[3], b[4], b[5], b[6], b[7]])
    }

    /// The same for the host's side of a tap: `fe:…`, the highest there are, since a bridge to which nobody has given a MAC
    /// takes the lowest of its ports'.
    pub fn derived_for_tap(seed: &str) -> Self {
        let Self([_, rest @ ..]) = Self::derived(seed);
        let [a, b, c, d, e] = rest;
        Self([0xfe, a, b, c, d, e])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Named(name) => name.fmt(f),
        }
    }
}

checked_text!(LinkName, NameError, r#"^[^/:%"'\\,#;{}\s]{1,15}$"#);
checked_text!(NetnsName, NameError, r"^[A-Za-z0-9_@][A-Za-z0-9_.@-]{0,254}$");
checked_text!(Mac, NameError, r"^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$");

macro_rules! string_newtype {
    ($($type:ident)*) => {$(
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

string_newtype!(LinkName NetnsName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_are_those_the_kernel_and_the_files_take() {
        for good in ["eth0", "tapvm7m86kv", "a", "abcdefghijklmno", "br-0.100", "x@y"] {
            assert!(good.parse::<LinkName>().is_ok(), "{good}");
        }
        for bad in ["", "abcdefghijklmnop", "a b", "a/b", "a:b", "a,b", ".", "..", "a\n", "é"] {
            assert!(bad.parse::<LinkName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_mac_gives_its_eui64_address() {
        let mac: Mac = "02:00:5e:00:53:01".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::5eff:fe00:5301");
        assert!("03:00:5e:00:53:01".parse::<Mac>().is_err(), "multicast");
        assert!("2:0:5e:0:53:1".parse::<Mac>().is_err(), "short pairs");
        assert!("02:00:5e:00:53:01:02".parse::<Mac>().is_err(), "seven pairs");
    }

    #[test]
    fn derived_macs_are_local_unicast_and_stable() {
        let mac = Mac::derived("host1/vm1");
        assert_eq!(mac, Mac::derived("host1/vm1"));
        assert_ne!(mac, Mac::derived("host1/vm2"));
        assert_eq!(mac.0[0] & 3, 2);
    }
}
