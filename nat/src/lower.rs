//! From the spec to tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guestnet_core::Sysctl;
use guestnet_nft::{DataType, Element, Family, Set, Table, TableName};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::rules::{ERRORS, NEAR, UNTRANSLATED, Words, inbound, name, outbound};
use crate::{Mode, NatSpec, Pair};

/// The table of the IPv4 pairs: `nft list table ip guestnet_nat`.
pub const TABLE_IPV4: &str = "guestnet_nat";
/// The table of the IPv6 pairs: `nft list table ip6 guestnet_nat6`.
pub const TABLE_IPV6: &str = "guestnet_nat6";

/// Destinations that are always untranslated, because routers do not pass them on: link-local, multicast, broadcast.
/// Services for guests live there, and the answers would not find the way back.
pub const LINK_SCOPE: [IpNet; 5] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::BROADCAST, 32)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)),
];

/// How many first bytes there are.
const BYTES: usize = 256;
/// Up to here a map grows by itself; kept small because a guest can have a namespace of its own, with a map for it.
const FEW: usize = 1024;
/// Room for many: 6 MiB of memory a map even when empty, filled in half the time.
const MANY: usize = 262_144;

impl NatSpec {
    /// The tables that do it: one for each family of which there are pairs. Their chains and rules depend on the mode
    /// and on the lengths of the prefixes, not on how many there are.
    ///
    /// A prefix that does not end with a byte becomes up to 128 elements of the next whole byte's length.
    pub fn lower(&self) -> Vec<Table> {
        [(Family::Ip, TABLE_IPV4), (Family::Ip6, TABLE_IPV6)]
            .into_iter()
            .filter_map(|(family, name)| self.table(family, table_name(name)))
            .collect()
    }

    /// The sysctls that the tables need: in [`Mode::Tracked`] `net.ipv4.fwmark_reflect=1`, and the same for IPv6. With
    /// it an error that the namespace itself makes carries the mark of the packet that it is about, so that it is
    /// known whether that packet was on its way to a public address. Without it, all works but the errors (path MTU
    /// discovery too) that the namespace makes about packets between two of its guests who use public addresses.
    ///
    /// Not among them: `rp_filter`. In [`Mode::Notrack`] the source is public before routing, so on the guests'
    /// interfaces it must not be strict (1); off (0) or loose (2).
    pub fn sysctls(&self) -> Vec<Sysctl> {
        let keys = [(false, "net/ipv4/fwmark_reflect"), (true, "net/ipv6/fwmark_reflect")];
        keys.into_iter()
            .filter(|(ipv6, _)| {
                let translated = |pair: &Pair| pair.public.addr().is_ipv6() == *ipv6;
                self.mode == Mode::Tracked && self.pairs.iter().any(translated)
            })
            .filter_map(|(_, key)| Some(Sysctl { key: key.parse().ok()?, value: "1".parse().ok()? }))
            .collect()
    }

    /// Whether the table notes `address` as [near](NEAR) whatever pairs there are: destinations with its first byte are
    /// untranslated.
    pub fn is_near(&self, address: IpAddr) -> bool {
        let of_family = |net: &IpNet| net.addr().is_ipv6() == address.is_ipv6();
        let untranslated = LINK_SCOPE.into_iter().chain(self.untranslated.iter().map(IpNet::trunc));
        first_bytes(untranslated.filter(of_family)).contains(&first_byte(address))
    }

