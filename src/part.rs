//! A part of a host: added to what is there, or taken away from it.

use guestnet_core::{Error as CoreError, Kind, Set, netns};

use crate::host::{Goal, Host};
use crate::lower::{Lowered, keep_shared_bridges};
use crate::objects::Objects;
use crate::observe::Observation;
use crate::plan::Plan;
use crate::report::{Error, Report};
use crate::seen::Scope;
use crate::spec::HostSpec;

impl Host {
    /// Makes what `spec` describes and leaves all else of ours as it is: one more guest, or one that has changed. What
    /// guests share (translation, forwarding) becomes as this spec says, and keeps what is the others'.
    ///
    /// Reads only what the spec names, so it costs the same however many guests there are. What a guest had and this
    /// spec of it does not say any more stays: [`Self::remove`] the old one first, or [`Self::apply`] the whole.
    ///
    /// # Errors
    /// As [`Self::apply`]; and [`CoreError::Unsupported`], with nothing changed, where a table on the host holds what
    /// this spec alone has no place for.
    pub fn add(&mut self, spec: &HostSpec) -> Result<Report, Error> {
        let mut added = spec.lower()?;
        self.alone(|host| {
            let (wanted, scope, found) = host.together(&added.objects)?;
            let named = std::mem::replace(&mut added.objects, wanted);
            host.converge(&Goal { spec: Some(spec), wanted: &added, named: &named, scope }, Some(found))
        })
    }

    /// The changes that [`Self::add`] would make. Changes nothing.
    ///
    /// # Errors
    /// As [`Self::plan`] and [`Self::add`].
    pub fn plan_add(&mut self, spec: &HostSpec) -> Result<Plan, Error> {
        let mut added = spec.lower()?;
        let (wanted, _, found) = netns::roaming(|| self.together(&added.objects))?;
        added.objects = wanted;
        Ok(Plan::between(added.settled(&found)?.as_ref(), &found))
    }

    /// What shall be when `added` is, of what guests share both, and what there is. Where something has to be made anew
    /// that others may depend on, that is everything.
    fn together(&mut self, added: &Objects) -> Result<(Objects, Scope, Observation), CoreError> {
        let found = self.read(added, added, Scope::Keys)?;
        let mut wanted = added.clone();
        found.join(&mut wanted)?;
        if !found.needs_the_whole(&wanted) {
            return Ok((wanted, Scope::Keys, found));
        }
        let found = self.read(added, added, Scope::All)?;
        let mut wanted = added.clone();
        found.join(&mut wanted)?;
        let mut all = found.ours();
        all.host.merge(wanted.host);
        for (name, objects) in wanted.namespaces {
            all.namespaces.entry(name).or_default().merge(objects);
        }
        all.files.extend(wanted.files);
        Ok((all, Scope::All, found))
    }

    /// Removes what `spec` describes and leaves the rest of ours. What guests share, like forwarding and the tables of
    /// translation, goes with the last of them.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn remove(&mut self, spec: &HostSpec) -> Result<Report, Error> {
        let gone = spec.lower()?;
        self.alone(|host| {
            let nothing = Objects::default();
            let found = host.read(&nothing, &nothing, Scope::All)?;
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
            host.converge(&Goal::all(None, &Lowered::from(rest)), None)
        })
    }
}
