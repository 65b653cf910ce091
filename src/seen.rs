//! What was read of one kind in one namespace, and what is remembered of it.

use std::ops::Deref;
use std::sync::Arc;

use guestnet_core::netns::Lessons;
use guestnet_core::{Kind, Namespace, Object, Observed, Result, Ripple, Set, Sysctl, Transcript};

/// How much of a host is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All that is ours, and of others' what holds a wanted key.
    All,
    /// Only what holds a wanted key: what that costs does not grow with what else is there.
    Keys,
}

/// What was read of one kind, and whether it is known to be as wanted.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T: Object> {
    observed: Arc<Observed<T>>,
    settled: bool,
}

impl<T: Object> Default for Seen<T> {
    /// Nothing is there.
    fn default() -> Self {
        Self { observed: Arc::default(), settled: false }
    }
}

impl<T: Object> Deref for Seen<T> {
    type Target = Observed<T>;

    fn deref(&self) -> &Observed<T> {
        &self.observed
    }
}

impl<T: Object> Seen<T> {
    /// What was read.
    pub(crate) fn of(observed: Observed<T>) -> Self {
        Self { observed: Arc::new(observed), settled: false }
    }

    /// What need not be read, since it is as wanted.
    pub(crate) fn settled() -> Self {
        Self { settled: true, ..Self::default() }
    }

    /// Whether it is known to be as wanted.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Notes whether it is as wanted.
    pub(crate) fn settle(&mut self, settled: bool) {
        self.settled = settled;
    }

    pub(crate) fn into_ours(self) -> Set<T> {
        Arc::unwrap_or_clone(self.observed).ours
    }

    /// What is ours, to be completed.
    pub(crate) fn ours_mut(&mut self) -> &mut Set<T> {
        &mut Arc::make_mut(&mut self.observed).ours
    }
}

impl<T: Kind> Seen<T> {
    /// Reads it.
    pub(crate) fn read(namespace: &mut Namespace, wanted: &Set<T>, scope: Scope) -> Result<Self> {
        let observed = match scope {
            Scope::All => T::observe(namespace, wanted)?,
            Scope::Keys => T::observe_keys(namespace, wanted)?,
        };
        Ok(Self::of(observed))
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

/// What was read of one kind in one namespace the last time that all of it was, and what said so.
#[derive(Debug)]
pub(crate) struct Remembered<T: Object> {
    seen: Seen<T>,
    transcript: Transcript,
}

impl<T: Kind> Remembered<T> {
    /// Reads what there is, of `last` no more than it takes to see that it has not changed.
    pub(crate) fn read(namespace: &mut Namespace, wanted: &Set<T>, last: Option<Self>) -> Result<Self> {
        if let Some(last) = last
            && last.is_still_so(namespace)?
        {
            return Ok(last);
        }
        let (seen, transcript) = namespace.attend(|namespace| Seen::read(namespace, wanted, Scope::All))?;
        Ok(Self { seen, transcript })
    }

    fn is_still_so(&self, namespace: &mut Namespace) -> Result<bool> {
        match self.transcript.generation {
            Some(generation) => Ok(T::generation(namespace)? == Some(generation)),
            None => namespace.repeats(&self.transcript),
        }
    }

    pub(crate) fn seen(&self) -> Seen<T> {
        self.seen.clone()
    }

    /// Notes whether what was read is as it is wanted.
    pub(crate) fn settle(&mut self, settled: bool) {
        self.seen.settle(settled);
    }
}

/// A namespace, and what was known of its links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    cookie: u64,
    lessons: Lessons,
}

impl Place {
    pub(crate) fn of(namespace: &Namespace) -> Self {
        Self { cookie: namespace.cookie(), lessons: namespace.lessons() }
    }

    /// Whether objects of kind `T` would be read now as they were read here.
    pub(crate) fn holds_for<T: Kind>(self, namespace: &Namespace) -> bool {
        let now = namespace.lessons();
        let settings = T::KIND == Sysctl::KIND;
        self.cookie == namespace.cookie()
            && self.lessons.names == now.names
            && (!settings || self.lessons.settings == now.settings)
    }
}
