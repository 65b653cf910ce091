//! The access lists of guests, as chains that a packet returns from when an entry fits.

use std::collections::BTreeMap;

use guestnet_nft::{Chain, DataType, Element, Field, Rule, Set, Statement, Value, ct, meta};
use ipnet::IpNet;

use crate::guests::Guests;
use crate::shape::{Direction, List};
use crate::words::{Words, chain, deny, name, room, rule};
use crate::{Entry, FirewallSpec, Paragraph as P};

/// The lists of guests in one direction.
pub struct Lists {
    direction: Direction,
    lists: Vec<List>,
}

/// The chain of a direction.
pub fn chain_of(direction: Direction) -> &'static str {
    if direction == Direction::Out { "from_guest" } else { "to_guest" }
}

/// How many groups the guest with most has, of those that there are.
fn slots(guests: &Guests<'_>) -> usize {
    guests.iter().map(|guest| guest.access.groups.len()).max().unwrap_or(0)
}

/// The maps from guests to their first, second, … group.
pub fn maps(guests: &Guests<'_>) -> Vec<Set> {
    let map = |slot: usize| {
        let of = |guest: &crate::GuestLink| {
            let group = guest.access.groups.get(slot)?;
            Some(Element::mapping(guest.name.clone(), group.key()))
        };
        let elements: Vec<Element> = guests.iter().filter_map(of).collect();
        let set = Set::map(name(&format!("group{}", slot + 1)), DataType::Ifname, DataType::Ifname);
        Set { size: room(elements.len()), ..set.with(elements) }
    };
    (0..slots(guests)).map(map).collect()
}

impl Lists {
    /// Of the guests, and of those groups that any of them is in.
    pub fn of(
        spec: &FirewallSpec,
        guests: &Guests<'_>,
        members: &BTreeMap<&str, Vec<IpNet>>,
        direction: Direction,
    ) -> Self {
        let side = if direction == Direction::Out { "out" } else { "in" };
        let link = || if direction == Direction::Out { meta::iifname() } else { meta::oifname() };
        let mut own = List::new(format!("{side}_own"), direction, Some(link()));
        for guest in guests.iter() {
            let entries = match direction {
                Direction::Out => &guest.access.egress,
                Direction::In => &guest.access.ingress,
            };
            for entry in entries {
                own.add(Some(Value::from(&guest.name)), entry, members);
            }
        }
        // Each slot has the same elements under another key: the group that it leads to.
        let slots = slots(guests);
        let through = |slot: usize| -> Field {
            link().through(name(&format!("group{}", slot + 1)), DataType::Ifname)
        };
        let mut lists = vec![own];
        for slot in 0..slots {
            let mut list = List::new(format!("{side}_group{}", slot + 1), direction, Some(through(slot)));
            let used = guests.iter().filter_map(|guest| guest.access.groups.get(slot));
            for group in used.collect::<std::collections::BTreeSet<_>>() {
                for entry in of_group(spec, group, direction) {
                    list.add(Some(Value::from(group.key())), &entry, members);
                }
            }
            lists.push(list);
        }
        Self { direction, lists }
    }

    /// Their sets.
    pub fn sets(&self) -> impl Iterator<Item = Set> {
        self.lists.iter().flat_map(List::sets)
    }

    /// The chain: `first`, connections if `connections` can be asked, then entries, then the drop.
    pub fn chain(&self, first: Vec<Rule>, connections: bool, words: Words) -> Chain {
        let link = || if self.direction == Direction::Out { meta::iifname() } else { meta::oifname() };
        let back = || vec![guestnet_nft::Expr::Verdict(guestnet_nft::Verdict::Return)];
        let mut rules = first;
        if connections {
            let stateful = || link().not_in(name("stateless"));
            let known = ct::state().has(ct::ESTABLISHED | ct::RELATED);
            rules.push(rule(P::STATE, [stateful(), known, back()]));
            rules.push(deny(P::STATE, [stateful(), ct::state().has(ct::INVALID)]));
        }
        let matches = self.lists.iter().flat_map(|list| list.matches(words));
        rules.extend(matches.map(|fits: Statement| rule(P::LIST, [fits, back()])));
        rules.push(deny(P::LIST, []));
        chain(chain_of(self.direction), rules)
    }
}

/// The entries of a group, those of tiers included.
pub fn of_group(spec: &FirewallSpec, name: &crate::GroupName, direction: Direction) -> Vec<Entry> {
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

/// The guests that are not asked for connections.
pub fn stateless(guests: &Guests<'_>) -> Set {
    let stateless = guests.iter().filter(|guest| guest.access.stateless);
    let elements: Vec<Element> = stateless.map(|guest| Element::new(guest.name.clone())).collect();
    let size = room(elements.len());
    Set { size, ..Set::new(name("stateless"), DataType::Ifname).with(elements) }
}
