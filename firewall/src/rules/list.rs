//! The access lists of guests.
//!
//! The entries of guests' own lists are keys that start with their interfaces. A group has a chain, which its members
//! go through one after the other: one lookup for each group. (A map from interfaces to groups could spare those, but
//! nft 1.0.6 ends itself when it lists a rule that looks up what a map gave.)

use std::collections::{BTreeMap, BTreeSet};

use guestnet_nft::{Chain, DataType, Element, Field, Rule, Set, Statement, Value, ct, meta};
use ipnet::IpNet;

use super::icmp;
use crate::guests::Guests;
use crate::shape::{Direction, List};
use crate::words::{Words, chain, deny, goto, jump, name, on, pass, room, rule, to_guest};
use crate::{Entry, FirewallSpec, GroupName, Paragraph as P};

/// The lists of guests in one direction.
pub struct Lists<'a> {
    direction: Direction,
    own: List,
    groups: BTreeMap<&'a GroupName, List>,
}

/// The chain that a packet in this direction enters.
pub fn chain_of(direction: Direction) -> &'static str {
    if direction == Direction::Out { "from_guest" } else { "to_guest" }
}

/// Where a packet from a guest goes on when an entry fits.
const SENT: &str = "sent";

/// Where a packet goes that belongs to no connection.
const INVALID: &str = "invalid";

/// Of what belongs to no connection, only ICMP can pass.
pub fn invalid() -> Chain {
    chain(INVALID, icmp::on_transit().into_iter().chain([deny(P::STATE, [])]))
}

fn side(direction: Direction) -> &'static str {
    if direction == Direction::Out { "out" } else { "in" }
}

/// The guest's interface.
fn link(direction: Direction) -> Field {
    if direction == Direction::Out { meta::iifname() } else { meta::oifname() }
}

/// The groups that any of the guests is in.
fn groups<'a>(guests: &Guests<'a>) -> BTreeSet<&'a GroupName> {
    guests.iter().flat_map(|guest| &guest.access.groups).collect()
}

/// The members of each group, by interface, and the guests that are not asked for connections.
pub fn sets(guests: &Guests<'_>) -> Vec<Set> {
    let members = |group: &GroupName| {
        let members = guests.iter().filter(|guest| guest.access.groups.contains(group));
        Set::new(members_of(group), DataType::Ifname).with(members.map(|g| Element::new(g.name.clone())))
    };
    let stateless = guests.iter().filter(|guest| guest.access.stateless);
    let stateless = stateless.map(|guest| Element::new(guest.name.clone()));
    let stateless = Set::new(name("stateless"), DataType::Ifname).with(stateless);
    let sets = groups(guests).into_iter().map(members).chain([stateless]);
    sets.map(|set| Set { size: room(set.elements.len()), ..set }).collect()
}

fn members_of(group: &GroupName) -> guestnet_nft::Name {
    name(&format!("members_{group}"))
}

impl<'a> Lists<'a> {
    /// Of the guests, and of those groups that any of them is in.
    pub fn of(
        spec: &FirewallSpec,
        guests: &Guests<'a>,
        members: &BTreeMap<&str, Vec<IpNet>>,
        direction: Direction,
    ) -> Self {
        let mut own = List::new(format!("own_{}", side(direction)), direction, Some(link(direction)));
        for guest in guests.iter() {
            let entries = match direction {
                Direction::Out => &guest.access.egress,
                Direction::In => &guest.access.ingress,
            };
            for entry in entries {
                own.add(Some(Value::from(&guest.name)), entry, members);
            }
        }
        let list = |group: &'a GroupName| {
            let mut list = List::new(format!("{}_{group}", side(direction)), direction, None);
            for entry in of_group(spec, group, direction) {
                list.add(None, &entry, members);
            }
            (group, list)
        };
        Self { direction, own, groups: groups(guests).into_iter().map(list).collect() }
    }

    /// Their sets.
    pub fn sets(&self) -> impl Iterator<Item = Set> {
        std::iter::once(&self.own).chain(self.groups.values()).flat_map(List::sets)
    }

    /// The chains: `first`, connections if they can be asked for, entries, ICMP, then the drop. A packet of a known
    /// connection is asked the least, and what an entry fits does not pay for ICMP, which is rare.
    pub fn chains(&self, first: Vec<Rule>, connections: bool, words: Words) -> Vec<Chain> {
        let fits = |list: &List| -> Vec<Rule> {
            list.matches(words).map(|fits| self.fitting(P::LIST, [fits])).collect()
        };
        let mut rules = first;
        let stateful = || link(self.direction).not_in(name("stateless"));
        if connections {
            let known = ct::state().has(ct::ESTABLISHED | ct::RELATED);
            rules.push(self.fitting(P::STATE, [known, stateful()]));
            rules.push(on(P::STATE, [ct::state().has(ct::INVALID), stateful()], INVALID));
        }
        rules.extend(fits(&self.own));
        let mut chains = Vec::new();
        for (group, list) in &self.groups {
            let of_group = format!("{}_{group}", side(self.direction));
            let member = link(self.direction).is_in(members_of(group));
            rules.push(rule(P::LIST, [member, jump(&of_group)]));
            chains.push(chain(&of_group, fits(list)));
        }
        rules.extend(icmp::on_transit());
        rules.push(deny(P::LIST, []));
        chains.push(chain(chain_of(self.direction), rules));
        if self.direction == Direction::Out {
            let to_another = rule(P::LIST, [to_guest(), goto(chain_of(Direction::In))]);
            chains.push(chain(SENT, [to_another, pass(P::LIST, [])]));
        }
        chains
    }

    /// Lets pass what matches `parts`; from a guest, unless it is for another, whose list is asked too.
    fn fitting(&self, paragraph: P, parts: impl IntoIterator<Item = Statement>) -> Rule {
        match self.direction {
            Direction::Out => on(paragraph, parts, SENT),
            Direction::In => pass(paragraph, parts),
        }
    }
}

/// The entries of a group, those of tiers included.
pub fn of_group(spec: &FirewallSpec, name: &GroupName, direction: Direction) -> Vec<Entry> {
    let groups = spec.groups.iter().filter(|group| group.name == *name);
    let own = groups.flat_map(|group| match direction {
        Direction::Out => group.egress.iter(),
        Direction::In => group.ingress.iter(),
    });
    let tiers = spec.tiers.iter().filter_map(|tier| match direction {
        Direction::Out => (tier.from == *name).then(|| tier.entry(&tier.to)),
        Direction::In => (tier.to == *name).then(|| tier.entry(&tier.from)),
    });
    own.cloned().chain(tiers).collect()
}
