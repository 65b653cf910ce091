//! Entries of access lists as elements of exact sets, one set for each shape that a key can have.
//!
//! Sets of intervals would be tens of thousands of times slower to change, so ranges of ports are cut into blocks whose
//! sizes are powers of 16, and prefixes into such whose lengths are multiples of 8: a key is then masked and looked up
//! in a hash. A range of ports becomes up to 90 elements, in practice one to thirty, a prefix up to 128. Each shape in
//! use costs a packet that no connection answers for one lookup, 0.1 µs.

use std::collections::BTreeMap;

use guestnet_nft::{
    DataType, Element, Field, Load, Name, Set, Stateful, Statement, Types, Value, icmp, icmpv6, ip, ip6,
    meta, th,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::words::{ICMP, ICMPV6, Words, name, room};
use crate::{Entry, IcmpMessage, PortRange, RateLimit, Transport};

/// What of a packet is in a key, beside who it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// How fast. What fits without a limit is not counted by one: it comes first.
    limit: Option<RateLimit>,
    what: What,
    peer: Peer,
}

/// The part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Anything,
    Protocol,
    /// The first bits of the destination port.
    Port(u8),
    Icmp,
    IcmpCode,
    Icmpv6,
    Icmpv6Code,
}

/// The part of the other side: the first bits of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Anybody,
    Ipv4(u8),
    Ipv6(u8),
}

/// Whose address the other side's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a guest: the destination.
    Out,
    /// To a guest: the source.
    In,
}

/// An access list, or as many as have subjects of one kind, as sets.
pub struct List {
    /// What the names of its sets start with.
    prefix: String,
    direction: Direction,
    /// Whose list it is, where that is asked.
    subject: Option<Field>,
    allowed: Keys,
    denied: Keys,
}

/// The keys of each shape.
type Keys = BTreeMap<Shape, Vec<Vec<Value>>>;

/// The start of the names of sets whose entries deny.
const DENY: &str = "deny_";

impl List {
    /// An empty list.
    pub fn new(prefix: impl Into<String>, direction: Direction, subject: Option<Field>) -> Self {
        let (allowed, denied) = (Keys::new(), Keys::new());
        Self { prefix: prefix.into(), direction, subject, allowed, denied }
    }

    /// Adds an entry of `subject`; `members` says what a group is.
    pub fn add(&mut self, subject: Option<Value>, entry: &Entry, members: &BTreeMap<&str, Vec<IpNet>>) {
        let keys = if entry.deny { &mut self.denied } else { &mut self.allowed };
        for (peer, address) in peers(entry, members) {
            for (what, mut key) in whats(entry) {
                key.extend(address.clone());
                let key = subject.iter().cloned().chain(key).collect();
                keys.entry(Shape { limit: entry.limit, what, peer }).or_default().push(key);
            }
        }
    }

    /// Whether any entry denies.
    pub fn denies(&self) -> bool {
        !self.denied.is_empty()
    }

    /// Its sets, but for one: of what holds for everybody, always, no set is needed.
    pub fn sets(&self) -> impl Iterator<Item = Set> {
        let all = [("", &self.allowed), (DENY, &self.denied)].into_iter();
        all.flat_map(|(deny, keys)| keys.iter().map(move |(shape, keys)| (deny, shape, keys))).filter_map(
            |(deny, shape, keys)| {
                let subject = self.subject.iter().map(|_| DataType::Ifname);
                let types: Types = subject.chain(shape.types()).collect();
                let limit = shape.limit.map(|limit| Stateful::Limit(limit.expression()));
                let set = Set::new(self.set(deny, shape), types).stateful(limit);
                let set = set.with(keys.iter().cloned().map(Element::new));
                let size = room(set.elements.len());
                (!set.key.is_empty()).then_some(Set { size, ..set })
            },
        )
    }

    /// Statements, one for each shape, that match a packet which an entry lets pass.
    pub fn matches(&self, words: Words) -> impl Iterator<Item = Statement> {
        self.each("", &self.allowed, words)
    }

    /// Statements, one for each shape, that match a packet which an entry denies.
    pub fn denials(&self, words: Words) -> impl Iterator<Item = Statement> {
        self.each(DENY, &self.denied, words)
    }

