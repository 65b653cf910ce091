//! What the kernel deletes by itself, with the links that go.

use std::borrow::Cow;
use std::collections::BTreeSet;

use guestnet_core::{Kind, Link, LinkName, Observed, Set};

use crate::seen::Seen;

/// The links that will be deleted, if only to be made again: what lives on them goes with them.
pub fn doomed(wanted: &Set<Link>, found: &Seen<Link>) -> BTreeSet<LinkName> {
    if found.is_settled() {
        return BTreeSet::new();
    }
    let goes = |link: &&Link| wanted.get(&link.name).is_none_or(|new| !Link::can_become(link, new));
    found.ours.iter().filter(goes).map(|link| link.name.clone()).collect()
}

/// `found` as it will be when the doomed links are gone.
pub fn without<'a, T: Kind>(found: &'a Observed<T>, doomed: &BTreeSet<LinkName>) -> Cow<'a, Observed<T>> {
    if doomed.is_empty() {
        return Cow::Borrowed(found);
    }
    let mut found = found.clone();
    found.ours.retain(|object| object.lives_on().is_none_or(|link| !doomed.contains(link)));
    Cow::Owned(found)
}
