//! Links that somebody uses now: to delete one of them takes a running guest's network away.

use std::collections::BTreeSet;

use super::{get_request, index_request};
use crate::address;
use crate::error::Result;
use crate::kind::Protocol;
use crate::name::{LinkName, Mac};
use crate::netlink::{Attributes, number, text};
use crate::netns::Namespace;
use crate::owner::{DOOMED_GROUP, LINK_GROUP};

/// `sizeof(struct ifinfomsg)`.
const IFINFOMSG: usize = 16;
const IFLA_CARRIER: u16 = 33;
const IFLA_TUN_NUM_QUEUES: u16 = 8;
const IFLA_TUN_NUM_DISABLED_QUEUES: u16 = 9;

/// Those of `names` in `namespace` that a program has open: taps, as `/dev/net/tun` gives them to monitors of virtual
/// machines.
///
/// It is asked for and not kept with the link: it is nobody's wish, and what was true a moment ago does not help who is
/// about to delete. A tap has a carrier while it is open, unless its opener has taken that away (`TUNSETCARRIER`); one of
/// several queues also says how many there are.
///
/// # Errors
/// What asking for links can fail with. A link that is not there is no error.
pub fn in_use<'a>(
    namespace: &mut Namespace,
    names: impl IntoIterator<Item = &'a LinkName>,
) -> Result<BTreeSet<LinkName>> {
    let requests: Vec<_> = names.into_iter().map(get_request).collect();
    let dump = namespace.get_each(Protocol::Route, &requests)?;
    Ok(dump.replies().filter_map(|reply| opened(reply.payload)).collect())
}

/// What others have made of the link `name`, in words; nothing where it is only ours: a program that has it open, a bridge or
/// VRF of theirs that it is a port of, an XDP program, addresses.
///
/// # Errors
/// What asking for links and addresses can fail with. A link that is not there is no error.
pub fn users(namespace: &mut Namespace, name: &LinkName) -> Result<Vec<String>> {
    let dump = namespace.get_each(Protocol::Route, &[get_request(name)])?;
    let Some(reply) = dump.replies().next() else { return Ok(Vec::new()) };
    let mut users = Vec::new();
    if opened(reply.payload).is_some() {
        users.push("a program has it open".to_owned());
    }
    let [master, xdp] = Attributes::after(reply.payload, IFINFOMSG).pick([libc::IFLA_MASTER, IFLA_XDP]);
    let attached = Attributes::after(xdp.unwrap_or_default(), 0).get(IFLA_XDP_ATTACHED);
    if attached.and_then(|attached| attached.first()).is_some_and(|attached| *attached != 0) {
        users.push("an XDP program is attached to it".to_owned());
    }
    if let Some(master) = master.and_then(number).filter(|master| *master != 0) {
        let masters = namespace.get_each(Protocol::Route, &[index_request(master)])?;
        let foreign = masters.replies().filter_map(|reply| foreign_name(reply.payload));
        users.extend(foreign.map(|master| format!("{master} is its master")));
    }
    users.extend(
        address::others_on(namespace, name)?
            .into_iter()
            .map(|address| format!("it has the address {address}")),
    );
    Ok(users)
}

/// The MAC address of the link `name`, if it is there and has one.
///
/// # Errors
/// Fails as asking for links does. A link that is not there is no error.
pub fn mac_of(namespace: &mut Namespace, name: &LinkName) -> Result<Option<Mac>> {
    let dump = namespace.get_each(Protocol::Route, &[get_request(name)])?;
    let address = |payload| Attributes::after(payload, IFINFOMSG).get(libc::IFLA_ADDRESS);
    let found = dump.replies().next().and_then(|reply| address(reply.payload));
    Ok(found.and_then(|bytes| bytes.try_into().ok()).map(Mac))
}

const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;

/// The name of a link that is not ours.
fn foreign_name(payload: &[u8]) -> Option<String> {
    let [name, group] = Attributes::after(payload, IFINFOMSG).pick([libc::IFLA_IFNAME, libc::IFLA_GROUP]);
    let ours = group.and_then(number).is_some_and(|group| [LINK_GROUP, DOOMED_GROUP].contains(&group));
    if ours { None } else { name.and_then(text).map(str::to_owned) }
}

/// The name of the link, if it is a tap that is open.
fn opened(payload: &[u8]) -> Option<LinkName> {
    let attributes = Attributes::after(payload, IFINFOMSG);
    let [name, info, carrier] = attributes.pick([libc::IFLA_IFNAME, libc::IFLA_LINKINFO, IFLA_CARRIER]);
    let info = Attributes::after(info?, 0);
    if info.get_str(libc::IFLA_INFO_KIND) != Some("tun") {
        return None;
    }
    let data = Attributes::after(info.get(libc::IFLA_INFO_DATA).unwrap_or_default(), 0);
    let queues = [IFLA_TUN_NUM_QUEUES, IFLA_TUN_NUM_DISABLED_QUEUES];
    let is_open = carrier.is_some_and(|carrier| carrier.first() == Some(&1))
        || queues.into_iter().any(|kind| data.get_u32(kind).is_some_and(|count| count > 0));
    if is_open { text(name?)?.parse().ok() } else { None }
}
