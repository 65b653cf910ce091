//! The sysctls `net/ipv4/conf/LINK/…` and `net/ipv6/conf/LINK/…` as a link's message tells them (`IFLA_AF_SPEC`): all of
//! them in one answer, where each file would be three system calls.

use super::settings::IFLA_INET6_ADDR_GEN_MODE;
use crate::netlink::Attributes;

const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_CONF: u16 = 2;

/// The settings of one link, in the kernel's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conf {
    ipv4: Box<[u8]>,
    ipv6: Box<[u8]>,
    addr_gen_mode: Option<u8>,
}

/// Names of files and their places in `IFLA_INET_CONF` (`IPV4_DEVCONF_*` of linux/ip.h, less one). Only those whose file
/// shows the number as it is.
const IPV4: [(&str, usize); 16] = [
    ("forwarding", 0),
    ("proxy_arp", 2),
    ("accept_redirects", 3),
    ("secure_redirects", 4),
    ("send_redirects", 5),
    ("shared_media", 6),
    ("rp_filter", 7),
    ("accept_source_route", 8),
    ("log_martians", 10),
    ("arp_filter", 12),
    ("arp_announce", 17),
    ("arp_ignore", 18),
    ("arp_accept", 20),
    ("arp_notify", 21),
    ("accept_local", 22),
    ("proxy_arp_pvlan", 24),
];

/// The same for `IFLA_INET6_CONF` (`DEVCONF_*` of linux/ipv6.h).
const IPV6: [(&str, usize); 10] = [
    ("forwarding", 0),
    ("hop_limit", 1),
    ("accept_ra", 3),
    ("accept_redirects", 4),
    ("autoconf", 5),
    ("dad_transmits", 6),
    ("proxy_ndp", 22),
    ("accept_source_route", 24),
    ("disable_ipv6", 26),
    ("accept_dad", 27),
];

impl Conf {
    /// Reads them from what `IFLA_AF_SPEC` holds.
    pub(crate) fn read(families: &[u8]) -> Self {
        let families = Attributes::after(families, 0);
        let of = |family: i32| Attributes::after(families.get(family as u16).unwrap_or_default(), 0);
        let [ipv6, mode] = of(libc::AF_INET6).pick([IFLA_INET6_CONF, IFLA_INET6_ADDR_GEN_MODE]);
        Self {
            ipv4: of(libc::AF_INET).get(IFLA_INET_CONF).unwrap_or_default().into(),
            ipv6: ipv6.unwrap_or_default().into(),
            addr_gen_mode: mode.and_then(|mode| mode.first().copied()),
        }
    }

    /// The value of `parameter` of `family` (`ipv4`, `ipv6`); `None` where it has to be read from its file.
    pub(crate) fn get(&self, family: &str, parameter: &str) -> Option<i32> {
        let (bytes, names): (&[u8], &[(&str, usize)]) = match family {
            "ipv4" => (&self.ipv4, &IPV4),
            "ipv6" if parameter == "addr_gen_mode" => return self.addr_gen_mode.map(Into::into),
            "ipv6" => (&self.ipv6, &IPV6),
            _ => return None,
        };
        let (_, place) = names.iter().find(|(name, _)| *name == parameter)?;
        let value = bytes.get(place * 4..place * 4 + 4)?;
        value.try_into().ok().map(i32::from_ne_bytes)
    }
}
