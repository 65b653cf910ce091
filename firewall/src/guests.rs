//! Sets of what guests are: the only thing that grows with them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use guestnet_nft::{DataType, Element, Field, Name, Set, Statement, Value, meta};
use ipnet::IpNet;

use crate::words::{name, room};
use crate::{FirewallSpec, GuestLink};

/// Guests as the tables of one family need them.
pub struct Guests<'a> {
    links: Vec<&'a GuestLink>,
    /// The lengths of prefixes in use, longest first.
    lengths: [Vec<u8>; 2],
}

impl<'a> Guests<'a> {
    /// Those that are ports of bridges, or the others.
    pub fn of(spec: &'a FirewallSpec, bridged: bool) -> Self {
        let links: Vec<&GuestLink> = spec.guests.iter().filter(|guest| guest.bridged == bridged).collect();
        // Those that nearly everybody has are there from the start, so that the first of them changes no rule.
        let mut lengths = [BTreeSet::from([32]), BTreeSet::from([64, 128])];
        for net in links.iter().flat_map(|guest| guest.sources()) {
            lengths[usize::from(net.addr().is_ipv6())].insert(net.prefix_len());
        }
        Self { links, lengths: lengths.map(|lengths| lengths.into_iter().rev().collect()) }
    }

    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a GuestLink> + '_ {
        self.links.iter().copied()
    }

    /// Their names, MAC addresses and sources, by family of the addresses as far as it is among `families`.
    pub fn sets(&self, families: &[Ip]) -> Vec<Set> {
        let names = self.links.iter().map(|guest| Element::new(guest.name.clone()));
        let macs = self.links.iter().map(|guest| Element::new([Value::from(&guest.name), guest.mac.into()]));
        let mut sets = vec![
            Set::new(name("guests"), DataType::Ifname).with(names),
            Set::new(name("macs"), vec![DataType::Ifname, DataType::EtherAddr]).with(macs),
        ];
        for ip in families {
            let mut by_length: BTreeMap<u8, Vec<Element>> =
                self.lengths[*ip as usize].iter().map(|length| (*length, Vec::new())).collect();
            for guest in &self.links {
                // An address of the host's on the link is not the guest's, so it can be looked for after these.
                let routers =
                    |net: &IpNet| net.prefix_len() == ip.bits() && guest.routers.contains(&net.addr());
                for net in guest.sources().filter(|net| ip.has(&net.addr()) && !routers(net)) {
                    let element = Element::new([Value::from(&guest.name), net.network().into()]);
                    by_length.entry(net.prefix_len()).or_default().push(element);
                }
            }
            let set = |(length, elements)| {
                Set::new(ip.sources(length), vec![DataType::Ifname, ip.data()]).with(elements)
            };
            sets.extend(by_length.into_iter().map(set));
            let routers = self.links.iter().flat_map(|guest| {
                let of = guest.routers.iter().filter(|address| ip.has(address));
                of.map(|address| Element::new([Value::from(&guest.name), (*address).into()]))
            });
            sets.push(Set::new(ip.routers(), vec![DataType::Ifname, ip.data()]).with(routers));
        }
        sets.into_iter().map(|set| Set { size: room(set.elements.len()), ..set }).collect()
    }

    /// Whether `field`, an address, is one of the guest's: a statement for each length of prefix, the longest first. Only
    /// the first never holds for addresses of the host's, which can be inside of the shorter prefixes.
    pub fn is_its_address(&self, ip: Ip, field: &Field) -> Vec<Statement> {
        let statement = |length: &u8| {
            let field = field.clone();
            let field = if *length == ip.bits() { field } else { field.prefix(*length) };
            meta::iifname().then(field).is_in(ip.sources(*length))
        };
        self.lengths[ip as usize].iter().map(statement).collect()
    }

    /// Whether any of them is asked for connections.
    pub fn has_stateful(&self) -> bool {
        self.links.iter().any(|guest| !guest.access.stateless)
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    V4 = 0,
    V6 = 1,
}

impl Ip {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn has(self, address: &IpAddr) -> bool {
        address.is_ipv6() == (self == Self::V6)
    }

    pub fn data(self) -> DataType {
        if self == Self::V4 { DataType::Ipv4Addr } else { DataType::Ipv6Addr }
    }

    fn bits(self) -> u8 {
        if self == Self::V4 { 32 } else { 128 }
    }

    fn sources(self, length: u8) -> Name {
        name(&format!("{}_{length}", if self == Self::V4 { "ipv4" } else { "ipv6" }))
    }

    /// Whether `field`, an address, is one of the host's on the guest's link.
    pub fn is_routers(self, field: Field) -> Statement {
        meta::iifname().then(field).is_in(self.routers())
    }

    fn routers(self) -> Name {
        name(if self == Self::V4 { "routers_ipv4" } else { "routers_ipv6" })
    }
}

/// The members of each group: guests, and what the spec adds.
pub fn members(spec: &FirewallSpec) -> BTreeMap<&str, Vec<IpNet>> {
    let mut members: BTreeMap<&str, Vec<IpNet>> = BTreeMap::new();
    for group in &spec.groups {
        members.entry(group.name.as_str()).or_default().extend(&group.addresses);
    }
    for guest in &spec.guests {
        for group in &guest.access.groups {
            if let Some(members) = members.get_mut(group.as_str()) {
                members.extend(guest.known());
            }
        }
    }
    members
}
