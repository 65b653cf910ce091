//! The frames, an idea a file.

mod access;
mod advertisement;
mod arp;
mod bare;
mod beyond;
mod deny;
mod dhcp;
mod errors;
mod ethertype;
mod everybody;
mod groups;
mod hidden;
mod host;
mod icmpv4;
mod icmpv6;
mod ipv4;
mod ipv6;
mod itself;
mod layout;
mod left;
mod lengths;
mod local;
mod mac;
mod members;
mod multicast;
mod overlap;
mod quoted;
mod router;
mod shared;
mod solicitation;
mod strangers;
mod translated;
mod trusted;
mod tunnels;
mod vlan;

use crate::case::Case;
use crate::net::Net;

pub use left::cases as left;

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
        deny::cases,
        host::cases,
        beyond::cases,
        strangers::cases,
        groups::cases,
        hidden::cases,
        errors::cases,
        quoted::cases,
        bare::cases,
        shared::cases,
        local::cases,
        members::cases,
        trusted::cases,
        lengths::cases,
        translated::cases,
        tunnels::cases,
        overlap::cases,
        everybody::cases,
        itself::cases,
    ];
    files.into_iter().flat_map(|file| file(net)).collect()
}
