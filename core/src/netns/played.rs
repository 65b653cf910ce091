//! A namespace without a kernel: a [`Machine`] answers for it.

use std::sync::Arc;

use super::{Line, Namespace, roam};
use crate::act::{Heard, Watch};
use crate::error::{Error, Result};
use crate::kind::Protocol;
use crate::name::Netns;
use crate::netlink::Session;
use crate::replay::{Machine, Wire};
use crate::sysctl::{SysctlKey, SysctlValue};

impl Namespace {
    /// The namespace of `machine` that plans call `netns`. Nothing of the system is asked or changed by it.
    ///
    /// # Errors
    /// `Malformed` when `machine` has none of this name; what the machine's refusal to read the mark on `lo` says.
    pub fn played(netns: Netns, machine: &Arc<dyn Machine>) -> Result<Self> {
        let cookie = machine.cookie(&netns).ok_or_else(|| {
            Error::malformed(format!("namespace {netns}"), "the recording has none of this name")
        })?;
        let session =
            |protocol| Session::played(Wire::new(Arc::clone(machine), netns.clone(), protocol), protocol);
        // Whoever is inside is where the caller is already.
        let file = roam::current()?;
        let id = roam::Id::of(&file).map_err(|e| Error::io(format!("enter the namespace {netns}"), e))?;
        let [route, xfrm, netfilter] = [Protocol::Route, Protocol::Xfrm, Protocol::Netfilter].map(session);
        let mut namespace = Self::with(file, id, netns, route, cookie);
        let line =
            |protocol, session| if machine.speaks(protocol) { Line::Open(session) } else { Line::Missing };
        namespace.xfrm = line(Protocol::Xfrm, xfrm);
        namespace.netfilter = line(Protocol::Netfilter, netfilter);
        namespace.machine = Some(Arc::clone(machine));
        namespace.read_owner()?;
        Ok(namespace)
    }

    /// Tells `watch`, which records, from now on what is asked and answered, and asks first what a played namespace asks first.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn record(&mut self, watch: &Watch) -> Result<()> {
        self.watch(watch);
        self.read_owner()
    }

    /// Whether there is no kernel behind it, nor anything that guestnet has written.
    pub(crate) fn is_played(&self) -> bool {
        self.machine.is_some()
    }

    /// Sysctls as the machine says them, if this is one of its namespaces.
    pub(crate) fn played_sysctls(
        &self,
        keys: &[SysctlKey],
    ) -> Option<impl Iterator<Item = Option<SysctlValue>>> {
        let machine = self.machine.as_ref()?;
        Some(keys.iter().map(|key| {
            let text = machine.file(&self.netns, &key.file().to_string_lossy())?;
            text.trim_end_matches('\n').parse().ok()
        }))
    }

    /// Tells whoever records what was read.
    pub(crate) fn sysctls_were_read<'a>(
        &self,
        read: impl Iterator<Item = (&'a SysctlKey, Option<&'a SysctlValue>)>,
    ) {
        if !self.watch.is_recorded() {
            return;
        }
        for (key, value) in read {
            let text = value.map(ToString::to_string);
            self.watch.hear(&self.netns, Heard::File(&key.file().to_string_lossy(), text.as_deref()));
        }
    }
}
