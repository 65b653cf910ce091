//! What a host is known to be like, so that it need not be understood again where it has not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use guestnet_core::owner::Owner;
use guestnet_core::{File, Netns, Object, Result, Transcript, file};

use crate::lower::Lowered;
use crate::objects::{Objects, Recollection};
use crate::plan::Plan;
use crate::seen::Seen;
use crate::spec::HostSpec;

/// What was wanted of a host the last time, and what was found when all of it was read.
///
/// Nothing is taken for granted: each time the kernel and the files are asked. What is remembered are the answers, and what
/// they meant.
#[derive(Default)]
pub(crate) struct Memory {
    spec: Option<(HostSpec, Arc<Lowered>)>,
    /// For which objects it was read: they decide what of others is noted.
    read_for: Option<Arc<Lowered>>,
    pub(crate) namespaces: BTreeMap<Netns, Recollection>,
    pub(crate) files: Files,
}

/// What the files were, and what says so.
#[derive(Default)]
pub(crate) struct Files(Option<(Seen<File>, Transcript)>);

impl Memory {
    /// The objects of `spec`, from memory if it is that of the last time.
    pub(crate) fn lower(&mut self, spec: &HostSpec) -> Result<Arc<Lowered>> {
        if let Some((last, lowered)) = &self.spec
            && last == spec
        {
            return Ok(Arc::clone(lowered));
        }
        let lowered = Arc::new(spec.lower()?);
        self.spec = Some((spec.clone(), Arc::clone(&lowered)));
        Ok(lowered)
    }

    /// Forgets what was read for other objects than `wanted`.
    pub(crate) fn turn_to(&mut self, wanted: &Arc<Lowered>) {
        if !self.read_for.as_ref().is_some_and(|last| Arc::ptr_eq(last, wanted)) {
            self.namespaces.clear();
            self.files = Files::default();
            self.read_for = Some(Arc::clone(wanted));
        }
    }

    /// Notes what of that which was read is as it is wanted: where `plan` has nothing to do.
    pub(crate) fn settle(&mut self, plan: &Plan) {
        let free = plan.conflicts.is_empty();
        let mut todo: Vec<(&Netns, &str)> = plan.kinds().collect();
        todo.dedup();
        let todo: BTreeSet<(&Netns, &str)> = todo.into_iter().collect();
        for (netns, recollection) in &mut self.namespaces {
            recollection.settle(|kind| free && !todo.contains(&(netns, kind)));
        }
        if let Some((files, _)) = &mut self.files.0 {
            files.settle(free && !todo.iter().any(|(_, kind)| *kind == File::KIND));
        }
    }
}

impl Files {
    /// How many there were.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |(files, _)| files.ours.len())
    }

    /// Those below `directory`.
    pub(crate) fn read(&mut self, directory: &Path, owner: Owner, wanted: &Objects) -> Result<Seen<File>> {
        let (files, transcript) = match self.0.take() {
            Some((files, transcript)) if transcript.files_are_the_same() => (files, transcript),
            _ => {
                let mut transcript = Transcript::default();
                (Seen::of(file::observe(directory, owner, &wanted.files, &mut transcript)?), transcript)
            }
        };
        self.0 = Some((files.clone(), transcript));
        Ok(files)
    }
}
