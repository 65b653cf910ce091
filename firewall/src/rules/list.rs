//! The access lists of guests.
//!
//! The entries of guests' own lists are keys that start with their interfaces. A group has a chain, which its members
//! go through one after the other: one lookup for each group. (A map from interfaces to groups could spare those, but
//! nft 1.0.6 ends itself when it lists a rule that looks up what a map gave.)

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use guestnet_nft::expr::{Connlimit, CtDirection};
use guestnet_nft::{
    Chain, DataType, Element, Field, Rule, Set, Stateful, Statement, Value, Verdict, ct, meta,
};
use ipnet::IpNet;

use super::icmp;
use crate::guests::Guests;
use crate::prefixes::Ip;
use crate::shape::{Direction, List};
use crate::words::{
    ICMP, ICMPV6, Words, chain, deny, goto, jump, name, on, pass, protocol, room, rule, to_guest,
};
use crate::{Entry, FirewallSpec, GroupName, Paragraph as P};

/// The lists of guests in one direction.
pub struct Lists<'a> {
    direction: Direction,
    own: List,
    groups: BTreeMap<&'a GroupName, List>,
    /// Where a packet goes that an entry denies; left out, it is dropped.
    denied: Option<&'static str>,
    /// How many connections guests may have, each number once.
    most: BTreeSet<NonZeroU32>,
}

/// The chain that a packet in this direction enters.
pub fn chain_of(direction: Direction) -> &'static str {
    if direction == Direction::Out { "from_guest" } else { "to_guest" }
}

/// Where a packet from a guest goes on when an entry fits.
const SENT: &str = "sent";

/// Where ICMP from a guest goes that needs no entry of its own list.
const SENT_ICMP: &str = "icmp_sent";

/// Where a packet goes on when an entry fits, of guests that may have so many connections.
fn counted(direction: Direction) -> String {
    format!("connections_{}", side(direction))
}

/// Where a packet goes that belongs to no connection.
const INVALID: &str = "invalid";

/// Where an error about a connection goes that a guest sends.
const RELATED: &str = "related";

/// Packets of no connection, of which only ICMP can pass: conntrack knows few of its types, and lists name others.
pub fn invalid() -> Chain {
    let icmp = [ICMP, ICMPV6].map(|number| rule(P::STATE, [protocol(number), vec![Verdict::Return.into()]]));
    chain(INVALID, icmp.into_iter().chain([deny(P::STATE, [])]))
}

/// Errors about a connection of the guest's own: those types that pass without one, too. Those about others' do not, as
/// who sent them was never asked.
pub fn related(guests: &Guests<'_>, words: Words) -> Chain {
    let ends = [CtDirection::Original, CtDirection::Reply].into_iter().flat_map(|direction| {
        let ipv4 = guests.is_its_end(Ip::V4, &ct::saddr(direction)).into_iter();
        let ipv6 = guests.is_its_end(Ip::V6, &ct::saddr6(direction)).into_iter();
        ipv4.map(|own| (words.is_ipv4(), own)).chain(ipv6.map(|own| (words.is_ipv6(), own)))
    });
    let own = ends.map(|(family, own)| rule(P::STATE, [family, own, jump(icmp::TRANSIT_CHAIN)]));
    chain(RELATED, own.chain([deny(P::STATE, [])]))
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
    let counted = |most: NonZeroU32| {
        let guests = guests.iter().filter(|guest| guest.access.connections == Some(most));
        let guests = guests.map(|guest| Element::new(guest.name.clone()));
        let over = Connlimit { count: most.get(), over: true };
        let over = Set::new(connections(most), DataType::Ifname).stateful(Stateful::Connlimit(over));
        let have = Set::new(have(most), DataType::Ifname).with(guests);
        let size = counted_room(have.elements.len());
        [have.size(size), over.size(size)]
    };
    let counted = most(guests).into_iter().flat_map(counted);
    let sets = groups(guests).into_iter().map(members).chain([stateless]).chain(counted);
    sets.map(|set| Set { size: set.size.or(room(set.elements.len())), ..set }).collect()
}

fn members_of(group: &GroupName) -> guestnet_nft::Name {
    name(&format!("members_{group}"))
}

/// For how many guests there is room where their connections are counted. The kernel keeps room for all that a set of counts
/// may come to hold, so it is small where they are few; and who has none would not be counted, so both sets have the same.
fn counted_room(count: usize) -> u32 {
    let mut room = 64_u32;
    while (room as usize) < count.saturating_mul(2) {
        room = room.saturating_mul(4);
    }
    room
}

/// The set of guests that may have `most` connections.
fn have(most: NonZeroU32) -> guestnet_nft::Name {
    name(&format!("have_{most}"))
}

/// The set that counts those of each.
fn connections(most: NonZeroU32) -> guestnet_nft::Name {
    name(&format!("connections_{most}"))
}

