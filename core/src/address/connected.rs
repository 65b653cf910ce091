//! Routes to the prefixes of addresses, which the kernel makes with them: without its route an address reaches nobody.

use std::collections::HashSet;

use ipnet::IpNet;

use super::{Address, Besides};
use crate::error::Result;
use crate::kind::{Message, Protocol};
use crate::netlink::Attributes;
use crate::netns::Namespace;
use crate::route::prefix;
use crate::set::Observed;

const RTMSG: usize = 12;

/// Notes of which of ours the route is gone. On links of others it is theirs, and on one that is down there is none.
pub(super) fn look_for(namespace: &mut Namespace, observed: &mut Observed<Address>) -> Result<()> {
    // Of a single IPv4 address there is none.
    let is_single = |address: &IpNet| matches!(address, IpNet::V4(_)) && address.prefix_len() == 32;
    let has_route = |address: &&Address| {
        !address.noprefixroute && address.besides.peer.is_none() && !is_single(&address.address)
    };
    let indexes = namespace.link_indexes();
    let mut expected = Vec::new();
    for address in observed.ours.iter().filter(has_route) {
        let index = indexes.get(&address.dev).copied();
        expected.extend(index.filter(|n| namespace.is_ours_and_up(*n)).map(|index| (index, address)));
    }
    if expected.is_empty() {
        return Ok(());
    }
    let mut header = [0; RTMSG];
    (header[5], header[7]) = (libc::RTPROT_KERNEL, libc::RTN_UNICAST);
    let dump = namespace.dump(Protocol::Route, &Message::new(libc::RTM_GETROUTE, 0, &header))?;
    let there: HashSet<(u32, IpNet)> = dump.replies().filter_map(|reply| read(reply.payload)).collect();
    let is_gone = |(n, address): &(u32, &Address)| !there.contains(&(*n, address.address.trunc()));
    let gone: Vec<Address> =
        expected.into_iter().filter(is_gone).map(|(_, address)| address.clone()).collect();
    for address in gone {
        let besides = Besides { is_unrouted: true, ..address.besides };
        observed.ours.insert(Address { besides, ..address });
    }
    Ok(())
}

/// The link and the destinations of a route that is the kernel's.
fn read(payload: &[u8]) -> Option<(u32, IpNet)> {
    let [family, length, _, _, _, protocol, _, kind] = *payload.first_chunk::<8>()?;
    if protocol != libc::RTPROT_KERNEL || kind != libc::RTN_UNICAST {
        return None;
    }
    let attributes = Attributes::after(payload, RTMSG);
    Some((attributes.get_u32(libc::RTA_OIF)?, prefix(family, attributes.get(libc::RTA_DST), length)?))
}
