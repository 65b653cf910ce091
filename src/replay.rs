//! A host whose kernel's answers are recorded, and one that is played from a recording.

use std::sync::Arc;

use guestnet_core::owner::Owner;
use guestnet_core::replay::{Machine, Recorder};
use guestnet_core::{Error as CoreError, Netns};

use crate::host::Host;
use crate::namespaces::Namespaces;
use crate::report::Error;

/// Where a played host has its files, of which none was recorded.
const NOWHERE: &str = "/run/guestnet/.played";

impl Host {
    /// Records from now on what the kernel answers; it goes on until the host is dropped. Who watches goes on watching.
    ///
    /// No key of IPsec is recorded. Addresses, names and rules are, also those of others.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn record(&mut self) -> Result<Recorder, Error> {
        let recorder = Recorder::new();
        self.namespaces.record(recorder.clone())?;
        Ok(recorder)
    }

    /// The host that `machine` plays, for instance a [`Recording`](guestnet_core::replay::Recording). It can be planned for,
    /// verified and observed, and not changed.
    ///
    /// # Errors
    /// When `machine` has no namespace of the host's, or does not answer what it is asked first.
    pub fn played(machine: Arc<dyn Machine>) -> Result<Self, Error> {
        let cookie = machine.cookie(&Netns::Host).ok_or_else(|| {
            CoreError::Unsupported("nothing was recorded of the host's own namespace".to_owned())
        })?;
        Ok(Self::with(Namespaces::played(machine)?, Owner(cookie)).files_in(NOWHERE))
    }
}
