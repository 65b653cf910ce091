//! Rules left out, one at a time: each has to be missed by a frame. It says of the frames what the frames say of the rules.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use guestnet::core::{Change, Context, Kind, Message, Netns, Outbox, Phase, Protocol, Step};
use guestnet::nft::{Chain, Elements, Rule, Set, Table};
use guestnet_lab::Part;

use crate::corpus;
use crate::net::Placement;
use crate::run::with_the_filter;
use crate::world::World;

/// Where a rule stands that can be left out.
#[derive(Clone, Copy)]
struct Place {
    table: usize,
    chain: usize,
    rule: usize,
}

/// Leaves out each rule of a part of those of `placement`, and says which no frame misses.
pub fn run(placement: Placement, part: Part) -> Result<()> {
    let mut world = World::make(placement)?;
    world.filter()?;
    world.tunnels()?;
    // A first time, in which the links come up.
    let cases = corpus::cases(&world.net);
    with_the_filter(&mut world, &cases)?;
    world.patience = Duration::from_secs(1);
    let tables = world.tables()?;
    let all = rules(&tables).into_iter().enumerate();
    let rules: Vec<Vec<Place>> = all.filter(|(n, _)| part.has(*n)).map(|(_, rule)| rule).collect();
    let mut left = Vec::new();
    for rule in &rules {
        let mut name = String::new();
        let mut mutants = Vec::new();
        for place in rule {
            let (netns, table) = &tables[place.table];
            let mutant;
            (mutant, name) = without(netns, table, place);
            replace(&mut world, netns, table, &mutant)?;
            mutants.push((netns, table, mutant));
        }
        let cases = corpus::cases(&world.net);
        // A lab in which nothing comes out any more misses the rule, too.
        let missed = with_the_filter(&mut world, &cases).map_or(true, |wrong| !wrong.is_empty());
        for (netns, table, mutant) in mutants {
            replace(&mut world, netns, &mutant, table)?;
        }
        if !missed {
            println!("{placement:?}: no frame misses {name}");
            left.push(name);
        }
    }
    println!("{placement:?}: {} rules left out, {} not missed", rules.len(), left.len());
    // Some lead to what this lab has not; not most of them.
    ensure!(left.len() * 2 < rules.len(), "frames miss less than half of the rules");
    Ok(())
}

/// The rules of all tables. Namespaces of guests have the same, but for their lists: what is left out in one is in all.
fn rules(tables: &[(Netns, Table)]) -> Vec<Vec<Place>> {
    let mut rules: Vec<Vec<Place>> = Vec::new();
    let mut known = BTreeMap::new();
    for (at, (netns, table)) in tables.iter().enumerate() {
        for (chain, of_chain) in table.chains.iter().enumerate() {
            // Counting is no filtering.
            if of_chain.name.as_str().starts_with("drop_") {
                continue;
            }
            for (rule, what) in of_chain.rules.iter().enumerate() {
                let place = Place { table: at, chain, rule };
                let same = of_chain.rules[..rule].iter().filter(|other| *other == what).count();
                let of = (*netns == Netns::Host, format!("{} {}", table.family, table.name));
                let key = (of, of_chain.name.to_string(), format!("{what:?}"), same);
                let number = *known.entry(key).or_insert(rules.len());
                match rules.get_mut(number) {
                    Some(places) => places.push(place),
                    None => rules.push(vec![place]),
                }
            }
        }
    }
    rules
}

/// `table` without the rule, and what that is called.
fn without(netns: &Netns, table: &Table, place: &Place) -> (Table, String) {
    let mut chains: Vec<Chain> = table.chains.iter().cloned().collect();
    let rule: Rule = chains[place.chain].rules.remove(place.rule);
    let chain = &chains[place.chain].name;
    // What sets are is known from their types.
    let sets = table.sets.iter().map(|set| Set { elements: Elements::new(), ..set.clone() });
    let alone = sets.fold(Table::new(table.family, table.name.clone()), Table::set);
    let alone = alone.chain(Chain { rules: vec![rule], ..Chain::regular(chain.clone()) }).to_nft();
    let text = alone.lines().rev().nth(2).unwrap_or_default().trim();
    let name = format!("{netns}, {} {} {chain}[{}]: {text}", table.family, table.name, place.rule);
    let mutant = chains.into_iter().fold(table.clone(), Table::chain);
    (mutant, name)
}

fn replace(world: &mut World, netns: &Netns, old: &Table, new: &Table) -> Result<()> {
    let change = Change::Replace { old: old.clone(), new: new.clone() };
    let mut out = Outbox::new();
    for phase in [Phase::Filters, Phase::Devices] {
        Table::encode(&change, phase, &Context::default(), &mut out)?;
    }
    let message = |(_, step)| match step {
        Step::Send(Protocol::Netfilter, message) => Ok(message),
        other => Err(anyhow::anyhow!("{other:?}")),
    };
    let mut messages: Vec<Message> = out.into_steps().into_iter().map(message).collect::<Result<_>>()?;
    let namespace = world.namespace(netns)?;
    let refused = namespace.exchange(Protocol::Netfilter, &mut messages).context("mutant")?;
    ensure!(refused.is_empty(), "refused: {refused:?}");
    Ok(())
}
