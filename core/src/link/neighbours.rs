//! Settings of links that their messages do not tell: `proxy_delay` of IPv4 neighbours.
//!
//! One dump (`RTM_GETNEIGHTBL`) tells those of all links of a namespace, but to make it the kernel walks along all links of
//! all namespaces. So it is taken where many are asked for, and the file of each is read where few are.

use std::collections::HashMap;

use super::Link;
use crate::error::Result;
use crate::kind::{Message, Protocol};
use crate::netlink::Attributes;
use crate::netns::Namespace;
use crate::set::Set;
use crate::sysctl::{self, SysctlKey};

/// How many links are asked for by their files.
const FEW: usize = 8;

/// Adds `proxy_delay` to those of `links` where it means something, which is where `proxy_arp` is on, or is wanted.
pub(super) fn read<'a>(
    namespace: &mut Namespace,
    wanted: &Set<Link>,
    links: impl Iterator<Item = &'a mut Link>,
) -> Result<()> {
    let is_wanted =
        |link: &Link| wanted.get(&link.name).is_some_and(|wanted| wanted.settings.ipv4.proxy_delay.is_some());
    let asked = links.filter(|link| link.settings.ipv4.proxy_arp == Some(true) || is_wanted(link));
    let mut asked: Vec<&mut Link> = asked.collect();
    if asked.len() > FEW {
        let told = dump(namespace)?;
        let indexes = namespace.link_indexes();
        for link in asked {
            let index = indexes.get(&link.name);
            link.settings.ipv4.proxy_delay = index.and_then(|index| told.get(index)).copied();
        }
        return Ok(());
    }
    let keys: Vec<Option<SysctlKey>> =
        asked.iter().map(|link| format!("net/ipv4/neigh/{}/proxy_delay", link.name).parse().ok()).collect();
    let values = sysctl::read_each(namespace, keys.iter().flatten())?;
    for (link, value) in asked.iter_mut().zip(values) {
        link.settings.ipv4.proxy_delay = value.and_then(|value| value.to_string().parse().ok());
    }
    Ok(())
}

const RTM_GETNEIGHTBL: u16 = 66;
/// `sizeof(struct ndtmsg)`.
const NDTMSG: usize = 4;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_PROXY_DELAY: u16 = 13;
/// Milliseconds in the unit of the file, `USER_HZ`.
const UNIT: u64 = 10;

/// What all links of the namespace have, by index.
fn dump(namespace: &mut Namespace) -> Result<HashMap<u32, u32>> {
    let request = Message::new(RTM_GETNEIGHTBL, 0, &[libc::AF_INET as u8, 0, 0, 0]);
    let dump = namespace.dump(Protocol::Route, &request)?;
    let delay = |payload| {
        let parameters = Attributes::after(Attributes::after(payload, NDTMSG).get(NDTA_PARMS)?, 0);
        let delay = parameters.get(NDTPA_PROXY_DELAY)?.try_into().ok().map(u64::from_ne_bytes)?;
        Some((parameters.get_u32(NDTPA_IFINDEX)?, u32::try_from(delay / UNIT).ok()?))
    };
    Ok(dump.replies().filter_map(|reply| delay(reply.payload)).collect())
}
