//! Addresses whose connections end.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses whose connections end: those in some prefixes, but for those in others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    gone: Prefixes,
    kept: Prefixes,
}

/// Prefixes, and which lengths they have: an address is looked up once for each length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Prefixes {
    all: BTreeSet<IpNet>,
    lengths: BTreeSet<u8>,
}

/// How many prefixes are named before they are only counted.
const NAMED: usize = 3;

impl Addresses {
    /// Adds those in `net`.
    pub fn insert(&mut self, net: IpNet) {
        self.gone.insert(net);
    }

    /// Takes those in `net` out, whatever else they are in.
    pub fn keep(&mut self, net: IpNet) {
        self.kept.insert(net);
    }

    /// Adds those that `other` has. What either of them keeps is kept.
    pub fn extend(&mut self, other: &Self) {
        other.gone.all.iter().for_each(|net| self.insert(*net));
        other.kept.all.iter().for_each(|net| self.keep(*net));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.gone.all.is_empty()
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.gone.contains(address) && !self.kept.contains(address)
    }

    /// Whether there are any of `family`.
    pub(super) fn has_family(&self, family: libc::c_int) -> bool {
        self.of_family(family).next().is_some()
    }

    /// Addresses of `family`, where they are single ones and no prefixes.
    pub(super) fn alone(&self, family: libc::c_int) -> Option<Vec<IpAddr>> {
        let single = |net: &IpNet| (net.prefix_len() == net.max_prefix_len()).then(|| net.addr());
        self.of_family(family).map(single).collect()
    }

    fn of_family(&self, family: libc::c_int) -> impl Iterator<Item = &IpNet> {
        let is_ipv6 = family == libc::AF_INET6;
        self.gone.all.iter().filter(move |net| net.addr().is_ipv6() == is_ipv6)
    }
}

impl Prefixes {
    fn insert(&mut self, net: IpNet) {
        self.lengths.insert(net.prefix_len());
        self.all.insert(net.trunc());
    }

    fn contains(&self, address: IpAddr) -> bool {
        let nets = self.lengths.iter().filter_map(|length| IpNet::new(address, *length).ok());
        nets.into_iter().any(|net| self.all.contains(&net.trunc()))
    }
}

/// `192.168.0.7, 2001:db8:1::/64`
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, net) in self.gone.all.iter().take(NAMED).enumerate() {
            f.write_str(if n > 0 { ", " } else { "" })?;
            match net.prefix_len() == net.max_prefix_len() {
                true => write!(f, "{}", net.addr())?,
                false => write!(f, "{net}")?,
            }
        }
        match self.gone.all.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(gone: &[&str], kept: &[&str]) -> Addresses {
        let mut addresses = Addresses::default();
        gone.iter().for_each(|net| addresses.insert(net.parse().unwrap()));
        kept.iter().for_each(|net| addresses.keep(net.parse().unwrap()));
        addresses
    }

    #[test]
    fn an_address_is_in_a_prefix_that_goes_and_in_none_that_stays() {
        let addresses = of(&["192.168.0.7/32", "2001:db8:1::/56"], &["2001:db8:1:7::/64"]);
        for (address, expected) in [
            ("192.168.0.7", true),
            ("192.168.0.8", false),
            ("2001:db8:1::1", true),
            ("2001:db8:1:7::1", false),
            ("2001:db8:1:ff::1", true),
            ("2001:db8:1:100::1", false),
        ] {
            assert_eq!(addresses.contains(address.parse().unwrap()), expected, "{address}");
        }
        assert_eq!(addresses.alone(libc::AF_INET), Some(vec!["192.168.0.7".parse().unwrap()]));
        assert_eq!(addresses.alone(libc::AF_INET6), None);
    }

    #[test]
    fn few_are_named_and_many_counted() {
        assert_eq!(of(&["192.168.0.7/32", "2001:db8::/64"], &[]).to_string(), "192.168.0.7, 2001:db8::/64");
        let many = of(&["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32"], &[]);
        assert_eq!(many.to_string(), "10.0.0.1, 10.0.0.2, 10.0.0.3 and 1 more");
    }
}