    fn each<'a>(
        &'a self,
        deny: &'a str,
        keys: &'a Keys,
        words: Words,
    ) -> impl Iterator<Item = Statement> + 'a {
        keys.keys().map(move |shape| {
            let mut statement = Statement::new();
            match shape.peer {
                Peer::Ipv4(_) => statement.extend(words.is_ipv4()),
                Peer::Ipv6(_) => statement.extend(words.is_ipv6()),
                Peer::Anybody => {}
            }
            match shape.what {
                What::Icmp | What::IcmpCode => statement.extend(meta::l4proto().eq(ICMP)),
                What::Icmpv6 | What::Icmpv6Code => statement.extend(meta::l4proto().eq(ICMPV6)),
                _ => {}
            }
            let fields = self.subject.iter().cloned().chain(shape.fields(self.direction));
            let load = fields.fold(None::<Load>, |load, field| {
                Some(load.map_or_else(|| field.clone().into(), |load| load.then(field.clone())))
            });
            statement.extend(load.into_iter().flat_map(|load| load.is_in(self.set(deny, shape))));
            statement
        })
    }

    fn set(&self, deny: &str, shape: &Shape) -> Name {
        let what = match shape.what {
            What::Anything => "any".to_owned(),
            What::Protocol => "protocol".to_owned(),
            What::Port(bits) => format!("port{bits}"),
            What::Icmp => "icmp".to_owned(),
            What::IcmpCode => "icmpcode".to_owned(),
            What::Icmpv6 => "icmpv6".to_owned(),
            What::Icmpv6Code => "icmpv6code".to_owned(),
        };
        let peer = match shape.peer {
            Peer::Anybody => String::new(),
            Peer::Ipv4(bits) => format!("_ipv4_{bits}"),
            Peer::Ipv6(bits) => format!("_ipv6_{bits}"),
        };
        let limit = shape.limit.map(RateLimit::suffix).unwrap_or_default();
        name(&format!("{deny}{}_{what}{peer}{limit}", self.prefix))
    }
}

impl Shape {
    fn types(self) -> impl Iterator<Item = DataType> {
        let what: &[DataType] = match self.what {
            What::Anything => &[],
            What::Protocol => &[DataType::InetProto],
            What::Port(_) => &[DataType::InetProto, DataType::InetService],
            What::Icmp => &[DataType::IcmpType],
            What::IcmpCode => &[DataType::IcmpType, DataType::IcmpCode],
            What::Icmpv6 => &[DataType::Icmpv6Type],
            What::Icmpv6Code => &[DataType::Icmpv6Type, DataType::Icmpv6Code],
        };
        let peer = match self.peer {
            Peer::Anybody => None,
            Peer::Ipv4(_) => Some(DataType::Ipv4Addr),
            Peer::Ipv6(_) => Some(DataType::Ipv6Addr),
        };
        what.iter().copied().chain(peer)
    }

    fn fields(self, direction: Direction) -> impl Iterator<Item = Field> {
        let what = match self.what {
            What::Anything => vec![],
            What::Protocol => vec![meta::l4proto()],
            What::Port(16) => vec![meta::l4proto(), th::dport()],
            What::Port(bits) => vec![meta::l4proto(), th::dport().prefix(bits)],
            What::Icmp => vec![icmp::kind()],
            What::IcmpCode => vec![icmp::kind(), icmp::code()],
            What::Icmpv6 => vec![icmpv6::kind()],
            What::Icmpv6Code => vec![icmpv6::kind(), icmpv6::code()],
        };
        let first = |field: Field, bits, all| if bits == all { field } else { field.prefix(bits) };
        let peer = match (self.peer, direction) {
            (Peer::Anybody, _) => None,
            (Peer::Ipv4(bits), Direction::Out) => Some(first(ip::daddr(), bits, 32)),
            (Peer::Ipv4(bits), Direction::In) => Some(first(ip::saddr(), bits, 32)),
            (Peer::Ipv6(bits), Direction::Out) => Some(first(ip6::daddr(), bits, 128)),
            (Peer::Ipv6(bits), Direction::In) => Some(first(ip6::saddr(), bits, 128)),
        };
        what.into_iter().chain(peer)
    }
}

