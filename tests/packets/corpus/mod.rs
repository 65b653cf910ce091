//! The frames, an idea a file.

mod access;
mod advertisement;
mod arp;
mod dhcp;
mod ethertype;
mod host;
mod icmpv4;
mod icmpv6;
mod ipv4;
mod ipv6;
mod layout;
mod mac;
mod multicast;
mod router;
mod solicitation;
mod vlan;

use crate::case::Case;
use crate::net::Net;

/// All cases for this network.
pub fn cases(net: &Net) -> Vec<Case> {
    let files = [
        mac::cases,
        vlan::cases,
        ethertype::cases,
        arp::cases,
        ipv4::cases,
        ipv6::cases,
        solicitation::cases,
        advertisement::cases,
        router::cases,
        multicast::cases,
        dhcp::cases,
        icmpv4::cases,
        icmpv4::others,
        icmpv6::cases,
        access::cases,
        host::cases,
    ];
    files.into_iter().flat_map(|file| file(net)).collect()
}
