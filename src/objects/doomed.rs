//! What the kernel deletes by itself, with the links that go.

use std::borrow::Cow;
use std::collections::BTreeSet;

use guestnet_core::{Change, Kind, Link, LinkName, Observed, Set};

/// Links that will be deleted: objects that live on them go with them.
#[derive(Default)]
pub struct Doomed<'a> {
    /// Those that are made again, before which they go.
    remade: BTreeSet<&'a LinkName>,
    /// Those that are no longer wanted, which go when all else is made.
    leaving: BTreeSet<&'a LinkName>,
}

impl<'a> Doomed<'a> {
    pub fn of(wanted: &Set<Link>, found: Option<&'a Observed<Link>>) -> Self {
        let mut doomed = Self::default();
        for link in found.into_iter().flat_map(|found| &found.ours) {
            match wanted.get(&link.name) {
                None => drop(doomed.leaving.insert(&link.name)),
                Some(new) if !Link::can_become(link, new) => drop(doomed.remade.insert(&link.name)),
                Some(_) => {}
            }
        }
        doomed
    }

    /// `found` as it will be when things are made.
    pub fn without<'f, T: Kind>(&self, found: &'f Observed<T>) -> Cow<'f, Observed<T>> {
        if self.remade.is_empty() {
            return Cow::Borrowed(found);
        }
        let mut found = found.clone();
        found.ours.retain(|object| object.lives_on().is_none_or(|link| !self.remade.contains(link)));
        Cow::Owned(found)
    }

    /// Whether `change` will have happened by itself.
    pub fn spares<T: Kind>(&self, change: &Change<T>) -> bool {
        let lives_on = |object: &T| object.lives_on().is_some_and(|link| self.leaving.contains(link));
        T::GOES_WITH_ITS_LINK && matches!(change, Change::Delete(gone) if lives_on(gone))
    }
}
