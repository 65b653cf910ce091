//! Prefixes as exact sets, one for each length: a key is masked and looked up in a hash. A set of intervals would be tens
//! of thousands of times slower to change.

use std::collections::BTreeMap;
use std::net::IpAddr;

use guestnet_core::LinkName;
use guestnet_nft::{DataType, Element, Field, Load, Name, Set, Statement, Value};
use ipnet::IpNet;

use crate::words::{name, room};

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    V4 = 0,
    V6 = 1,
}

impl Ip {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub fn of(address: &IpAddr) -> Self {
        if address.is_ipv6() { Self::V6 } else { Self::V4 }
    }

    pub fn data(self) -> DataType {
        if self == Self::V4 { DataType::Ipv4Addr } else { DataType::Ipv6Addr }
    }

    pub fn bits(self) -> u8 {
        if self == Self::V4 { 32 } else { 128 }
    }

    pub fn word(self) -> &'static str {
        if self == Self::V4 { "ipv4" } else { "ipv6" }
    }
}

/// The lengths of most guests' prefixes.
pub const USUAL: [&[u8]; 2] = [&[32], &[64, 128]];

/// Prefixes of both families.
pub struct Prefixes {
    /// Start of the names of the sets.
    start: &'static str,
    /// Whether each is of a link, which its key starts with.
    of_links: bool,
    by_length: [BTreeMap<u8, Vec<Element>>; 2],
}

impl Prefixes {
    /// None yet. The `lengths` of each family, those that nearly everybody has, are there from the start, so that the first
    /// of them changes no rule.
    pub fn new(start: &'static str, of_links: bool, lengths: [&[u8]; 2]) -> Self {
        let by_length = lengths.map(|lengths| lengths.iter().map(|length| (*length, Vec::new())).collect());
        Self { start, of_links, by_length }
    }

    /// Adds a prefix, of `link` where each is of one.
    pub fn add(&mut self, link: Option<&LinkName>, net: &IpNet) {
        let element = match link {
            Some(link) => Element::new([Value::from(link), net.network().into()]),
            None => Element::new(Value::from(net.network())),
        };
        let by_length = &mut self.by_length[Ip::of(&net.addr()) as usize];
        by_length.entry(net.prefix_len()).or_default().push(element);
    }

    /// The sets of one family.
    pub fn sets(&self, ip: Ip) -> impl Iterator<Item = Set> {
        self.by_length[ip as usize].iter().map(move |(length, elements)| {
            let link = self.of_links.then_some(DataType::Ifname);
            let key: Vec<DataType> = link.into_iter().chain([ip.data()]).collect();
            let set = Set::new(self.set(ip, *length), key).with(elements.iter().cloned());
            Set { size: room(elements.len()), ..set }
        })
    }

    /// Whether `field`, an address, is in one of them: a statement for each length, the longest first.
    pub fn have(&self, ip: Ip, field: &Field) -> Vec<Statement> {
        self.have_behind(None, ip, field)
    }

    /// The same of those of one link.
    pub fn have_of(&self, link: &Field, ip: Ip, field: &Field) -> Vec<Statement> {
        self.have_behind(Some(link), ip, field)
    }

    fn have_behind(&self, link: Option<&Field>, ip: Ip, field: &Field) -> Vec<Statement> {
        let statement = |length: &u8| {
            let field = field.clone();
            let field = if *length == ip.bits() { field } else { field.prefix(*length) };
            let load = match link {
                Some(link) => link.clone().then(field),
                None => Load::from(field),
            };
            load.is_in(self.set(ip, *length))
        };
        self.by_length[ip as usize].keys().rev().map(statement).collect()
    }

    fn set(&self, ip: Ip, length: u8) -> Name {
        name(&format!("{}{}_{length}", self.start, ip.word()))
    }
}

/// The start, the family and the length in the name of a set of prefixes; `None` where it is another set.
pub fn read_name(set: &str) -> Option<(&str, Ip, u8)> {
    let (rest, length) = set.rsplit_once('_')?;
    let (start, ip) = Ip::BOTH.into_iter().find_map(|ip| Some((rest.strip_suffix(ip.word())?, ip)))?;
    let length = length.parse().ok().filter(|length| *length <= ip.bits())?;
    Some((start, ip, length))
}
