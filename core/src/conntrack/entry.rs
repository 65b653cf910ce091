//! Messages of ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`): asking for entries, reading one, deleting it.

use std::net::IpAddr;

use crate::kind::Message;
use crate::netlink::{Attributes, Reply, attribute};

/// `NFNL_SUBSYS_CTNETLINK`, in the place that the number of a subsystem has in a message type.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`, which answers have, `_GET` and `_DELETE`.
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// `CTA_FILTER_F_CTA_IP_SRC`: the source has to be the same.
const IP_SRC: u32 = 1;

/// Length of `struct nfgenmsg`.
const NFGENMSG: usize = 4;

/// One of the two directions of a connection, each with a tuple of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The way of the packet that has opened it.
    Original,
    /// The way back.
    Reply,
}

/// An entry of conntrack: a connection.
pub struct Entry<'a> {
    family: u8,
    /// The tuple of the original direction, as the kernel says it.
    original: &'a [u8],
    source: IpAddr,
    /// The source of the other direction.
    answers: Option<IpAddr>,
    id: Option<&'a [u8]>,
    zone: Option<&'a [u8]>,
}

/// Asks for all entries of `family`.
pub fn all(family: libc::c_int) -> Message {
    Message::new(GET, 0, &nfgenmsg(family as u8))
}

/// Asks for the entries whose packets in `direction` come from `address`. Answers are to be looked through all the same: a
/// kernel that does not know the filter (before 5.8) answers with all.
pub fn of_address(address: IpAddr, direction: Direction) -> Message {
    let (tuple, flags) = match direction {
        Direction::Original => (CTA_TUPLE_ORIG, CTA_FILTER_ORIG_FLAGS),
        Direction::Reply => (CTA_TUPLE_REPLY, CTA_FILTER_REPLY_FLAGS),
    };
    let (family, source) = match address {
        IpAddr::V4(address) => (libc::AF_INET, attribute(CTA_IP_V4_SRC, &address.octets())),
        IpAddr::V6(address) => (libc::AF_INET6, attribute(CTA_IP_V6_SRC, &address.octets())),
    };
    let mut payload = nfgenmsg(family as u8).to_vec();
    payload.extend(nested(tuple, &nested(CTA_TUPLE_IP, &source)));
    payload.extend(nested(CTA_FILTER, &attribute(flags, &IP_SRC.to_ne_bytes())));
    Message::new(GET, 0, &payload)
}

impl<'a> Entry<'a> {
    /// Reads an answer; `None` where it is no entry, or none of IP.
    pub fn read(reply: &Reply<'a>) -> Option<Self> {
        let family = *reply.payload.first().filter(|_| reply.kind == NEW)?;
        let attributes = Attributes::after(reply.payload, NFGENMSG);
        let [original, answer, id, zone] =
            attributes.pick([CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID, CTA_ZONE]);
        let original = original?;
        let answers = answer.and_then(|tuple| source(family, tuple));
        Some(Self { family, original, source: source(family, original)?, answers, id, zone })
    }

    /// Both sources: of the one that has opened it, and of the one that answers.
    pub fn sources(&self) -> impl Iterator<Item = IpAddr> {
        [Some(self.source), self.answers].into_iter().flatten()
    }

    /// A message that ends it, and no other that has come in its place. It always names a tuple: a deletion without any would
    /// end all connections.
    pub fn deletion(&self) -> Message {
        let mut payload = nfgenmsg(self.family).to_vec();
        payload.extend(nested(CTA_TUPLE_ORIG, self.original));
        payload.extend(self.id.into_iter().flat_map(|id| attribute(CTA_ID, id)));
        payload.extend(self.zone.into_iter().flat_map(|zone| attribute(CTA_ZONE, zone)));
        Message::new(DELETE, 0, &payload)
    }
}

