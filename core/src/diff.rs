//! The one mechanism: the difference between what is wanted and what is there.

use crate::set::{Object, Observed, Set};

/// One step from what is there to what is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<T> {
    /// It is wanted and not there.
    Create(T),
    /// It is there, but not as wanted.
    Replace {
        /// As it is.
        old: T,
        /// As it shall be.
        new: T,
    },
    /// It is ours, and no longer wanted.
    Delete(T),
}

impl<T> Change<T> {
    /// `+`, `~` or `-`.
    pub fn sign(&self) -> char {
        match self {
            Self::Create(_) => '+',
            Self::Replace { .. } => '~',
            Self::Delete(_) => '-',
        }
    }
}

impl<T> Change<T> {
    /// The object as it shall be, or was.
    pub fn object(&self) -> &T {
        match self {
            Self::Create(o) | Self::Delete(o) | Self::Replace { new: o, .. } => o,
        }
    }
}

impl<T: Object> Change<T> {
    /// What identifies the object.
    pub fn key(&self) -> T::Key {
        self.object().key()
    }

    /// The change in words, without the sign.
    pub fn text(&self) -> String {
        match self {
            Self::Create(o) | Self::Delete(o) => format!("{} {o}", T::KIND),
            Self::Replace { old, new } => format!("{} {}", T::KIND, new.changed_from(old)),
        }
    }

    /// What the change asks of the kernel, for errors: `add route …`.
    pub fn request(&self) -> String {
        let (verb, object) = match self {
            Self::Create(o) => ("add", o),
            Self::Replace { new, .. } => ("change", new),
            Self::Delete(o) => ("delete", o),
        };
        format!("{verb} {} {object}", T::KIND)
    }
}

/// A wanted object whose place is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The kind and what we want.
    pub wanted: String,
    /// What stands there.
    pub found: String,
}

/// `desired - observed`: the changes that make the one out of the other, and what stands in their way.
///
/// Changes come in the order of their keys, so equal inputs give equal plans.
pub fn diff<T: Object>(desired: &Set<T>, observed: &Observed<T>) -> (Vec<Change<T>>, Vec<Conflict>) {
    let mut changes = Vec::new();
    let mut conflicts = Vec::new();
    for (key, want) in desired.entries() {
        match (observed.ours.get(key), observed.foreign.get(key)) {
            (Some(found), _) if want.accepts(found) => {}
            (Some(found), _) => changes.push(Change::Replace { old: found.clone(), new: want.clone() }),
            (None, Some(foreign)) if foreign.satisfies => {}
            (None, Some(foreign)) => conflicts
                .push(Conflict { wanted: format!("{} {want}", T::KIND), found: foreign.what.clone() }),
            (None, None) => changes.push(Change::Create(want.clone())),
        }
    }
    let gone = observed.ours.entries().filter(|(key, _)| !desired.contains(key));
    changes.extend(gone.map(|(_, object)| Change::Delete(object.clone())));
    (changes, conflicts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing(u8, u8);

    impl fmt::Display for Thing {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}={}", self.0, self.1)
        }
    }

    impl Object for Thing {
        type Key = u8;
        const KIND: &'static str = "thing";
        fn key(&self) -> u8 {
            self.0
        }
    }

    fn things() -> impl Strategy<Value = Set<Thing>> {
        proptest::collection::vec((0_u8..12, 0_u8..3), 0..12)
            .prop_map(|v| v.into_iter().map(|(k, v)| Thing(k, v)).collect())
    }

    /// What the kernel does with changes that it accepts.
    fn carried_out(mut set: Set<Thing>, changes: Vec<Change<Thing>>) -> Set<Thing> {
        for change in changes {
            match change {
                Change::Create(o) => assert!(set.insert(o).is_none(), "created over an object"),
                Change::Replace { old, new } => assert_eq!(set.insert(new), Some(old)),
                Change::Delete(o) => assert_eq!(set.remove(&o.key()), Some(o)),
            }
        }
        set
    }

    proptest! {
        #[test]
        fn a_plan_carried_out_leaves_nothing_to_plan(desired in things(), ours in things()) {
            let observed = Observed { ours: ours.clone(), foreign: BTreeMap::new() };
            let (changes, conflicts) = diff(&desired, &observed);
            prop_assert!(conflicts.is_empty());
            let now = carried_out(ours, changes);
            prop_assert_eq!(&now, &desired);
            let observed = Observed { ours: now, foreign: BTreeMap::new() };
            prop_assert!(diff(&desired, &observed).0.is_empty());
        }

        #[test]
        fn undo_is_the_difference_the_other_way(desired in things(), before in things()) {
            let observed = Observed { ours: before.clone(), foreign: BTreeMap::new() };
            let now = carried_out(before.clone(), diff(&desired, &observed).0);
            let undo = diff(&before, &Observed { ours: now.clone(), foreign: BTreeMap::new() }).0;
            prop_assert_eq!(carried_out(now, undo), before);
        }

        #[test]
        fn a_foreign_object_is_never_changed(desired in things(), others in things()) {
            let mut observed = Observed::default();
            for other in &others {
                observed.note_foreign(other, &desired);
            }
            let (changes, conflicts) = diff(&desired, &observed);
            for change in &changes {
                prop_assert!(!others.contains(&change.key()));
            }
            let unequal = others.iter().filter(|o| desired.get(&o.key()).is_some_and(|d| d != *o)).count();
            prop_assert_eq!(conflicts.len(), unequal);
        }
    }

    #[test]
    fn lines_read_as_an_operator_reads_them() {
        let change = Change::Replace { old: Thing(1, 2), new: Thing(1, 3) };
        assert_eq!(format!("{} {}", change.sign(), change.text()), "~ thing 1=3  (was: 1=2)");
        assert_eq!(Change::Delete(Thing(1, 2)).request(), "delete thing 1=2");
    }
}
