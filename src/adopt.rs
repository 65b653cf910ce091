//! Taking over what a host has left that is gone.

use std::collections::BTreeSet;
use std::time::Instant;

use guestnet_core::life::{self, Life, life};
use guestnet_core::owner::Owner;
use guestnet_core::{Error as CoreError, file, netns};

use crate::host::Host;
use crate::report::{Error, Report, microseconds};

impl Host {
    /// Takes over what the host `from` has left: the namespaces of its guests, and its files below this host's directory. They
    /// get this host's marks and are otherwise as they were; the next apply makes of them what its spec says.
    ///
    /// An apply does so by itself where it is proved that the host is gone, with what is in its way. This is for when
    /// it is only known: before Linux 6.18, which says whether a namespace is gone, or after somebody has removed
    /// `/run/guestnet/.host`. The same call again does nothing; one that was killed is completed by the same call.
    ///
    /// # Errors
    /// [`CoreError::Unsupported`], with nothing changed, when the host lives or is this one; and as [`Self::apply`].
    pub fn adopt(&mut self, from: Owner) -> Result<Report, Error> {
        self.alone(|host| {
            let began = Instant::now();
            host.refuse_the_living(from)?;
            let mut report = Report::default();
            for name in netns::list()? {
                let Ok(mut namespace) = host.namespaces.named(&name) else { continue };
                if namespace.owner() == Some(from) {
                    namespace.adopt(host.owner)?;
                    report.taken_over.push(name);
                }
            }
            report.files = file::adopt(host.directory(), from, host.owner)?;
            // Nothing is left now that would keep its lock.
            life::sweep(&BTreeSet::from([host.owner]));
            report.changes = report.taken_over.len() + report.files.len();
            report.microseconds = microseconds(began.elapsed());
            Ok(report)
        })
    }

    fn refuse_the_living(&self, from: Owner) -> Result<(), CoreError> {
        let why = match life(from) {
            _ if from == self.owner => "it is this one".to_owned(),
            Life::Gone => return Ok(()),
            Life::Lives => life::found(from).unwrap_or_else(|| "somebody holds its namespace".to_owned()),
            Life::Unknown => match life::found(from) {
                Some(words) => words,
                None => return Ok(()),
            },
        };
        Err(CoreError::Unsupported(format!("the host {} lives, and keeps what it has: {why}", from.0)))
    }
}