/// The source of a tuple.
fn source(family: u8, tuple: &[u8]) -> Option<IpAddr> {
    let addresses = Attributes::after(Attributes::after(tuple, 0).get(CTA_TUPLE_IP)?, 0);
    match libc::c_int::from(family) {
        libc::AF_INET => Some(<[u8; 4]>::try_from(addresses.get(CTA_IP_V4_SRC)?).ok()?.into()),
        libc::AF_INET6 => Some(<[u8; 16]>::try_from(addresses.get(CTA_IP_V6_SRC)?).ok()?.into()),
        _ => None,
    }
}

fn nfgenmsg(family: u8) -> [u8; NFGENMSG] {
    [family, 0, 0, 0]
}

fn nested(kind: u16, attributes: &[u8]) -> Vec<u8> {
    attribute(kind | libc::NLA_F_NESTED as u16, attributes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::replies;

    const CTA_TUPLE_PROTO: u16 = 2;

    fn tuple(kind: u16, source: [u8; 4]) -> Vec<u8> {
        let ip = [attribute(CTA_IP_V4_SRC, &source), attribute(2, &[192, 0, 2, 1])].concat();
        let ports = [attribute(1, &[17]), attribute(2, &[0, 53]), attribute(3, &[0, 7])].concat();
        nested(kind, &[nested(CTA_TUPLE_IP, &ip), nested(CTA_TUPLE_PROTO, &ports)].concat())
    }

    fn entry() -> Message {
        let mut payload = nfgenmsg(libc::AF_INET as u8).to_vec();
        payload.extend(tuple(CTA_TUPLE_ORIG, [192, 168, 0, 7]));
        payload.extend(tuple(CTA_TUPLE_REPLY, [198, 51, 100, 1]));
        payload.extend(attribute(CTA_ID, &[1, 2, 3, 4]));
        payload.extend(attribute(CTA_ZONE, &[0, 9]));
        Message::new(NEW, 0, &payload)
    }

    #[test]
    fn an_entry_is_deleted_by_what_it_is_known_by() {
        let entry = entry();
        let reply = replies(entry.bytes()).next().unwrap();
        let read = Entry::read(&reply).unwrap();
        let sources: Vec<String> = read.sources().map(|address| address.to_string()).collect();
        assert_eq!(sources, ["192.168.0.7", "198.51.100.1"]);
        let deletion = read.deletion();
        let deletion = replies(deletion.bytes()).next().unwrap();
        assert_eq!((deletion.kind, deletion.payload[0]), (DELETE, libc::AF_INET as u8));
        let (said, told) =
            (Attributes::after(deletion.payload, NFGENMSG), Attributes::after(reply.payload, NFGENMSG));
        for kind in [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE] {
            assert_eq!(said.get(kind), told.get(kind), "{kind}");
        }
        assert_eq!(said.get(CTA_TUPLE_REPLY), None);
    }

    #[test]
    fn what_is_no_entry_is_passed_over() {
        for (kind, payload) in [(GET, &entry().bytes()[16..]), (NEW, &[]), (NEW, &[2, 0, 0, 0]), (3, &[0; 4])]
        {
            let message = Message::new(kind, 0, payload);
            assert!(replies(message.bytes()).next().is_none_or(|reply| Entry::read(&reply).is_none()));
        }
    }

    proptest! {
        /// Whatever the kernel says, nothing panics, and what is deleted has a tuple.
        #[test]
        fn no_answer_panics(
            changes in proptest::collection::vec((0_usize..200, any::<u8>()), 0..8),
            length in 0_usize..200,
        ) {
            let entry = entry();
            let mut bytes = entry.bytes().to_vec();
            for (place, byte) in changes {
                bytes.get_mut(place).into_iter().for_each(|there| *there = byte);
            }
            bytes.truncate(length.max(16));
            for reply in replies(&bytes) {
                if let Some(entry) = Entry::read(&reply) {
                    let deletion = entry.deletion();
                    let deletion = replies(deletion.bytes()).next().unwrap();
                    let tuple = Attributes::after(deletion.payload, NFGENMSG).get(CTA_TUPLE_ORIG);
                    prop_assert_eq!(tuple, Some(entry.original));
                }
            }
        }
    }
}
