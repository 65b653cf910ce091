//! How many proxied neighbours a kernel bears.

use guestnet_core::Set;

use crate::ProxyNeighbour;

/// How many entries of one family are practical on one kernel.
///
/// They sit in 16 hash buckets for all namespaces together, chosen by the last 32 bits of the address, so adding n
/// of them costs O(n²) and each answer O(n): 10,000 are added in about a second and answered 27,000 times a second,
/// 50,000 take up to a minute and a half and are answered a few hundred to a few thousand times a second.
pub const CEILING: usize = 10_000;

/// How many `wanted` has of one family, where that is more than [`CEILING`].
pub fn too_many(wanted: &Set<ProxyNeighbour>) -> Option<usize> {
    let ipv6 = wanted.iter().filter(|neighbour| neighbour.address.is_ipv6()).count();
    let most = ipv6.max(wanted.len() - ipv6);
    (most > CEILING).then_some(most)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    fn some(count: usize, ip: impl Fn(u32) -> IpAddr) -> impl Iterator<Item = ProxyNeighbour> {
        (1..=count as u32).map(move |n| ProxyNeighbour::new(ip(n), "eth0".parse().unwrap()))
    }

    #[test]
    fn each_family_has_its_own_ceiling() {
        let v6 = |n: u32| IpAddr::from(Ipv6Addr::from((0x2001_0db8_u128 << 96) + u128::from(n)));
        let v4 = |n: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n));
        let full: Set<_> = some(CEILING, v6).chain(some(CEILING, v4)).collect();
        assert_eq!(too_many(&full), None);
        let over: Set<_> = some(CEILING + 1, v6).collect();
        assert_eq!(too_many(&over), Some(10_001));
    }
}
