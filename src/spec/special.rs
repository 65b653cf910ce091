//! Addresses that no host of a network has (RFC 6890), and those that a subnet keeps for itself.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What `ip` is if it cannot be the address of one host that others send to.
pub(super) fn unfit(ip: impl Into<IpAddr>) -> Option<&'static str> {
    match ip.into() {
        ip if ip.is_unspecified() => Some("the unspecified address"),
        ip if ip.is_loopback() => Some("a loopback address"),
        ip if ip.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("of \"this\" network (RFC 1122)"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 form"),
        _ => None,
    }
}

/// What of `prefix` cannot be routed to a guest.
pub(super) fn unfit_prefix(prefix: &Ipv6Net) -> Option<&'static str> {
    if prefix.prefix_len() < 16 {
        return Some("it is shorter than 16 bits");
    }
    // A prefix of at least 16 bits is within ff00::/8 and fe80::/10, or apart from them.
    match prefix.network() {
        network if network.is_unspecified() => Some("it has the unspecified and the loopback address"),
        network if network.is_loopback() => Some("it is the loopback address"),
        network if network.is_multicast() => Some("it is multicast"),
        network if network.is_unicast_link_local() => Some("it is link-local"),
        network if network.to_ipv4_mapped().is_some() => Some("it has IPv4 addresses in IPv6 form"),
        _ => None,
    }
}

/// What `address` is in `subnet` if it is not for a host there. A /31 has two for hosts (RFC 3021), a /32 one.
pub(super) fn kept(address: Ipv4Addr, subnet: Ipv4Net) -> Option<&'static str> {
    if subnet.prefix_len() >= 31 {
        return None;
    }
    match address {
        address if address == subnet.network() => Some("the network address"),
        address if address == subnet.broadcast() => Some("the broadcast address"),
        _ => None,
    }
}
