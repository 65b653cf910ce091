//! Ranges of addresses that are handed out: `dhcp-range`.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_core::{Path, Problems};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::value::{Interface, LeaseTime, Tag};

/// IPv4 addresses that are handed out.
///
/// A range is for the requests that come in on an interface with an address in the same subnet, or that a
/// [`SharedNetwork`] assigns to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range4 {
    /// Only for requests with this tag, for instance the name of the interface they came in on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The tag that a request gets when it is answered from this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Tag>,
    /// The first address.
    pub start: Ipv4Addr,
    /// The last address; the first one, for a single guest.
    pub end: Ipv4Addr,
    /// The length of the subnet's prefix, 1 to 32, which becomes the guest's netmask. Left out: that of the
    /// interface's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_len: Option<u8>,
    /// A bare number behind the addresses, as orchestrators write it that mean a prefix length:
    /// `192.168.0.85,192.168.0.85,32`.
    ///
    /// dnsmasq has no prefix length there. It reads a lease time in seconds and raises it to two minutes, and the
    /// netmask is that of the interface's address. Excludes `prefix_len` and `lease_time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bare_prefix_len: Option<u8>,
    /// How long an address is lent, at least two minutes. Left out: an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_time: Option<LeaseTime>,
}

/// IPv6 addresses that are handed out by DHCPv6, or a prefix that is advertised, or both.
///
/// The interface needs an address in the prefix, or neither happens; but for addresses of a [`SharedNetwork6`], where it
/// needs one that is not link-local.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range6 {
    /// Only for requests with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The tag that a request gets when it is answered from this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Tag>,
    /// The first address; without an `end` an address that says the prefix.
    pub start: Ipv6Addr,
    /// The last address that DHCPv6 hands out (stateful). Left out: it hands out none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Ipv6Addr>,
    /// What router advertisements say of the prefix.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub modes: BTreeSet<RaMode>,
    /// The length of the prefix: 64 to 128, and exactly 64 where it is advertised (RFC 4862, section 5.5.3).
    #[serde(default = "sixty_four")]
    pub prefix_len: u8,
    /// How long an address is lent and the prefix valid and preferred, at least two minutes. Left out: an hour, or a day
    /// for advertised prefixes. dnsmasq has one time for all three, and advertises a prefix for no less than three
    /// intervals of [`RouterAdvertisement`](super::RouterAdvertisement). Of two ranges of one prefix, the shorter time
    /// is that of the advertised prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_time: Option<LeaseTime>,
}

fn sixty_four() -> u8 {
    64
}

/// What router advertisements say of a prefix (dnsmasq(8), `dhcp-range`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RaMode {
    /// Guests make their addresses themselves (SLAAC, RFC 4862); there is no DHCPv6.
    RaOnly,
    /// Guests make their addresses themselves, beside those of DHCPv6.
    Slaac,
    /// Guests make their addresses themselves and ask DHCPv6 for the rest (DNS, …).
    RaStateless,
    /// The names of guests with DHCPv4 leases are given to their SLAAC addresses too.
    RaNames,
    /// Addresses only for hosts that are known by their MAC addresses.
    Static,
    /// The prefix is not said to be on the link (flag L of RFC 4861, section 4.6.2).
    OffLink,
}

/// Assigns the range of `address` to requests that come in where `interface_address` is: `shared-network`.
///
/// For guests whose address is in no subnet of the interface, as with a /32. The range must say its `prefix_len`,
/// and the router must be said by an option. dnsmasq 2.81.
///
/// Mind that dnsmasq then offers the range on *every* interface that it serves: give the range a `tag` where there
/// are several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedNetwork {
    /// An address of the interface on which requests come in.
    pub interface_address: Ipv4Addr,
    /// An address in the range.
    pub address: Ipv4Addr,
}

/// Assigns the range of `address` to requests that come in where `interface_address` is: `shared-network`.
///
/// For addresses in no prefix of the interface. The address of the interface is not link-local, and in a range of its own,
/// which says whether routers are advertised. dnsmasq 2.81.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedNetwork6 {
    /// An address of the interface on which requests come in.
    pub interface_address: Ipv6Addr,
    /// An address in the range.
    pub address: Ipv6Addr,
}

impl Range4 {
    /// One address, as in `dhcp-range=tap0,192.168.0.85,192.168.0.85,32`. See [`Self::bare_prefix_len`] for what
    /// that means.
    pub fn single(interface: &Interface, address: Ipv4Addr) -> Self {
        Self { bare_prefix_len: Some(32), ..Self::between(address, address) }.set(interface.into())
    }