/// The protocols, ports and types of an entry.
fn whats(entry: &Entry) -> Vec<(What, Vec<Value>)> {
    let Some(protocol) = entry.protocol else { return vec![(What::Anything, vec![])] };
    let number = Value::from(protocol.0);
    match protocol {
        Transport::ICMP | Transport::ICMPV6 if !entry.types.is_empty() => {
            let [kind, code] = if protocol == Transport::ICMP {
                [What::Icmp, What::IcmpCode]
            } else {
                [What::Icmpv6, What::Icmpv6Code]
            };
            let key = |message: &IcmpMessage| {
                let what = if message.code.is_some() { code } else { kind };
                (what, [Some(message.kind), message.code].into_iter().flatten().map(Value::from).collect())
            };
            entry.types.iter().map(key).collect()
        }
        _ if entry.ports.is_empty() => vec![(What::Protocol, vec![number])],
        _ => {
            let blocks = blocks(&entry.ports);
            let key = |(first, bits): (u16, u8)| match bits {
                0 => (What::Protocol, vec![number.clone()]),
                _ => (What::Port(bits), vec![number.clone(), Value::from(first)]),
            };
            blocks.into_iter().map(key).collect()
        }
    }
}

/// Ranges of ports, merged, as blocks: the first port, and how many bits its ports have in common.
fn blocks(ranges: &[PortRange]) -> Vec<(u16, u8)> {
    let mut sorted: Vec<(u32, u32)> = ranges.iter().map(|r| (r.first().into(), r.last().into())).collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    let mut blocks = Vec::new();
    for (mut first, last) in merged {
        while first <= last {
            let fits = |bits: &u8| {
                let size = 1_u32 << (16 - bits);
                first % size == 0 && first + size - 1 <= last
            };
            let bits = [0, 4, 8, 12, 16].into_iter().find(fits).unwrap_or(16);
            blocks.push((first as u16, bits));
            first += 1 << (16 - bits);
        }
    }
    blocks
}

/// The other sides of an entry.
fn peers(entry: &Entry, members: &BTreeMap<&str, Vec<IpNet>>) -> Vec<(Peer, Option<Value>)> {
    if entry.prefixes.is_empty() && entry.groups.is_empty() {
        return vec![(Peer::Anybody, None)];
    }
    let of_groups = entry.groups.iter().filter_map(|group| members.get(group.as_str())).flatten();
    let nets: Vec<IpNet> = entry.prefixes.iter().chain(of_groups).map(IpNet::trunc).collect();
    let mut peers = Vec::new();
    for net in IpNet::aggregate(&nets) {
        let bits = net.prefix_len().next_multiple_of(8);
        match net {
            IpNet::V4(net) => {
                let nets = net.subnets(bits).into_iter().flatten();
                peers.extend(nets.map(|n: Ipv4Net| (Peer::Ipv4(bits), Some(n.network().into()))));
            }
            IpNet::V6(net) => {
                let nets = net.subnets(bits).into_iter().flatten();
                peers.extend(nets.map(|n: Ipv6Net| (Peer::Ipv6(bits), Some(n.network().into()))));
            }
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_hold_each_port_of_the_ranges_once_and_no_other(
            ranges in proptest::collection::vec((0_u16.., 0_u16..5000), 1..6),
        ) {
            let range = |(first, more): &(u16, u16)| PortRange::new(*first, first.saturating_add(*more)).unwrap();
            let ranges: Vec<PortRange> = ranges.iter().map(range).collect();
            let blocks = blocks(&ranges);
            let held = |port: u16| {
                blocks.iter().filter(|(first, bits)| u32::from(port ^ first) >> (16 - bits) == 0).count()
            };
            let wanted = |port: u16| usize::from(ranges.iter().any(|r| r.contains(port)));
            let edges = ranges.iter().flat_map(|r| [r.first(), r.last()]);
            for port in edges.flat_map(|p| [p.wrapping_sub(1), p, p.wrapping_add(1)]) {
                prop_assert_eq!(held(port), wanted(port), "{}", port);
            }
            let size: u32 = blocks.iter().map(|(_, bits)| 1 << (16 - bits)).sum();
            prop_assert_eq!(size as usize, (0..=u16::MAX).map(wanted).sum::<usize>());
        }
    }

    #[test]
    fn everything_is_one_element() {
        let all = |ports: &[&str]| {
            let ports = ports.iter().map(|p| p.parse().unwrap()).collect();
            whats(&Entry { protocol: Some(Transport::TCP), ports, ..Entry::default() }).len()
        };
        assert_eq!(all(&["0-65535"]), 1);
        assert_eq!(all(&["0-1023", "1024-65535", "443"]), 1);
        assert_eq!(all(&["1024-65535"]), 27);
    }

    #[test]
    fn a_group_without_members_is_nobody() {
        let entry = Entry { groups: vec!["web".parse().unwrap()], ..Entry::default() };
        assert!(peers(&entry, &BTreeMap::new()).is_empty());
    }
}
