//! The pure middle at 1,000 guests, for callgrind: each part in a function of its own, in which alone is counted.

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Context as _, Result, bail};
use guestnet::core::{Change, Context, Kind, Netns, Object, Observed, Outbox, Set};
use guestnet::{HostSpec, NamespaceObjects, Objects, Plan};

use crate::guests::{Place, json, spec};

/// For how many guests the figures are.
pub const GUESTS: usize = 1000;

/// Does one part of the middle once.
pub fn count(figure: &str, spec: HostSpec) -> Result<()> {
    match figure {
        "parse" => {
            let text = json(GUESTS, Place::Host).to_string();
            black_box(counted_parse(&text)?);
        }
        "check" => {
            black_box(counted_check(&spec));
        }
        "lower" => {
            black_box(counted_lower(&spec)?);
        }
        "diff" => {
            let objects = spec.objects()?;
            let found = all_but_one(&objects)?;
            black_box(counted_diff(&objects.host, found.host));
        }
        "plan" => {
            black_box(counted_plan(&spec.objects()?));
        }
        "encode" => {
            let objects = spec.objects()?;
            black_box(counted_encode(&objects.host, &context(&objects))?);
        }
        _ => bail!("what is {figure:?}?"),
    }
    Ok(())
}

/// A text to a spec that can be applied: the check is in it, and the lowering.
#[inline(never)]
fn counted_parse(text: &str) -> Result<HostSpec> {
    Ok(HostSpec::from_json(text)?)
}

/// What is wrong with each part of the spec, before anything is lowered.
#[inline(never)]
fn counted_check(spec: &HostSpec) -> bool {
    spec.checked().is_empty()
}

/// Guests to objects; the check is in it.
#[inline(never)]
fn counted_lower(spec: &HostSpec) -> Result<Objects> {
    Ok(spec.objects()?)
}

/// What differs, where one guest of them all is not there yet.
#[inline(never)]
fn counted_diff(wanted: &NamespaceObjects, found: NamespaceObjects) -> usize {
    fn of<T: Object>(wanted: &Set<T>, found: Set<T>) -> usize {
        guestnet::core::diff::diff(wanted, &Observed { ours: found, foreign: BTreeMap::new() }).0.len()
    }
    of(&wanted.links, found.links)
        + of(&wanted.tables, found.tables)
        + of(&wanted.sysctls, found.sysctls)
        + of(&wanted.addresses, found.addresses)
        + of(&wanted.routes, found.routes)
}

/// The plan of a host that has nothing.
#[inline(never)]
fn counted_plan(wanted: &Objects) -> Plan {
    Plan::from_nothing(wanted)
}

/// All objects in the kernel's words.
#[inline(never)]
fn counted_encode(objects: &NamespaceObjects, context: &Context) -> Result<Outbox> {
    fn of<T: Kind>(set: &Set<T>, context: &Context, outbox: &mut Outbox) -> Result<()> {
        for object in set {
            let change = Change::Create(object.clone());
            T::PHASES.iter().try_for_each(|phase| T::encode(&change, *phase, context, outbox))?;
        }
        Ok(())
    }
    let mut outbox = Outbox::new();
    of(&objects.links, context, &mut outbox)?;
    of(&objects.tables, context, &mut outbox)?;
    of(&objects.sysctls, context, &mut outbox)?;
    of(&objects.addresses, context, &mut outbox)?;
    of(&objects.routes, context, &mut outbox)?;
    Ok(outbox)
}

fn all_but_one(objects: &Objects) -> Result<Objects> {
    let fewer = spec(GUESTS - 1, Place::Host)?.objects()?;
    (fewer.len() < objects.len()).then_some(fewer).context("a guest is more than nothing")
}

/// A host in which the links have got their indexes.
fn context(objects: &Objects) -> Context {
    let links = objects.host.links.iter().zip(1_u32..).map(|(link, index)| (link.name.clone(), index));
    let links: BTreeMap<_, _> = links.collect();
    Context { netns: Netns::Host, links: links.into(), ..Context::default() }
}