/// How many connections guests may have, each number once.
fn most(guests: &Guests<'_>) -> BTreeSet<NonZeroU32> {
    guests.iter().filter_map(|guest| guest.access.connections).collect()
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
            // A limit counts for each guest by itself, also that of a group's entry.
            let limited = guest.access.groups.iter().flat_map(|group| of_group(spec, group, direction));
            let limited: Vec<Entry> = limited.filter(|entry| entry.limit.is_some()).collect();
            for entry in entries.iter().chain(&limited) {
                own.add(Some(Value::from(&guest.name)), entry, members);
            }
        }
        let list = |group: &'a GroupName| {
            let mut list = List::new(format!("{}_{group}", side(direction)), direction, None);
            for entry in of_group(spec, group, direction).iter().filter(|entry| entry.limit.is_none()) {
                list.add(None, entry, members);
            }
            (group, list)
        };
        let groups = groups(guests).into_iter().map(list).collect();
        Self { direction, own, groups, denied: None, most: most(guests) }
    }

    /// The lists, with a chain where packets go that an entry denies.
    #[must_use]
    pub fn denied_to(self, chain: &'static str) -> Self {
        Self { denied: Some(chain), ..self }
    }

    /// Whether any entry denies.
    pub fn deny(&self) -> bool {
        self.own.denies() || self.groups.values().any(List::denies)
    }

    /// Their sets.
    pub fn sets(&self) -> impl Iterator<Item = Set> {
        std::iter::once(&self.own).chain(self.groups.values()).flat_map(List::sets)
    }

    /// The chains: `first`, connections if they can be asked for, entries, ICMP, then the drop. A packet of a known
    /// connection is asked the least, and what an entry fits does not pay for ICMP, which is rare.
    pub fn chains(&self, first: Vec<Rule>, connections: bool, words: Words) -> Vec<Chain> {
        let mut chains: Vec<Chain> = (self.groups.iter())
            .map(|(group, list)| chain(&self.of_group(group), self.fits(list, words)))
            .collect();
        let denying = self.groups.iter().filter(|(_, list)| list.denies());
        chains.extend(
            denying.map(|(group, list)| chain(&self.denials_of_group(group), self.denials(list, words))),
        );
        let rules = first.into_iter().chain(self.rules(connections, words)).chain([deny(P::LIST, [])]);
        chains.push(chain(chain_of(self.direction), rules));
        if self.direction == Direction::Out {
            let to_another = rule(P::LIST, [to_guest(), goto(chain_of(Direction::In))]);
            chains.push(chain(SENT, [to_another, pass(P::LIST, [])]));
            chains.push(chain(SENT_ICMP, icmp::transit(&goto(SENT))));
        }
        if !self.most.is_empty() {
            let rules = self.too_many().map(|too_many| deny(P::CONNECTIONS, too_many));
            chains.push(chain(&counted(self.direction), rules.chain([self.passing(P::LIST, [])])));
        }
        chains
    }

    /// Rules that let packets pass; one that comes behind them, no entry fits.
    pub fn rules(&self, connections: bool, words: Words) -> Vec<Rule> {
        let mut rules = Vec::new();
        let stateful = || link(self.direction).not_in(name("stateless"));
        if connections {
            let known = ct::state().has(ct::ESTABLISHED);
            rules.push(self.passing(P::STATE, [known, stateful()]));
            rules.push(rule(P::STATE, [ct::state().has(ct::INVALID), stateful(), jump(INVALID)]));
            if self.direction == Direction::Out {
                rules.extend([ICMP, ICMPV6].map(|number| {
                    on(P::STATE, [ct::state().has(ct::RELATED), protocol(number), stateful()], RELATED)
                }));
            }
        }
        rules.extend(self.denials(&self.own, words));
        for (group, _) in self.groups.iter().filter(|(_, list)| list.denies()) {
            let member = link(self.direction).is_in(members_of(group));
            rules.push(rule(P::DENIED, [member, jump(&self.denials_of_group(group))]));
        }
        rules.extend(self.fits(&self.own, words));
        for group in self.groups.keys() {
            let member = link(self.direction).is_in(members_of(group));
            rules.push(rule(P::LIST, [member, jump(&self.of_group(group))]));
        }
        // An echo is a connection, too.
        for number in [ICMP, ICMPV6] {
            let too_many = self
                .too_many()
                .map(|too_many| deny(P::CONNECTIONS, [protocol(number)].into_iter().chain(too_many)));
            rules.extend(too_many);
        }
        rules.extend(icmp::on_transit(if self.direction == Direction::Out {
            SENT_ICMP
        } else {
            icmp::TRANSIT_CHAIN
        }));
        rules
    }

    fn fits(&self, list: &List, words: Words) -> Vec<Rule> {
        list.matches(words).map(|fits| self.fitting([fits])).collect()
    }

    fn denials(&self, list: &List, words: Words) -> Vec<Rule> {
        let denied = |fits: Statement| match self.denied {
            Some(chain) => on(P::DENIED, [fits], chain),
            None => deny(P::DENIED, [fits]),
        };
        list.denials(words).map(denied).collect()
    }

    /// Statements that match a packet whose guest has as many connections as it may, this one not among them.
    fn too_many(&self) -> impl Iterator<Item = Vec<Statement>> + '_ {
        let link = || link(self.direction);
        self.most.iter().map(move |most| vec![link().is_in(have(*most)), link().added_to(connections(*most))])
    }

    /// The chain of a group.
    fn of_group(&self, group: &GroupName) -> String {
        format!("{}_{group}", side(self.direction))
    }

    /// The chain of a group's entries that deny.
    fn denials_of_group(&self, group: &GroupName) -> String {
        format!("deny_{}_{group}", side(self.direction))
    }

    /// Lets pass what an entry fits, if its guest may have one connection more.
    fn fitting(&self, parts: impl IntoIterator<Item = Statement>) -> Rule {
        if self.most.is_empty() {
            self.passing(P::LIST, parts)
        } else {
            on(P::LIST, parts, &counted(self.direction))
        }
    }

    /// Lets pass what matches `parts`; from a guest, unless it is for another, whose list is asked too.
    fn passing(&self, paragraph: P, parts: impl IntoIterator<Item = Statement>) -> Rule {
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
