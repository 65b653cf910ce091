//! One apply at a time: the lock of a host.

use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use guestnet_core::{Error as CoreError, Netns, life, netns, trust};
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
            let lock = self.lock()?;
            if let Some(host) = self.namespaces.open.get(&Netns::Host) {
                self.is_new |= life::note(&lock, host, self.namespaces.name.as_ref())?;
            }
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
        let path = life::lock(self.owner);
        let failed = |e: Errno| CoreError::io(format!("lock {}", path.display()), e);
        // Who may open it may lock it, and keep everybody else waiting.
        let file = trust::open_lock(&path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((file, Errno::EWOULDBLOCK)) => match in_turn(file, self.patience) {
                Some(lock) => lock.map_err(failed),
                None => {
                    let waited = self.patience.as_secs_f32();
                    let words = format!("another apply has held this host for {waited} s; try again");
                    Err(CoreError::Busy(words))
                }
            },
            Err((_, errno)) => Err(failed(errno)),
        }
    }
}

/// The lock of `file`, waited for where the kernel queues those who wait: it is had the moment that it is free, by
/// whoever came first. `None` when that takes longer than `patience`.
///
/// flock(2) knows no time limit, so a thread of its own waits. One that nobody waits for any more gives the lock back as soon
/// as it has it.
fn in_turn(file: fs::File, patience: Duration) -> Option<Result<Flock<fs::File>, Errno>> {
    if patience.is_zero() {
        return None;
    }
    let (give, take) = mpsc::sync_channel(0);
    std::thread::spawn(move || {
        let mut file = file;
        let lock = loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Err((again, Errno::EINTR)) => file = again,
                other => break other.map_err(|(_, errno)| errno),
            }
        };
        // Not taken, it is dropped here.
        let _ = give.send(lock);
    });
    take.recv_timeout(patience).ok()
}
