//! What was read of a host the last time, so that it need not be understood again where it has not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use guestnet_core::owner::Owner;
use guestnet_core::{File, Netns, Object, Observed, Result, Transcript, file};

use crate::lower::Lowered;
use crate::objects::Objects;
pub(crate) use crate::objects::Recorded;
use crate::plan::Plan;
use crate::spec::{CheckedSpec, HostSpec};

/// What was wanted of a host the last time, and what was found when all of it was read.
///
/// Nothing is taken for granted: each time the kernel and the files are asked. What is kept are the answers, and what
/// they mean; another answer is read anew.
#[derive(Default)]
pub(crate) struct Cache {
    spec: Option<CheckedSpec>,
    /// For which objects it was read: they decide what of others is noted.
    read_for: Option<Arc<Lowered>>,
    pub(super) namespaces: BTreeMap<Netns, Recorded>,
    pub(super) files: Files,
}

/// Files as they were read, and the stamps that say so.
#[derive(Default)]
pub(crate) struct Files {
    read: Option<(Arc<Observed<File>>, Transcript)>,
    in_sync: bool,
}

impl Cache {
    /// The objects of `spec`, kept if it is that of the last time.
    pub(crate) fn lower(&mut self, spec: &HostSpec) -> Result<Arc<Lowered>> {
        // What is kept cannot change, so that at the same place there is the same spec.
        if let Some(last) = self.spec.as_ref().filter(|last| std::ptr::eq(&***last, spec) || ***last == *spec)
        {
            return Ok(Arc::clone(&last.lowered));
        }
        let checked = CheckedSpec::try_from(spec.clone())?;
        let lowered = Arc::clone(&checked.lowered);
        self.spec = Some(checked);
        Ok(lowered)
    }

    /// Keeps what `spec` comes to.
    pub(crate) fn prepare(&mut self, spec: &CheckedSpec) {
        self.spec = Some(spec.clone());
    }

    /// Drops what was read for other objects than `wanted`.
    pub(crate) fn turn_to(&mut self, wanted: &Arc<Lowered>) {
        if !self.read_for.as_ref().is_some_and(|last| Arc::ptr_eq(last, wanted)) {
            self.namespaces.clear();
            self.files = Files::default();
            self.read_for = Some(Arc::clone(wanted));
        }
    }

    /// Notes which kinds are as wanted, by the `plan` that was made of what was read: those it has nothing to do about. As
    /// long as the kernel's answers stay the same, these need not be compared again.
    pub(crate) fn note_in_sync(&mut self, plan: &Plan) {
        let free = plan.conflicts.is_empty();
        let mut todo: Vec<(&Netns, &str)> = plan.kinds().collect();
        todo.dedup();
        let todo: BTreeSet<(&Netns, &str)> = todo.into_iter().collect();
        for (netns, recorded) in &mut self.namespaces {
            recorded.note_in_sync(|kind| free && !todo.contains(&(netns, kind)));
        }
        self.files.in_sync = free && !todo.iter().any(|(_, kind)| *kind == File::KIND);
    }
}

impl Files {
    /// How many there were.
    pub(super) fn len(&self) -> usize {
        self.read.as_ref().map_or(0, |(files, _)| files.ours.len())
    }

    /// Those below `directory`, and whether they are known to be as wanted.
    pub(super) fn read(
        &mut self,
        directory: &Path,
        owner: Owner,
        wanted: &Objects,
    ) -> Result<(Arc<Observed<File>>, bool)> {
        let (files, transcript) = match self.read.take() {
            Some((files, transcript)) if transcript.files_are_the_same() => (files, transcript),
            _ => {
                self.in_sync = false;
                let mut transcript = Transcript::default();
                (Arc::new(file::observe(directory, owner, &wanted.files, &mut transcript)?), transcript)
            }
        };
        self.read = Some((Arc::clone(&files), transcript));
        Ok((files, self.in_sync))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_lowered_once_and_a_changed_one_again() {
        let text = r#"{"version": 1, "guests": [
            {"name": "one", "placement": "host", "interfaces": [{"name": "tap1", "private_ipv4": "192.168.0.1"}]},
            {"name": "two", "placement": "host", "interfaces": [{"name": "tap2", "private_ipv4": "192.168.0.2"}]}
        ]}"#;
        let spec = CheckedSpec::from_json(text, &guestnet_xfrm::Secrets::new()).unwrap();
        let mut cache = Cache::default();
        cache.prepare(&spec);
        assert!(Arc::ptr_eq(&cache.lower(&spec).unwrap(), &spec.lowered));
        // The same words elsewhere are the same spec.
        let mut changed = HostSpec::clone(&spec);
        assert!(Arc::ptr_eq(&cache.lower(&changed).unwrap(), &spec.lowered));
        // All fields of a spec are public: whatever was changed, and however often, is found.
        changed.guests[1].interfaces[0].mtu = Some(1400);
        let lowered = cache.lower(&changed).unwrap();
        assert_eq!(lowered.objects, changed.objects().unwrap());
        assert_ne!(lowered.objects, spec.lowered.objects);
        changed.guests.pop();
        assert_eq!(cache.lower(&changed).unwrap().objects, changed.objects().unwrap());
        changed.version = 7;
        assert!(cache.lower(&changed).is_err());
        assert_eq!(cache.lower(&spec).unwrap().objects, spec.lowered.objects);
    }
}
