//! The veth pair that joins a guest's namespace to the host's.

use std::net::Ipv4Addr;

use guestnet_core::{Error, LinkName, Mac};

use crate::spec::{Guest, Transit};

/// The MTU of Ethernet, where the spec does not say another.
pub(crate) const ETHERNET: u32 = 1500;

/// The two ends of the pair, every default filled in.
pub(crate) struct Ends {
    pub(crate) host_link: LinkName,
    pub(crate) guest_link: LinkName,
    pub(crate) host_mac: Mac,
    pub(crate) guest_mac: Mac,
    pub(crate) host_ipv4: Ipv4Addr,
    pub(crate) guest_ipv4: Ipv4Addr,
    pub(crate) mtu: u32,
}

impl Ends {
    pub(crate) fn of(guest: &Guest) -> Result<Self, Error> {
        let Transit { host_link, guest_link, host_mac, guest_mac, host_ipv4, guest_ipv4, mtu } =
            guest.transit.clone();
        let host_link = host_link.map_or_else(|| link_name("vetho", guest.name.as_str()), Ok)?;
        let guest_link = guest_link.map_or_else(|| link_name("vethi", guest.name.as_str()), Ok)?;
        Ok(Self {
            host_mac: host_mac.unwrap_or_else(|| Mac::derived(&format!("{} {host_link}", guest.name))),
            guest_mac: guest_mac.unwrap_or_else(|| Mac::derived(&format!("{} {guest_link}", guest.name))),
            host_link,
            guest_link,
            host_ipv4: host_ipv4.unwrap_or(Ipv4Addr::new(169, 254, 0, 1)),
            guest_ipv4: guest_ipv4.or(guest.first_public_ipv4()).unwrap_or(Ipv4Addr::new(169, 254, 0, 2)),
            mtu: mtu.unwrap_or(ETHERNET),
        })
    }
}

/// `prefix` and `guest`; where that is too long for a link, `prefix` and eight hex digits that follow from `guest`.
fn link_name(prefix: &str, guest: &str) -> Result<LinkName, Error> {
    let short = || {
        let [_, _, a, b, c, d] = Mac::derived(guest).0;
        format!("{prefix}{a:02x}{b:02x}{c:02x}{d:02x}")
    };
    let name = format!("{prefix}{guest}").parse().or_else(|_| short().parse::<LinkName>());
    name.map_err(|e| Error::malformed(format!("link of guest {guest}"), e))
}
