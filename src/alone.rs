//! One apply at a time: the lock of a host.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use guestnet_core::{Error as CoreError, netns, sysctl};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::host::Host;
use crate::report::Error;

/// How long an apply waits for another one on the same host, unless it is told.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

impl Host {
    /// Runs `work` while other applies on the same host are kept away.
    pub(crate) fn alone<T: Send>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        netns::roaming(|| {
            let _lock = self.lock()?;
            self.locked(true);
            let done = work(self);
            self.locked(false);
            done
        })
    }

    /// What is said in ledgers holds while this host is locked; and they are as large as the host.
    fn locked(&mut self, locked: bool) {
        self.namespaces.open.values_mut().for_each(|namespace| namespace.locked(locked));
    }

    /// Keeps other applies away until what it returns is dropped.
    fn lock(&self) -> Result<Flock<fs::File>, CoreError> {
        let path = Path::new(sysctl::STATE).join(format!("{}.lock", self.owner.0));
        let failed = |e| CoreError::io(format!("lock {}", path.display()), e);
        // Who may open it may lock it, and keep everybody else waiting.
        let open = || fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = match open() {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(sysctl::STATE).map_err(failed)?;
                open().map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        let began = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((again, Errno::EWOULDBLOCK)) if began.elapsed() < self.patience => file = again,
                Err((_, Errno::EWOULDBLOCK)) => {
                    let waited = self.patience.as_secs_f32();
                    return Err(CoreError::Busy(format!(
                        "another apply has held this host for {waited} s; try again"
                    )));
                }
                Err((_, errno)) => return Err(failed(errno.into())),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
