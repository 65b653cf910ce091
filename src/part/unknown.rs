//! Parts of a host of which it is not known what it was applied with: by its objects alone.

use guestnet_core::{Error as CoreError, Kind, Object, Set};
use guestnet_nft::{Family, Table};

use crate::host::{Goal, Host};
use crate::lower::{Lowered, keep_shared_bridges};
use crate::objects::Objects;
use crate::plan::Plan;
use crate::report::{Error, Report};
use crate::snapshot::{Request, Scope, Snapshot};
use crate::spec::HostSpec;

impl Host {
    /// Makes what `spec` describes and leaves all else of ours as it is. What guests share becomes as this spec says, and
    /// keeps what is the others'. Reads only what the spec names.
    pub(super) fn add_to_unknown(&mut self, spec: &HostSpec) -> Result<Report, Error> {
        let mut added = spec.lower()?;
        let (wanted, scope, found) = self.together(&added.objects)?;
        let named = std::mem::replace(&mut added.objects, wanted);
        self.converge(&Goal { named: &named, scope, ..Goal::all(&added).by(spec) }, found)
    }

    pub(super) fn plan_add_to_unknown(&mut self, spec: &HostSpec) -> Result<Plan, Error> {
        let mut added = spec.lower()?;
        let (wanted, _, found) = self.together(&added.objects)?;
        added.objects = wanted;
        let mut plan = Plan::between(added.settled(&found)?.as_ref(), &found);
        self.note(&mut plan, spec, &added.objects, &found)?;
        Ok(plan)
    }

    /// What shall be when `added` is, of what guests share both, and what there is. Where something has to be made anew
    /// that others may depend on, that is everything.
    fn together(&mut self, added: &Objects) -> Result<(Objects, Scope, Snapshot), CoreError> {
        let mut named = added.clone();
        let filter = filter()?;
        if !added.host.tables.contains(&filter.key()) {
            named.host.tables.insert(filter);
        }
        let found = self.read(Request { named: &named, desired: added, scope: Scope::Keys })?;
        refuse_filtered(&found)?;
        let mut wanted = added.clone();
        found.join(&mut wanted)?;
        if !found.needs_the_whole(&wanted) {
            return Ok((wanted, Scope::Keys, found));
        }
        let found = self.read(Request::all(added))?;
        let mut wanted = added.clone();
        found.join(&mut wanted)?;
        let mut all = found.ours();
        all.merge(&wanted);
        Ok((all, Scope::All, found))
    }

    /// Removes what `spec` describes and leaves the rest of ours. What guests share goes with the last of them.
    pub(super) fn remove_from_unknown(&mut self, spec: &HostSpec) -> Result<Report, Error> {
        let gone = spec.lower()?;
        let nothing = Objects::default();
        let found = self.read(Request::all(&nothing))?;
        refuse_filtered(&found)?;
        let mut gone = gone.settled(&found)?.into_owned();
        let mut rest = found.into_ours();
        // Those of links that stay, others may need as well.
        let links = std::mem::take(&mut gone.host.links);
        gone.host.sysctls.retain(|sysctl| sysctl.lives_on().is_none_or(|link| links.contains(link)));
        gone.host.links = links;
        keep_shared_bridges(&mut gone.host, &rest.host);
        rest.host.subtract(&gone.host);
        rest.namespaces.retain(|name, _| !gone.namespaces.contains_key(name));
        rest.files.subtract(&gone.files);
        if rest.namespaces.is_empty() && rest.host.len() == rest.host.sysctls.len() {
            rest.host.sysctls = Set::new();
        }
        let rest = Lowered::from(rest);
        let goal = Goal::all(&rest).without(spec);
        let found = self.read(goal.request())?;
        self.converge(&goal, found)
    }
}

/// A filter says by what lists guests are kept apart, but not whose an address in a list is, nor what the host asked for.
fn refuse_filtered(found: &Snapshot) -> Result<(), CoreError> {
    let tables = &found.in_namespace(&guestnet_core::Netns::Host).tables.ours;
    if !tables.contains(&filter()?.key()) {
        return Ok(());
    }
    let words = "the host has a firewall, and what it was applied with is not known any more: apply the spec of the whole \
                 host once; nothing was changed";
    Err(CoreError::Unsupported(words.into()))
}

/// The table that every host with a firewall has.
fn filter() -> Result<Table, CoreError> {
    let name = guestnet_firewall::TABLE.parse().map_err(|e: String| CoreError::malformed("table", e))?;
    Ok(Table::new(Family::Inet, name))
}
