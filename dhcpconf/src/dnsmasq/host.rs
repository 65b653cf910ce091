//! Hosts that are known by their MAC address: `dhcp-host`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_core::{Mac, Path, Problems};
use serde::{Deserialize, Serialize};

use super::range::check_lease_time;
use crate::value::{Hostname, LeaseTime, Tag};

/// What a host gets that is known by its MAC address. At least one thing must be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// By which it is known.
    pub mac: Mac,
    /// Know it by its MAC address alone, whatever client identifier it sends (`id:*`): a guest that boots from its
    /// initial RAM disk, then its system, then another after a reinstallation is one client with one lease.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub ignore_client_id: bool,
    /// The tag that its requests get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Tag>,
    /// Only for requests with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Its IPv4 address, in the subnet of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// Its address by DHCPv6, in the prefix of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address6: Option<Ipv6Addr>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// How long it holds its addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_time: Option<LeaseTime>,
}

impl Host {
    /// The host with `mac`, of which nothing is said yet.
    pub fn new(mac: Mac) -> Self {
        Self {
            mac,
            ignore_client_id: false,
            set: None,
            tag: None,
            address: None,
            address6: None,
            hostname: None,
            lease_time: None,
        }
    }

    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        if *self
            == (Self {
                ignore_client_id: self.ignore_client_id,
                tag: self.tag.clone(),
                ..Self::new(self.mac)
            })
        {
            problems
                .at(path, format!("nothing is said of the host {}: no address, no name, no tag", self.mac));
        }
        check_lease_time(self.lease_time, path, problems);
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dhcp-host={}", self.mac)?;
        f.write_str(if self.ignore_client_id { ",id:*" } else { "" })?;
        if let Some(set) = &self.set {
            write!(f, ",set:{set}")?;
        }
        if let Some(tag) = &self.tag {
            write!(f, ",tag:{tag}")?;
        }
        if let Some(address) = self.address {
            write!(f, ",{address}")?;
        }
        if let Some(address) = self.address6 {
            write!(f, ",[{address}]")?;
        }
        if let Some(hostname) = &self.hostname {
            write!(f, ",{hostname}")?;
        }
        self.lease_time.map_or(Ok(()), |time| write!(f, ",{time}"))
    }
}