    /// The addresses from `start` to `end`.
    pub fn between(start: Ipv4Addr, end: Ipv4Addr) -> Self {
        Self { tag: None, set: None, start, end, prefix_len: None, bare_prefix_len: None, lease_time: None }
    }

    /// With the tag that requests get.
    #[must_use]
    pub fn set(mut self, tag: Tag) -> Self {
        self.set = Some(tag);
        self
    }

    /// Only for requests with `tag`.
    #[must_use]
    pub fn only(mut self, tag: Tag) -> Self {
        self.tag = Some(tag);
        self
    }

    /// With a netmask of its own.
    #[must_use]
    pub fn prefix_len(mut self, length: u8) -> Self {
        self.prefix_len = Some(length);
        self
    }

    /// Lent for so long.
    #[must_use]
    pub fn lease_time(mut self, time: LeaseTime) -> Self {
        self.lease_time = Some(time);
        self
    }

    /// How many addresses there are.
    pub(super) fn size(&self) -> u64 {
        u64::from(u32::from(self.end).saturating_sub(u32::from(self.start))) + 1
    }

    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        if self.start > self.end {
            problems.at(&path.field("end"), format!("{} comes before the start {}", self.end, self.start));
        }
        for (field, ip) in [("start", self.start), ("end", self.end)] {
            if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || ip.is_broadcast() {
                problems.at(&path.field(field), format!("{ip} is no address of a guest"));
            }
        }
        match self.prefix_len.map(|length| (length, Ipv4Net::new(self.start, length))) {
            Some((length, Err(_)) | (length @ 0, _)) => {
                problems.at(&path.field("prefix_len"), format!("{length} is not 1 to 32"));
            }
            Some((_, Ok(net))) if !net.contains(&self.end) => {
                problems.at(&path.field("end"), format!("{} is not in the prefix {}", self.end, net.trunc()));
            }
            _ => {}
        }
        if let Some(length) = self.bare_prefix_len {
            let path = path.field("bare_prefix_len");
            if length > 32 {
                problems.at(&path, format!("{length} is not 0 to 32"));
            }
            if self.prefix_len.is_some() || self.lease_time.is_some() {
                problems.at(
                    &path,
                    "it stands where dnsmasq has the netmask and the lease time; give those or this",
                );
            }
        }
        check_lease_time(self.lease_time, path, problems);
    }
}

impl Range6 {
    /// One address by DHCPv6 and SLAAC beside it, as in `dhcp-range=tap0,fd00::2,fd00::2,slaac,64,12h`: the second
    /// address behind the first of `prefix`, which is the interface's.
    pub fn slaac(interface: &Interface, prefix: Ipv6Net) -> Self {
        let second = Ipv6Addr::from(u128::from(prefix.network()).saturating_add(2));
        Self {
            tag: None,
            set: Some(interface.into()),
            start: second,
            end: Some(second),
            modes: [RaMode::Slaac].into(),
            prefix_len: prefix.prefix_len(),
            lease_time: Some(LeaseTime::hours(12)),
        }
    }

    /// The same address by DHCPv6 alone.
    pub fn stateful(interface: &Interface, prefix: Ipv6Net) -> Self {
        Self { modes: BTreeSet::new(), ..Self::slaac(interface, prefix) }
    }

    /// `address` by DHCPv6, in no prefix of the interface; see [`SharedNetwork6`].
    pub fn single(interface: &Interface, address: Ipv6Addr) -> Self {
        Self { start: address, end: Some(address), ..Self::stateful(interface, Ipv6Net::from(address)) }
    }

    /// The prefix as it is advertised, without addresses by DHCPv6.
    pub fn advertised(
        interface: &Interface,
        prefix: Ipv6Net,
        modes: impl IntoIterator<Item = RaMode>,
    ) -> Self {
        let modes = modes.into_iter().collect();
        Self { start: prefix.network(), end: None, modes, ..Self::slaac(interface, prefix) }
    }

    /// Only for requests with `tag`, which sets none.
    #[must_use]
    pub fn only(mut self, tag: Tag) -> Self {
        (self.tag, self.set) = (Some(tag), None);
        self
    }

    /// Lent, and advertised, for so long.
    #[must_use]
    pub fn lease_time(mut self, time: LeaseTime) -> Self {
        self.lease_time = Some(time);
        self
    }

