//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;

use crate::Netns;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// That of the interface `link`.
    ///
    /// # Errors
    /// When there is no such interface, or it has none.
    pub fn of(netns: &Netns, link: &str) -> Result<Self> {
        let found = netns.run(|| -> Result<_> {
            let mut addresses = getifaddrs()?.filter(|a| a.interface_name == link);
            Ok(addresses.find_map(|a| a.address?.as_link_addr()?.addr()))
        })?;
        found.map(Self).with_context(|| format!("{link} in the namespace {} has no MAC", netns.name()))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split(':').map(|part| u8::from_str_radix(part, 16)).collect::<Result<Vec<_>, _>>();
        let bytes = parts.ok().and_then(|parts| parts.try_into().ok());
        bytes.map(Self).with_context(|| format!("{text:?} is no MAC"))
    }
}
