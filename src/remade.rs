//! Links that cannot be changed in place, and those who would lose them.
//!
//! A link that somebody has open or has configured is not deleted to be made again unless the caller allows it by name:
//! the new one is another link, and whoever used the old one has to be told.

use std::collections::BTreeSet;

use guestnet_core::{Error, LinkName, Netns, Pass, Result, link};

use crate::host::Host;
use crate::namespaces::Namespaces;
use crate::objects::ObjectChange;
use crate::plan::{Plan, PlannedChange, What};

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
    for change in plan.changes.iter().filter(|change| change.pass == Pass::MakeRoom) {
        let Some((link, new)) = made_again(change, plan) else { continue };
        let Some(namespace) = namespaces.open.get_mut(&change.netns).filter(|_| !allowed.contains(link))
        else {
            continue;
        };
        let users = link::users(namespace, link)?;
        if !users.is_empty() {
            let place = match &change.netns {
                Netns::Host => String::new(),
                Netns::Named(name) => format!(" in namespace {name}"),
            };
            lines.push(format!(
                "link {link}{place} is in use ({}), and has to be deleted and made again as {new}: stop who uses it, or \
                 allow it (--remake {link})",
                users.join(", ")
            ));
        }
    }
    Ok(lines)
}

/// The link that `change` deletes to make room, and the one that `plan` makes instead.
fn made_again<'p>(change: &'p PlannedChange, plan: &'p Plan) -> Option<(&'p LinkName, String)> {
    let What::Object(ObjectChange::Link(gone)) = &change.what else { return None };
    let name = &gone.object().name;
    let made = plan.changes.iter().find_map(|made| match &made.what {
        What::Object(ObjectChange::Link(link))
            if made.pass == Pass::Make && made.netns == change.netns && link.object().name == *name =>
        {
            Some(link.object().to_string())
        }
        _ => None,
    });
    Some((name, made.unwrap_or_else(|| "another".to_owned())))
}
