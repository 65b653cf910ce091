//! What was read of one kind in one namespace.

use std::ops::Deref;

use guestnet_core::{Kind, Namespace, Object, Observed, Result, Ripple, Set, Sysctl};

/// How much of a host is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All that is ours, and of others' what holds a wanted key.
    All,
    /// Only what holds a wanted key: what that costs does not grow with what else is there.
    Keys,
}

/// What was read of one kind, unless it is known to be as wanted.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T: Object> {
    observed: Observed<T>,
    settled: bool,
}

impl<T: Object> Default for Seen<T> {
    /// Nothing is there.
    fn default() -> Self {
        Self { observed: Observed::default(), settled: false }
    }
}

impl<T: Object> Deref for Seen<T> {
    type Target = Observed<T>;

    fn deref(&self) -> &Observed<T> {
        &self.observed
    }
}

impl<T: Object> Seen<T> {
    /// What need not be read, since it is as wanted.
    pub(crate) fn settled() -> Self {
        Self { observed: Observed::default(), settled: true }
    }

    /// Whether it is known to be as wanted.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(crate) fn into_ours(self) -> Set<T> {
        self.observed.ours
    }

    /// What is ours, to be completed.
    pub(crate) fn ours_mut(&mut self) -> &mut Set<T> {
        &mut self.observed.ours
    }
}

impl<T: Kind> Seen<T> {
    /// Reads it.
    pub(crate) fn read(namespace: &mut Namespace, wanted: &Set<T>, scope: Scope) -> Result<Self> {
        let observed = match scope {
            Scope::All => T::observe(namespace, wanted)?,
            Scope::Keys => T::observe_keys(namespace, wanted)?,
        };
        Ok(Self { observed, settled: false })
    }

    /// Whether `ripple` reaches objects of this kind.
    pub(crate) fn is_in(ripple: Ripple) -> bool {
        match ripple {
            Ripple::None => false,
            Ripple::Settings => T::KIND == Sysctl::KIND,
            Ripple::Anything => !T::AS_SENT,
        }
    }
}
