//! Addresses that a change of a table takes from who has them: they become nobody's, or another guest's. Their connections have
//! to end, since a known connection passes the lists of whoever has the address next (6.12).

use std::collections::BTreeSet;
use std::net::IpAddr;

use guestnet_core::conntrack::Addresses;
use guestnet_core::{Change, LinkName};
use guestnet_nft::{Element, Elements, Family, Key, Set, Table, Value};
use ipnet::IpNet;

use crate::TABLE;
use crate::guests::{KNOWN_AS, SOURCES};
use crate::prefixes::{Ip, read_name};
use crate::rules::owned::{BEHIND, HERE, OWNED};

/// Starts of the names of the sets whose keys are an interface, or a bridge, and an address that is behind it.
const OF_LINKS: &[&str] = &[SOURCES, KNOWN_AS, BEHIND];

/// An address or prefix, and the link that it is behind, where a table says that.
type Holding = (Option<LinkName>, IpNet);

/// The addresses whose connections have to end with `change`: those that a set of all guests' addresses loses, and those that
/// are behind another link than before. What a guest keeps as a part of another prefix it keeps.
///
/// Prefixes of which others have a part, too (`sources`), are in no set of guests' addresses, and so not among them.
pub fn released(change: &Change<Table>) -> Addresses {
    let (old, new) = match change {
        Change::Create(_) => return Addresses::default(),
        Change::Delete(old) => (old, None),
        Change::Replace { old, new } => (old, Some(new)),
    };
    let all = match old.family {
        Family::Inet if old.name.as_str() == TABLE => HERE,
        Family::Bridge if old.name.as_str() == TABLE => OWNED,
        _ => return Addresses::default(),
    };
    let (old, new) = (View::of(Some(old), all), View::of(new, all));
    let mut addresses = Addresses::default();
    let mut gone = gone(&old, &new);
    // What is nobody's on a bridge any more the table of routed packets tells of, but for what is never routed.
    if all == OWNED {
        gone.retain(|(_, net)| is_link_local(net) || new.has(None, net));
    }
    gone.retain(|(link, net)| !new.covers(link.as_ref(), net));
    gone.iter().for_each(|(_, net)| addresses.insert(*net));
    linked(&old, &new).into_iter().for_each(|net| addresses.insert(net));
    new.parts_of(&gone).into_iter().for_each(|net| addresses.keep(net));
    addresses
}

/// Addresses that are taken from a link, and from all where no link is told of.
fn gone(old: &View<'_>, new: &View<'_>) -> BTreeSet<Holding> {
    let mut gone: BTreeSet<Holding> = only(&old.of_links, &new.of_links).into_iter().collect();
    gone.retain(|(_, net)| old.has(None, net));
    let linked: BTreeSet<IpNet> = gone.iter().map(|(_, net)| *net).collect();
    gone.extend(only(&old.all, &new.all).into_iter().filter(|(_, net)| !linked.contains(net)));
    gone
}

/// Addresses of a guest that was behind no link that is told of (it is in a namespace of its own), and is behind one now.
fn linked(old: &View<'_>, new: &View<'_>) -> Vec<IpNet> {
    let mut come = only(&new.of_links, &old.of_links);
    come.retain(|(_, net)| old.has(None, net));
    if !come.is_empty() {
        let before: BTreeSet<IpNet> =
            old.of_links.iter().flat_map(Prefixes::holdings).map(|(_, net)| net).collect();
        come.retain(|(_, net)| !before.contains(net));
    }
    come.into_iter().map(|(_, net)| net).collect()
}

fn is_link_local(net: &IpNet) -> bool {
    matches!(net.addr(), IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Addresses of guests, as a table says them.
struct View<'a> {
    /// The sets that have all of them.
    all: Vec<Prefixes<'a>>,
    /// The sets that say which link they are behind.
    of_links: Vec<Prefixes<'a>>,
}

/// A set of prefixes of one length.
struct Prefixes<'a> {
    set: &'a Set,
    ip: Ip,
    length: u8,
}

