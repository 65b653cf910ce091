//! The sysctls `net/ipv4/conf/all/…` and `…/default/…`, and those of IPv6, as a message tells them (`RTM_GETNETCONF`,
//! Linux 3.8): all of a place in one answer, where each file would be three system calls and a walk to a name that nobody
//! has looked up in this namespace yet.

use std::collections::{BTreeMap, BTreeSet};

use super::SysctlKey;
use crate::error::Result;
use crate::kind::{Message, Protocol};
use crate::netlink::Attributes;
use crate::netns::Namespace;

/// `RTM_GETNETCONF` of linux/rtnetlink.h.
const RTM_GETNETCONF: u16 = 82;
/// `struct netconfmsg`, padded.
const NETCONFMSG: usize = 4;
const NETCONFA_IFINDEX: u16 = 1;
/// `NETCONFA_IFINDEX_ALL` and `NETCONFA_IFINDEX_DEFAULT` of linux/netconf.h.
const ALL: i32 = -1;
const DEFAULT: i32 = -2;

/// Families, names of files and the attributes (`NETCONFA_*`) that tell the same number.
const PARAMETERS: [(&str, &str, u16); 7] = [
    ("ipv4", "forwarding", 2),
    ("ipv4", "rp_filter", 3),
    ("ipv4", "proxy_arp", 5),
    ("ipv4", "ignore_routes_with_linkdown", 6),
    ("ipv6", "forwarding", 2),
    ("ipv6", "proxy_ndp", 5),
    ("ipv6", "ignore_routes_with_linkdown", 6),
];

/// What a message is about: a family (`AF_INET`, `AF_INET6`), and all interfaces or those to come.
type Place = (u8, i32);

/// What was told of the places that were asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Netconf {
    asked: BTreeSet<Place>,
    values: BTreeMap<(Place, u16), i32>,
}

impl Netconf {
    /// Asks about what tells `keys`, if a message does. With the value for all interfaces goes that for those to come, which
    /// the kernel changes with it, where `with_default` says so.
    pub(super) fn ask<'a>(
        namespace: &mut Namespace,
        keys: impl Iterator<Item = &'a SysctlKey>,
        with_default: bool,
    ) -> Result<Self> {
        let places = keys.filter_map(place).flat_map(|((family, index), _)| {
            let default = (with_default && index == ALL).then_some((family, DEFAULT));
            [(family, index)].into_iter().chain(default)
        });
        Self { asked: places.collect(), ..Self::default() }.again(namespace)
    }

    /// Asks the same again.
    pub(crate) fn again(&self, namespace: &mut Namespace) -> Result<Self> {
        let requests: Vec<Message> = self.asked.iter().map(request).collect();
        // A kernel without IPv6 refuses, and has no such files either.
        let (answers, _) = namespace.ask_each_unnoted(Protocol::Route, &requests)?;
        let mut values = BTreeMap::new();
        for reply in answers.replies() {
            let attributes = Attributes::after(reply.payload, NETCONFMSG);
            let number = |value: &[u8]| value.try_into().ok().map(i32::from_ne_bytes);
            let index = attributes.get(NETCONFA_IFINDEX).and_then(number);
            if let (Some(family), Some(index)) = (reply.payload.first(), index) {
                let told = attributes.filter_map(|(kind, value)| Some((kind, number(value)?)));
                values.extend(told.map(|(kind, value)| (((*family, index), kind), value)));
            }
        }
        Ok(Self { asked: self.asked.clone(), values })
    }

    /// The value of `key`; `None` where it was not told.
    pub(super) fn get(&self, key: &SysctlKey) -> Option<i32> {
        self.values.get(&place(key)?).copied()
    }

    /// Whether nothing was asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }
}

fn request((family, index): &Place) -> Message {
    let mut payload = vec![*family, 0, 0, 0];
    payload.extend(8_u16.to_ne_bytes());
    payload.extend(NETCONFA_IFINDEX.to_ne_bytes());
    payload.extend(index.to_ne_bytes());
    Message::new(RTM_GETNETCONF, 0, &payload)
}

/// The message and the attribute that tell `key`.
fn place(key: &SysctlKey) -> Option<(Place, u16)> {
    let (family, whose, parameter) = key.of_all_links()?;
    let (_, _, attribute) = PARAMETERS.iter().find(|(f, p, _)| *f == family && *p == parameter)?;
    let family = if family == "ipv4" { libc::AF_INET } else { libc::AF_INET6 };
    Some(((family as u8, if whose == "all" { ALL } else { DEFAULT }), *attribute))
}
