//! Sets of what guests are: the only thing that grows with them.

use std::collections::BTreeMap;

use guestnet_nft::{DataType, Element, Field, Rule, Set, Statement, Value, meta};
use ipnet::IpNet;

use crate::prefixes::{Ip, Prefixes, USUAL};
use crate::rules::source::{LINK_LOCAL, LINK_LOCAL_MASK};
use crate::words::{deny, name, room};
use crate::{FirewallSpec, GuestLink, Paragraph as P};

/// Guests as the tables of one family need them.
pub struct Guests<'a> {
    links: Vec<&'a GuestLink>,
    /// Sources of each, without addresses of the host's on their links.
    sources: Prefixes,
    /// By what others know them, where that is translated.
    known_as: Prefixes,
    /// Addresses of one guest alone, on a link that guests have together.
    owned: Option<&'a Prefixes>,
}

impl<'a> Guests<'a> {
    /// Guests on routed links; with `owned`, the addresses that are one guest's alone, guests that are ports of bridges.
    pub fn of(spec: &'a FirewallSpec, owned: Option<&'a Prefixes>) -> Self {
        let is_one = |guest: &&GuestLink| guest.bridge.is_some() == owned.is_some();
        let links: Vec<&GuestLink> = spec.guests.iter().filter(is_one).collect();
        let mut sources = Prefixes::new(SOURCES, true, USUAL);
        let mut known_as = Prefixes::new(KNOWN_AS, true, [&[32], &[]]);
        for guest in &links {
            // An address of the host's on the link is not the guest's, so it can be looked for after these.
            let is_routers =
                |net: &IpNet| net.prefix_len() == net.max_prefix_len() && guest.routers.contains(&net.addr());
            let own = guest.sources().filter(|net| !is_routers(net));
            own.for_each(|net| sources.add(Some(&guest.name), &net));
            guest.known_as.iter().for_each(|net| known_as.add(Some(&guest.name), &net.trunc()));
        }
        Self { links, sources, known_as, owned }
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
            sets.extend(self.sources.sets(*ip));
            let routers = self.links.iter().flat_map(|guest| {
                let of = guest.routers.iter().filter(|address| Ip::of(address) == *ip);
                of.map(|address| Element::new([Value::from(&guest.name), (*address).into()]))
            });
            sets.push(Set::new(routers_of(*ip), vec![DataType::Ifname, ip.data()]).with(routers));
        }
        if families.contains(&Ip::V6) && self.any_link_local().next().is_some() {
            let names = self.any_link_local().map(|guest| Element::new(guest.name.clone()));
            sets.push(Set::new(name(ANY_LINK_LOCAL), DataType::Ifname).with(names));
        }
        sets.into_iter().map(|set| Set { size: room(set.elements.len()), ..set }).collect()
    }

    /// Whether `field`, an address, is one of the guest's: a statement for each length of prefix, the longest first. Only
    /// the first never holds for addresses of the host's, which can be inside of the shorter prefixes.
    pub fn is_its_address(&self, ip: Ip, field: &Field) -> Vec<Statement> {
        self.sources.have_of(&meta::iifname(), ip, field)
    }

    fn any_link_local(&self) -> impl Iterator<Item = &'a GuestLink> + '_ {
        self.iter().filter(|guest| guest.any_link_local)
    }

    /// Goes on by `own` where `field`, an address, is one of the guest's, and drops what is the host's on its link. One of all
    /// link-local addresses is nobody else's.
    pub fn own(&self, ip: Ip, field: &Field, own: impl Fn(Statement) -> Rule) -> Vec<Rule> {
        let mut addresses = self.is_its_address(ip, field).into_iter().map(&own);
        let mut rules: Vec<Rule> = addresses.next().into_iter().collect();
        rules.push(deny(P::ROUTER, [is_routers(ip, field.clone())]));
        rules.extend(addresses);
        if ip == Ip::V6 && self.any_link_local().next().is_some() {
            let mut any = meta::iifname().is_in(name(ANY_LINK_LOCAL));
            any.extend(field.clone().masked(LINK_LOCAL_MASK).eq(LINK_LOCAL));
            let others = self.owned.into_iter().flat_map(|owned| owned.have(ip, field));
            rules.extend(others.map(|other| deny(P::OWNED, [any.clone(), other])));
            rules.push(own(any));
        }
        rules
    }

    /// Whether `field`, an address of a connection, is one of the guest's, translated or not.
    pub fn is_its_end(&self, ip: Ip, field: &Field) -> Vec<Statement> {
        let known_as = self.known_as.have_of(&meta::iifname(), ip, field);
        self.is_its_address(ip, field).into_iter().chain(known_as).collect()
    }

    /// The sets that only connections are asked about.
    pub fn ends(&self) -> impl Iterator<Item = Set> {
        Ip::BOTH.into_iter().flat_map(|ip| self.known_as.sets(ip))
    }

    /// Whether any of them is asked for connections.
    pub fn has_stateful(&self) -> bool {
        self.links.iter().any(|guest| !guest.access.stateless)
    }
}

/// Start of the names of the sets of guests' sources: these begin with the family.
pub const SOURCES: &str = "";
/// The same of that by which others know them.
pub const KNOWN_AS: &str = "known_";

/// The guests that may have any link-local address.
const ANY_LINK_LOCAL: &str = "any_link_local";

/// Whether `field`, an address, is one of the host's on the guest's link.
fn is_routers(ip: Ip, field: Field) -> Statement {
    meta::iifname().then(field).is_in(routers_of(ip))
}

fn routers_of(ip: Ip) -> guestnet_nft::Name {
    name(&format!("routers_{}", ip.word()))
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