impl<'a> View<'a> {
    fn of(table: Option<&'a Table>, all: &str) -> Self {
        let sets = |starts: &[&str]| {
            let sets = table.into_iter().flat_map(|table| &table.sets);
            let prefixes = sets.filter_map(|set| {
                let (start, ip, length) = read_name(set.name.as_str())?;
                starts.contains(&start).then_some(Prefixes { set, ip, length })
            });
            prefixes.collect()
        };
        Self { all: sets(&[all]), of_links: sets(OF_LINKS) }
    }

    /// Whether `net` is behind `link`, or without a link, is a guest's.
    fn has(&self, link: Option<&LinkName>, net: &IpNet) -> bool {
        self.sets_for(link, net).any(|set| set.length == net.prefix_len() && set.around(link, net))
    }

    /// The same of a prefix that `net` is a part of.
    fn covers(&self, link: Option<&LinkName>, net: &IpNet) -> bool {
        self.sets_for(link, net).any(|set| set.length <= net.prefix_len() && set.around(link, net))
    }

    fn sets_for(&self, link: Option<&LinkName>, net: &IpNet) -> impl Iterator<Item = &Prefixes<'a>> {
        let ip = Ip::of(&net.addr());
        let sets = if link.is_some() { &self.of_links } else { &self.all };
        sets.iter().filter(move |set| set.ip == ip)
    }

    /// Parts of prefixes in `gone` that are left to those who had the whole.
    fn parts_of(&self, gone: &BTreeSet<Holding>) -> Vec<IpNet> {
        let lengths: BTreeSet<u8> = gone.iter().map(|(_, net)| net.prefix_len()).collect();
        let Some(shortest) = lengths.first().copied() else { return Vec::new() };
        let is_part = |(link, net): &Holding| {
            let around = lengths.range(..net.prefix_len());
            let mut around = around.filter_map(|length| IpNet::new(net.addr(), *length).ok());
            around.any(|around| gone.contains(&(link.clone(), around.trunc())))
        };
        let sets = self.of_links.iter().chain(&self.all).filter(|set| set.length > shortest);
        sets.flat_map(Prefixes::holdings).filter(is_part).map(|(_, net)| net).collect()
    }
}

impl Prefixes<'_> {
    fn holdings(&self) -> impl Iterator<Item = Holding> {
        self.set.elements.iter().filter_map(|element| holding(element, self.length))
    }

    /// Whether it has the prefix that `net` is, or is a part of.
    fn around(&self, link: Option<&LinkName>, net: &IpNet) -> bool {
        let Ok(around) = IpNet::new(net.addr(), self.length) else { return false };
        let address = Value::from(around.network());
        let key: Key = match link {
            Some(link) => [Value::from(link), address].into(),
            None => address.into(),
        };
        self.set.elements.contains(&key)
    }
}

/// Elements that the sets `here` have and those of the same names `there` have not.
fn only(here: &[Prefixes<'_>], there: &[Prefixes<'_>]) -> Vec<Holding> {
    let none = Elements::new();
    let of = |prefixes: &Prefixes<'_>| {
        let theirs = there.iter().find(|other| other.set.name == prefixes.set.name);
        let theirs = theirs.map_or(&none, |other| &other.set.elements);
        let only = theirs.changes(&prefixes.set.elements).filter_map(|change| match change {
            Change::Delete(element) => holding(element, prefixes.length),
            Change::Create(_) | Change::Replace { .. } => None,
        });
        only.collect::<Vec<_>>()
    };
    here.iter().flat_map(of).collect()
}

/// The prefix that an element of a set with prefixes of one length says.
fn holding(element: &Element, length: u8) -> Option<Holding> {
    let (link, address) = match element.key.first() {
        [Value::Ifname(link), address] => (Some(link.clone()), address),
        [address] => (None, address),
        _ => return None,
    };
    let address = match address {
        Value::Ipv4(address) => IpAddr::from(*address),
        Value::Ipv6(address) => IpAddr::from(*address),
        _ => return None,
    };
    Some((link, IpNet::new(address, length).ok()?.trunc()))
}

#[cfg(test)]
mod tests;
