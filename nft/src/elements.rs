//! The elements of one set, of which there can be hundreds of thousands.

use std::sync::Arc;

use guestnet_core::diff::Change;

use crate::{Element, Key};

/// The elements of a set, each key once, in the order of their keys. It is made at once, from any number of elements in
/// any order: one behind the other in memory they cost a fraction of what a tree costs. A copy shares them until one of the
/// two is changed.
#[derive(Clone, Default)]
pub struct Elements(Arc<Vec<Element>>);

impl Elements {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The element with `key`.
    pub fn get(&self, key: &Key) -> Option<&Element> {
        let place = self.0.binary_search_by(|element| element.key.cmp(key)).ok()?;
        self.0.get(place)
    }

    /// Whether there is an element with `key`.
    pub fn contains(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    /// The elements, in the order of their keys.
    pub fn iter(&self) -> std::slice::Iter<'_, Element> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the elements for which `keep` says so.
    pub fn retain(&mut self, keep: impl Fn(&Element) -> bool) {
        if !self.iter().all(&keep) {
            Arc::make_mut(&mut self.0).retain(keep);
        }
    }

    /// Takes away those whose keys `gone` has.
    pub fn subtract(&mut self, gone: &Self) {
        let mut gone = gone.iter().peekable();
        Arc::make_mut(&mut self.0).retain(|element| {
            while gone.next_if(|other| other.key < element.key).is_some() {}
            gone.peek().is_none_or(|other| other.key != element.key)
        });
    }

    /// What makes `old` into this: the same as [`guestnet_core::diff::diff`], in one walk along both and without a copy.
    pub fn changes<'a>(&'a self, old: &'a Self) -> impl Iterator<Item = Change<&'a Element>> {
        // Where the two share their elements nothing has to be looked at.
        let none = usize::from(Arc::ptr_eq(&self.0, &old.0)) * self.len();
        let (mut wanted, mut found) = (self.iter().skip(none).peekable(), old.iter().skip(none).peekable());
        std::iter::from_fn(move || {
            loop {
                let (new, old) = match (wanted.peek(), found.peek()) {
                    (None, None) => return None,
                    (Some(new), Some(old)) if new.key == old.key => (wanted.next(), found.next()),
                    (Some(new), Some(old)) if old.key < new.key => (None, found.next()),
                    (Some(_), _) => (wanted.next(), None),
                    (None, Some(_)) => (None, found.next()),
                };
                match (new, old) {
                    (Some(new), Some(old)) if new == old => {}
                    (Some(new), Some(old)) => return Some(Change::Replace { old, new }),
                    (Some(new), None) => return Some(Change::Create(new)),
                    (None, old) => return old.map(Change::Delete),
                }
            }
        })
    }
}

impl From<Vec<Element>> for Elements {
    /// Of several with one key the last.
    fn from(mut elements: Vec<Element>) -> Self {
        if !elements.is_sorted_by(|a, b| a.key < b.key) {
            // Stable, so that the last of several stays last.
            elements.sort_by(|a, b| a.key.cmp(&b.key));
            elements.dedup_by(|later, kept| {
                let same = later.key == kept.key;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Self(Arc::new(elements))
    }
}

impl FromIterator<Element> for Elements {
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> Self {
        elements.into_iter().collect::<Vec<_>>().into()
    }
}

impl Extend<Element> for Elements {
    fn extend<I: IntoIterator<Item = Element>>(&mut self, elements: I) {
        let mut all = Arc::unwrap_or_clone(std::mem::take(&mut self.0));
        if all.is_empty() {
            // A list that is there already is taken as it is.
            all = elements.into_iter().collect();
        } else {
            all.extend(elements);
        }
        *self = all.into();
    }
}

impl IntoIterator for Elements {
    type Item = Element;
    type IntoIter = std::vec::IntoIter<Element>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}

impl<'a> IntoIterator for &'a Elements {
    type Item = &'a Element;
    type IntoIter = std::slice::Iter<'a, Element>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl std::fmt::Debug for Elements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use guestnet_core::Observed;
    use guestnet_core::diff::diff;
    use proptest::prelude::*;

    use super::*;

    /// Few keys, so that many meet; some of them intervals that start where others do.
    fn elements() -> impl Strategy<Value = Vec<Element>> {
        let element =
            |(first, more, data): (u8, u8, u8)| Element::mapping(Key::range(first, first + more), data);
        proptest::collection::vec((0_u8..9, 0_u8..3, 0_u8..3).prop_map(element), 0..24)
    }

    fn keyed(elements: &[Element]) -> guestnet_core::Set<Element> {
        elements.iter().cloned().collect()
    }

    fn owned(change: Change<&Element>) -> Change<Element> {
        match change {
            Change::Create(new) => Change::Create(new.clone()),
            Change::Delete(old) => Change::Delete(old.clone()),
            Change::Replace { old, new } => Change::Replace { old: old.clone(), new: new.clone() },
        }
    }

    proptest! {
        #[test]
        fn they_are_a_keyed_set(list in elements(), more in elements()) {
            let mut some = Elements::from(list.clone());
            let mut same = keyed(&list);
            prop_assert!(some.iter().eq(same.iter()));
            for element in &more {
                prop_assert_eq!(some.get(&element.key), same.get(&element.key));
            }
            let gone = Elements::from(more.clone());
            let mut less = some.clone();
            less.subtract(&gone);
            prop_assert!(less.iter().eq(same.iter().filter(|element| !gone.contains(&element.key))));
            some.extend(more.clone());
            same.extend(more);
            prop_assert!(some.iter().eq(same.iter()));
        }

        #[test]
        fn their_difference_is_the_one_difference(wanted in elements(), found in elements()) {
            let by_key = |change: &Change<Element>| change.key();
            let observed = Observed { ours: keyed(&found), ..Observed::default() };
            let mut known = diff(&keyed(&wanted), &observed).0;
            known.sort_by_key(by_key);
            let (wanted, found) = (Elements::from(wanted), Elements::from(found));
            let changes: Vec<_> = wanted.changes(&found).map(owned).collect();
            prop_assert_eq!(changes, known);
        }
    }
}