    pub(super) fn size(&self) -> u64 {
        let last = u128::from(self.end.unwrap_or(self.start));
        u64::try_from(last.saturating_sub(u128::from(self.start))).unwrap_or(u64::MAX).saturating_add(1)
    }

    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        if self.end.is_none() && self.modes.is_empty() {
            problems.at(&path.field("end"), "a range without an end and without modes hands out nothing");
        }
        if self.end.is_some() && self.modes.contains(&RaMode::RaOnly) {
            problems.at(&path.field("modes"), "ra_only has no DHCPv6, so there is no end; slaac is meant?");
        }
        if self.start.is_multicast() || self.start.is_unspecified() || self.start.is_unicast_link_local() {
            problems.at(&path.field("start"), format!("{} is no address of a guest", self.start));
        }
        let length = self.prefix_len;
        match Ipv6Net::new(self.start, length) {
            Ok(net) if length >= 64 => match self.end {
                Some(end) if !net.contains(&end) => {
                    problems.at(&path.field("end"), format!("{end} is not in the prefix {}", net.trunc()));
                }
                Some(end) if end < self.start => {
                    problems.at(&path.field("end"), format!("{end} comes before the start {}", self.start));
                }
                _ => {}
            },
            _ => problems.at(&path.field("prefix_len"), format!("{length} is not 64 to 128")),
        }
        if length > 64 && !self.modes.is_empty() {
            problems.at(&path.field("prefix_len"), format!("an advertised prefix has 64 bits, not {length}"));
        }
        check_lease_time(self.lease_time, path, problems);
    }
}

/// Notes a lease time that dnsmasq would change.
pub(super) fn check_lease_time(time: Option<LeaseTime>, path: &Path, problems: &mut Problems) {
    if let Some(time) = time.filter(|time| *time < LeaseTime::LEAST) {
        problems.at(
            &path.field("lease_time"),
            format!("{time} is less than the two minutes that dnsmasq demands"),
        );
    }
}

/// The tags before a range. The short form, without `set:`, is the one in use everywhere; a tag that could be an
/// address needs the long one.
fn tags(f: &mut fmt::Formatter<'_>, tag: Option<&Tag>, set: Option<&Tag>) -> fmt::Result {
    if let Some(tag) = tag {
        write!(f, "tag:{tag},")?;
    }
    match set {
        Some(set) if set.looks_like_an_address() => write!(f, "set:{set},"),
        Some(set) => write!(f, "{set},"),
        None => Ok(()),
    }
}

impl fmt::Display for Range4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dhcp-range=")?;
        tags(f, self.tag.as_ref(), self.set.as_ref())?;
        write!(f, "{},{}", self.start, self.end)?;
        if let Some(net) = self.prefix_len.and_then(|length| Ipv4Net::new(self.start, length).ok()) {
            write!(f, ",{}", net.netmask())?;
        }
        if let Some(length) = self.bare_prefix_len {
            write!(f, ",{length}")?;
        }
        self.lease_time.map_or(Ok(()), |time| write!(f, ",{time}"))
    }
}

impl fmt::Display for Range6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dhcp-range=")?;
        tags(f, self.tag.as_ref(), self.set.as_ref())?;
        write!(f, "{}", self.start)?;
        if let Some(end) = self.end {
            write!(f, ",{end}")?;
        }
        for mode in &self.modes {
            f.write_char(',')?;
            f.write_str(match mode {
                RaMode::RaOnly => "ra-only",
                RaMode::Slaac => "slaac",
                RaMode::RaStateless => "ra-stateless",
                RaMode::RaNames => "ra-names",
                RaMode::Static => "static",
                RaMode::OffLink => "off-link",
            })?;
        }
        write!(f, ",{}", self.prefix_len)?;
        self.lease_time.map_or(Ok(()), |time| write!(f, ",{time}"))
    }
}

impl fmt::Display for SharedNetwork6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared-network={},{}", self.interface_address, self.address)
    }
}

impl fmt::Display for SharedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared-network={},{}", self.interface_address, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_orchestrators_write_them() {
        let tap: Interface = "tapvm7m86kv".parse().unwrap();
        let single = Range4::single(&tap, [192, 168, 0, 85].into());
        assert_eq!(single.to_string(), "dhcp-range=tapvm7m86kv,192.168.0.85,192.168.0.85,32");
        let slaac = Range6::slaac(&tap, "fdfe:62d4:efc4:ef3b::/64".parse().unwrap());
        assert_eq!(
            slaac.to_string(),
            "dhcp-range=tapvm7m86kv,fdfe:62d4:efc4:ef3b::2,fdfe:62d4:efc4:ef3b::2,slaac,64,12h"
        );
    }

    #[test]
    fn a_tag_that_could_be_an_address_is_said_to_be_one() {
        let tap: Interface = "cafe0".parse().unwrap();
        let single = Range4::single(&tap, [192, 168, 0, 85].into());
        assert_eq!(single.to_string(), "dhcp-range=set:cafe0,192.168.0.85,192.168.0.85,32");
    }
}
