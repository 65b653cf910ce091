//! A namespace, what is wanted of it, and what `ip` shows of it.

use anyhow::{Result, ensure};
use guestnet_core::diff::{Conflict, diff};
use guestnet_core::owner::Owner;
use guestnet_core::{
    Change, Context, Kind, Message, Namespace, Outbox, Phase, Protocol, Set, Step, Watch, netns,
};
use guestnet_lab::sh;
use guestnet_xfrm::{Key, Policy, State, TunnelSpec};

/// A namespace that guestnet made, in which everything is its own.
pub fn own() -> Result<Namespace> {
    let name = "xfrm".parse()?;
    netns::create(&name, Owner(1), &Watch::default())?;
    // Opened as one that was found: what says that it is ours is read.
    let namespace = Namespace::named(&name)?;
    ensure!(namespace.is_ours());
    Ok(namespace)
}

/// Runs `ip -n xfrm …`.
pub fn ip(arguments: &str) -> Result<String> {
    sh(&format!("ip -n xfrm {arguments}"))
}

pub fn changes<K: Kind>(
    namespace: &mut Namespace,
    wanted: &Set<K>,
) -> Result<(Vec<Change<K>>, Vec<Conflict>)> {
    Ok(diff(wanted, &K::observe(namespace, wanted)?))
}

pub fn messages<K: Kind>(changes: &[Change<K>]) -> guestnet_core::Result<Vec<Message>> {
    let mut out = Outbox::new();
    for change in changes {
        K::encode(change, Phase::Tunnels, &Context::default(), &mut out)?;
    }
    let steps = out.into_steps().into_iter();
    Ok(steps
        .map(|(_, step)| if let Step::Send(Protocol::Xfrm, m) = step { m } else { panic!("{step:?}") })
        .collect())
}

/// Makes the namespace as wanted and looks whether it is; the lines of the plan.
pub fn apply<K: Kind>(namespace: &mut Namespace, wanted: &Set<K>) -> Result<Vec<String>> {
    let (plan, conflicts) = changes(namespace, wanted)?;
    ensure!(conflicts.is_empty(), "{conflicts:?}");
    namespace.request(Protocol::Xfrm, &mut messages(&plan)?, "change IPsec")?;
    let (left, _) = changes(namespace, wanted)?;
    ensure!(left.is_empty(), "applied and still not as wanted: {left:#?}");
    Ok(plan.iter().map(|change| format!("{} {}", change.sign(), change.text())).collect())
}

/// The blocks of what `ip xfrm` shows, each a line that starts at the margin and those behind it; the sequence
/// numbers as if nothing had been sent, and without the type of policies, which kernels with sub-policies add.
pub fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.trim_end().trim_end_matches(" ptype main");
        let counted =
            line.split_once("oseq 0x").and_then(|(head, rest)| Some((head, rest.split_once(',')?.1)));
        let line = counted.map_or(line.to_owned(), |(head, tail)| format!("{head}oseq 0x0,{tail}"));
        match blocks.last_mut() {
            Some(block) if line.starts_with('\t') => *block += &format!("\n{line}"),
            _ => blocks.push(line),
        }
    }
    blocks.sort();
    blocks
}

pub fn seed() -> Result<(Set<State>, Set<Policy>)> {
    lower(&serde_json::from_str(include_str!("../seed/tunnel.json"))?)
}

pub fn lower(tunnel: &TunnelSpec) -> Result<(Set<State>, Set<Policy>)> {
    let (states, policies) = tunnel.lower()?;
    Ok((states.into_iter().collect(), policies.into_iter().collect()))
}

/// The bytes from `first` on, as a key.
pub fn key(first: u8, length: u8) -> Key {
    Key::new((first..first + length).collect()).expect("a key of a right length")
}
