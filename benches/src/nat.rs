//! The table that translates any number of guests, by itself: what the library's crates cost without a host around them.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use guestnet::core::{Change, Context, Kind, Message, Namespace, Outbox, Phase, Protocol, Step};
use guestnet::nat::{Mode, NatSpec, Pair};
use guestnet::nft::Table;

use crate::guests::{private, public};

/// Beyond any guest that a table is made for: where elements are added to it.
const MORE: usize = 1 << 21;

/// The translation of `count` guests.
pub fn spec(count: usize, mode: Mode) -> NatSpec {
    NatSpec { mode, untranslated: Vec::new(), pairs: (0..count).map(pair).collect() }
}

fn pair(guest: usize) -> Pair {
    Pair { public: IpAddr::from(public(guest)).into(), private: IpAddr::from(private(guest)).into() }
}

/// Two tables, equal to those of any number of guests but for their elements: without, and with guest `n` only. What
/// makes the one into the other adds that guest to a table with all the others.
pub fn one_more(n: usize) -> Result<(Table, Table)> {
    let with = table(&NatSpec { mode: Mode::Notrack, pairs: vec![pair(MORE + n)], ..NatSpec::default() })?;
    let mut without = with.clone();
    for mut set in with.sets.iter().filter(|set| set.is_map()).cloned() {
        set.elements = guestnet::nft::Elements::new();
        without.sets.insert(set);
    }
    Ok((without, with))
}

/// The addresses, public and private, of guest `n` of [`one_more`].
pub fn addresses(n: usize) -> (String, String) {
    (public(MORE + n).to_string(), private(MORE + n).to_string())
}

/// The one table of a spec with one family.
pub fn table(spec: &NatSpec) -> Result<Table> {
    let mut tables = spec.lower();
    ensure!(tables.len() == 1, "{} tables where one was due", tables.len());
    Ok(tables.remove(0))
}

/// A change in the kernel's words.
pub fn encode(change: &Change<Table>) -> Result<Vec<Message>> {
    let mut outbox = Outbox::new();
    Table::encode(change, Phase::Filters, &Context::default(), &mut outbox)?;
    let steps = outbox.into_steps().into_iter();
    Ok(steps
        .filter_map(|(_, step)| if let Step::Send(_, message) = step { Some(message) } else { None })
        .collect())
}

/// Carries a change out.
pub fn send(namespace: &mut Namespace, change: &Change<Table>) -> Result<()> {
    let mut messages = encode(change)?;
    let refused = namespace.exchange(Protocol::Netfilter, &mut messages)?;
    ensure!(refused.is_empty(), "the kernel refuses the change of a table: {refused:?}");
    Ok(())
}