    fn table(&self, family: Family, table: TableName) -> Option<Table> {
        let of_family = |net: &IpNet| net.addr().is_ipv6() == (family == Family::Ip6);
        let translated = |pair: &&Pair| of_family(&pair.public) && pair.mismatch().is_none();
        let translated: Vec<&Pair> = self.pairs.iter().filter(translated).collect();
        let mut counts = [0_usize; 129];
        translated.iter().for_each(|pair| counts[usize::from(in_whole_bytes(pair))] += 1);
        // Longest first, as in a routing table, for the reader: no two overlap. Nothing is said of a pair by which
        // everything is translated.
        let lengths: Vec<u8> = (1..=128).rev().filter(|length| counts[usize::from(*length)] > 0).collect();
        let words = Words { family, lengths };
        if words.lengths.is_empty() {
            return None;
        }
        let (errors, types): (_, &[u8]) = match family {
            Family::Ip6 => (DataType::Icmpv6Type, &[1, 2, 3, 4]),
            _ => (DataType::IcmpType, &[3, 11, 12]),
        };
        let untranslated: Vec<IpNet> = LINK_SCOPE
            .into_iter()
            .chain(self.untranslated.iter().map(IpNet::trunc))
            .filter(of_family)
            .collect();
        let near =
            first_bytes(untranslated.iter().copied().chain(translated.iter().map(|pair| pair.private)));
        let data = words.data();
        let mut table = Table::new(family, table)
            .set(
                Set::new(name(UNTRANSLATED), data)
                    .interval()
                    .with(untranslated.into_iter().map(Element::new)),
            )
            .set(
                Set::new(name(NEAR), data)
                    .size(BYTES as u32)
                    .with(near.into_iter().map(|byte| Element::new(words.starting(byte)))),
            )
            .set(Set::new(name(ERRORS), errors).with(types.iter().map(|kind| Element::new(*kind))));
        for length in words.lengths.iter().copied() {
            let count = counts[usize::from(length)];
            let pairs = || translated.iter().filter(|pair| in_whole_bytes(pair) == length);
            let inward = mappings(length, count, pairs().map(|pair| (pair.public, pair.private)));
            let outward = mappings(length, count, pairs().map(|pair| (pair.private, pair.public)));
            for (name, elements) in [(inbound(length), inward), (outbound(length), outward)] {
                let size = room(elements.len());
                table = table.set(Set { size, ..Set::map(name, data, data).with(elements) });
            }
        }
        table.chains = words.chains(self.mode);
        Some(table)
    }
}

fn first_byte(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[0],
        IpAddr::V6(address) => address.octets()[0],
    }
}

/// The first bytes of all addresses in `nets`.
fn first_bytes(nets: impl Iterator<Item = IpNet>) -> Vec<u8> {
    let mut found = [false; BYTES];
    for net in nets {
        let first = first_byte(net.network());
        let rest = u8::MAX.checked_shr(net.prefix_len().into()).unwrap_or(0);
        (first..=first | rest).for_each(|byte| found[usize::from(byte)] = true);
    }
    (0..=u8::MAX).filter(|byte| found[usize::from(*byte)]).collect()
}

/// The length of the prefixes into which a pair's are cut: so many that each ends with a byte.
fn in_whole_bytes(pair: &Pair) -> u8 {
    pair.public.prefix_len().next_multiple_of(8)
}

/// The elements by which the one of two prefixes leads to the other, cut into prefixes of `length` bits; `count` or more.
fn mappings(length: u8, count: usize, pairs: impl Iterator<Item = (IpNet, IpNet)>) -> Vec<Element> {
    let mut elements = Vec::with_capacity(count);
    let mapping = |from: IpNet, to: IpNet| Element::mapping(from.network(), to.network());
    for (from, to) in pairs {
        if from.prefix_len() == length {
            elements.push(mapping(from, to));
        } else if let (Ok(from), Ok(to)) = (from.trunc().subnets(length), to.trunc().subnets(length)) {
            elements.extend(from.zip(to).map(|(from, to)| mapping(from, to)));
        }
    }
    elements
}

/// For how many elements a map with `count` makes room.
fn room(count: usize) -> Option<u32> {
    if count <= FEW {
        return None;
    }
    let mut room = MANY;
    while room < count.saturating_mul(2) {
        room = room.saturating_mul(4);
    }
    u32::try_from(room).ok()
}

fn table_name(text: &str) -> TableName {
    text.parse().unwrap_or_else(|e| unreachable!("{e}"))
}
