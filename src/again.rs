//! States of tunnels that a plan makes: a second time, as far as the host can tell, or perhaps a second time.

use std::collections::BTreeSet;

use guestnet_core::{Change, Netns, Object};

use crate::objects::{NamespaceObjects, ObjectChange, Objects};
use crate::plan::{Plan, What};
use crate::snapshot::Snapshot;
use crate::tunnels::{self, Ends};
use crate::warning::Warning;

/// How many tunnels are named in one warning.
const NAMED: usize = 3;

/// Warnings for states that `plan` makes, of what `wanted` is.
pub(crate) fn warnings(wanted: &Objects, plan: &Plan, found: &Snapshot) -> Vec<Warning> {
    if !plan.changes.iter().any(|change| makes_state(&change.what)) {
        return Vec::new();
    }
    let mut warnings = forgotten(plan, found);
    warnings.extend(begun(wanted, plan, found));
    warnings
}

fn makes_state(what: &What) -> bool {
    matches!(what, What::Object(ObjectChange::State(of_state)) if matches!(**of_state, Change::Create(_)))
}

/// States that were there before: policies that were found still name them. With the same keys the sequence starts again,
/// at one end only.
fn forgotten(plan: &Plan, found: &Snapshot) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for change in &plan.changes {
        let What::Object(ObjectChange::State(of_state)) = &change.what else { continue };
        let Change::Create(state) = &**of_state else { continue };
        let policies = found.in_namespace(&change.netns).policies.ours.iter();
        let named = policies
            .flat_map(|policy| &policy.templates)
            .any(|template| (template.spi, template.dst) == (Some(state.spi), state.dst));
        if named {
            warnings.push(Warning::new(
                "tunnel-made-again",
                format!("{} in {}", state.key(), change.netns),
                "was there before, and is made again under the same key: the other end takes its packets for old ones, \
                 and what was recorded of the tunnel can be replayed",
                NEW_GENERATION,
            ));
        }
    }
    warnings
}

/// Tunnels of which nothing was found, neither states nor policies. Whether this is their first life the host cannot know:
/// one that was rebooted has forgotten everything.
fn begun(wanted: &Objects, plan: &Plan, found: &Snapshot) -> Option<Warning> {
    let created = plan.changes.iter().filter(|change| makes_state(&change.what));
    let created: BTreeSet<&Netns> = created.map(|change| &change.netns).collect();
    let mut begun: Vec<(String, Ends, u32)> = Vec::new();
    let mut count = 0;
    for (netns, objects) in wanted.iter().filter(|(netns, _)| created.contains(netns)) {
        let there = found.in_namespace(&netns);
        let there = NamespaceObjects {
            states: there.states.ours.clone(),
            policies: there.policies.ours.clone(),
            ..NamespaceObjects::default()
        };
        let there = tunnels::by_ends(&there);
        for (ends, parts) in tunnels::by_ends(objects) {
            if there.contains_key(&ends) {
                continue;
            }
            count += 1;
            if begun.len() < NAMED {
                let generation = parts.generation();
                begun.push((netns.to_string(), ends, generation));
            }
        }
    }
    let named = begun.iter().map(|(place, (local, remote, _), generation)| {
        format!("{local} - {remote} in {place} (generation {generation})")
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = if count > begun.len() { format!(" and {} more", count - begun.len()) } else { String::new() };
    let (thing, it) = if count == 1 { ("1 tunnel begins", "it was") } else { ("tunnels begin", "one was") };
    let thing = if count == 1 { thing.to_owned() } else { format!("{count} {thing}") };
    (count > 0).then(|| {
        Warning::new(
            "tunnel-begins",
            format!("{thing} here with nothing left of an earlier life: {named}{more}"),
            format!(
                "if {it} in use before, as on a host that has rebooted, the other end takes its packets for old ones and \
                 drops them"
            ),
            NEW_GENERATION,
        )
    })
}

/// What mends a tunnel whose keys were used before.
pub(crate) const NEW_GENERATION: &str =
    "take the tunnel to a new generation (docs/rekey.md, \"The same keys again\")";
