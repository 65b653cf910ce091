//! Links that cannot be changed in place, and those who would lose them.
//!
//! A link that somebody has open or has configured is not deleted to be made again unless the caller allows it by name:
//! the new one is another link, and whoever used the old one has to be told. So it is where a guest moves to another
//! namespace. A guest that leaves, or an interface that the spec has under another name, takes its link along.

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::{Error, Link, LinkName, Netns, Pass, Result, link};

use crate::host::Host;
use crate::namespaces::Namespaces;
use crate::objects::ObjectChange;
use crate::plan::{Plan, What};

impl Host {
    /// Allows the next [`Self::apply`] or [`Self::add`] to delete these links and to make them again, although somebody
    /// uses them: a virtual machine monitor that has a tap open has to open it again, and addresses of others on them are
    /// lost. [`Plan::in_use`](crate::Plan::in_use) says which links need it.
    pub fn may_remake(&mut self, links: impl IntoIterator<Item = LinkName>) {
        self.may_remake = links.into_iter().collect();
    }

    /// Refuses a plan that takes links away from those who use them, unless that was allowed.
    pub(crate) fn refuse_in_use(&mut self, plan: &Plan) -> Result<()> {
        let allowed = std::mem::take(&mut self.may_remake);
        let in_use = in_use(plan, &mut self.namespaces, &allowed)?;
        if in_use.is_empty() { Ok(()) } else { Err(Error::InUse(in_use)) }
    }

    /// Notes in `plan` which links it takes away from those who use them.
    pub(crate) fn note_in_use(&mut self, plan: &mut Plan) -> Result<()> {
        plan.in_use = in_use(plan, &mut self.namespaces, &BTreeSet::new())?;
        Ok(())
    }
}

/// A line for each link that `plan` makes again, is not `allowed`, and is used.
fn in_use(plan: &Plan, namespaces: &mut Namespaces, allowed: &BTreeSet<LinkName>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for again in made_again(plan, namespaces)? {
        let Some(namespace) = namespaces.open.get_mut(&again.from).filter(|_| !allowed.contains(&again.name))
        else {
            continue;
        };
        let users = link::users(namespace, &again.name)?;
        if !users.is_empty() {
            lines.push(again.words(&users));
        }
    }
    Ok(lines)
}

/// A link that is deleted and made again: as another, or in another namespace.
struct Again {
    name: LinkName,
    from: Netns,
    /// The link that is made instead, in words.
    new: String,
    to: Netns,
}

impl Again {
    fn words(&self, users: &[String]) -> String {
        let Self { name, from, new, to } = self;
        let place = |netns: &Netns| match netns {
            Netns::Host => "the host's namespace".to_owned(),
            Netns::Named(name) => format!("namespace {name}"),
        };
        let of = if *from == Netns::Host { String::new() } else { format!(" in {}", place(from)) };
        let there = if from == to { String::new() } else { format!(" in {}", place(to)) };
        format!(
            "link {name}{of} is in use ({}), and has to be deleted and made again{there} as {new}: stop who uses it, or \
             allow it (--remake {name})",
            users.join(", ")
        )
    }
}

/// The links that `plan` deletes and makes again: in their place, or for a guest that moves to another namespace.
fn made_again(plan: &Plan, namespaces: &mut Namespaces) -> Result<Vec<Again>> {
    let links = || {
        plan.changes.iter().filter_map(|change| match &change.what {
            What::Object(ObjectChange::Link(link)) => Some((change, link)),
            _ => None,
        })
    };
    let mut made: BTreeMap<&LinkName, Vec<(&Netns, &Link)>> = BTreeMap::new();
    for (change, link) in links().filter(|(change, _)| change.pass == Pass::Make && !change.is_deletion()) {
        made.entry(&link.object().name).or_default().push((&change.netns, link.object()));
    }
    let mut all = Vec::new();
    let mut add = |name: &LinkName, from: &Netns, new: Option<&(&Netns, &Link)>| {
        let (to, new) = new.map_or_else(|| (from, "another".to_owned()), |(to, new)| (*to, new.to_string()));
        all.push(Again { name: name.clone(), from: from.clone(), new, to: to.clone() });
    };
    for (change, gone) in links().filter(|(change, _)| change.is_deletion()) {
        let gone = gone.object();
        let of_name = made.get(&gone.name).map(Vec::as_slice).unwrap_or_default();
        let here = of_name.iter().find(|(to, _)| **to == change.netns);
        // The MAC address follows from the guest: that of another guest's link of the same name is another.
        let moved = of_name.iter().find(|(_, new)| new.mac.is_some() && new.mac == gone.mac);
        if change.pass == Pass::MakeRoom || here.or(moved).is_some() {
            add(&gone.name, &change.netns, here.or(moved));
        }
    }
    // With a namespace goes all that is in it.
    let namespaces_gone = plan.changes.iter().filter(|change| change.is_deletion());
    for change in namespaces_gone.filter(|change| matches!(change.what, What::Namespace(_))) {
        let Some(namespace) = namespaces.open.get_mut(&change.netns) else { continue };
        let indexes = namespace.link_indexes();
        for (name, of_name) in made.iter().filter(|(name, _)| indexes.contains_key(**name)) {
            let mac = link::mac_of(namespace, name)?;
            let moved = of_name.iter().find(|(_, new)| mac.is_some() && new.mac == mac);
            if moved.is_some() {
                add(name, &change.netns, moved);
            }
        }
    }
    Ok(all)
}
