//! Moving between namespaces, which is something that threads do.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{FileStat, fstat, stat};
use nix::unistd::{getpid, gettid};

use crate::error::{Error, Result};

/// Which namespace a descriptor stands for: device and inode of its file. An inode is not used again while a descriptor
/// of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u64, u64);

impl Id {
    /// A namespace that no descriptor stands for yet.
    const UNKNOWN: Self = Self(0, 0);

    pub(crate) fn of(file: &OwnedFd) -> io::Result<Self> {
        Ok(Self::from(fstat(file)?))
    }
}

impl From<FileStat> for Id {
    fn from(stat: FileStat) -> Self {
        Self(stat.st_dev, stat.st_ino)
    }
}

thread_local! {
    /// Where this thread is while it roams.
    static HERE: Cell<Option<Id>> = const { Cell::new(None) };
}

/// Runs `work`, in which entering a namespace costs a system call, and none where the thread is there already. Afterwards
/// the caller's thread is where it was, also when `work` panics.
///
/// `work` runs on a thread of its own where there would be no way back (the namespace belongs to a user namespace that the
/// thread has left), and where others would notice: `/proc/net` and `/proc/self/ns` are those of a process's first thread.
pub fn roaming<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if HERE.get().is_some() {
        return work();
    }
    if let Some(_way_back) = Journey::begin() {
        return work();
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let here = current().ok().and_then(|file| Id::of(&file).ok());
            HERE.set(Some(here.unwrap_or(Id::UNKNOWN)));
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whether there are other threads to whom it matters where this one is, since it was the first.
fn is_noticed() -> bool {
    // A directory has two links and one for each directory in it, here for each thread.
    const ALONE: u64 = 3;
    gettid() == getpid() && stat("/proc/self/task").is_ok_and(|tasks| tasks.st_nlink > ALONE)
}

/// A thread away from where it belongs. It goes back when this is dropped.
struct Journey {
    home: OwnedFd,
    id: Id,
}

impl Journey {
    fn begin() -> Option<Self> {
        if is_noticed() {
            return None;
        }
        let home = current().ok()?;
        let id = Id::of(&home).ok()?;
        // Whether one may come is the same question here as on the way back.
        setns(&home, CloneFlags::CLONE_NEWNET).ok()?;
        HERE.set(Some(id));
        Some(Self { home, id })
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if HERE.get() != Some(self.id) && setns(&self.home, CloneFlags::CLONE_NEWNET).is_err() {
            // It was possible a moment ago. A caller must not go on in a namespace that it does not expect.
            std::process::abort();
        }
        HERE.set(None);
    }
}

/// Runs `work` in the namespace behind `file`.
pub(crate) fn enter<T: Send>(
    file: &OwnedFd,
    id: Id,
    what: &str,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    roaming(|| {
        if HERE.get() != Some(id) {
            setns(file, CloneFlags::CLONE_NEWNET).map_err(|e| Error::io(what, e))?;
            HERE.set(Some(id));
        }
        work()
    })
}

/// Runs `work` in a new namespace, which goes unless `work` keeps it.
pub(crate) fn enter_new<T: Send>(what: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    roaming(|| {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| Error::io(what, e))?;
        HERE.set(Some(Id::UNKNOWN));
        work()
    })
}

/// Opens the namespace of the calling thread.
///
/// # Errors
/// `Io` when `/proc` is not mounted.
pub fn current() -> Result<OwnedFd> {
    let path = "/proc/thread-self/ns/net";
    Ok(fs::File::open(path).map_err(|e| Error::io(format!("open {path}"), e))?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_is_where_he_was() {
        let here = || Id::of(&current().unwrap()).unwrap();
        let before = here();
        let tried = enter_new("make a namespace", || {
            let new = here();
            assert_ne!(new, before);
            assert_eq!(roaming(here), new, "who roams already stays where he is");
            Ok(())
        });
        if let Err(e) = tried {
            assert!(std::env::var_os("GUESTNET_LAB_REQUIRED").is_none(), "{e}");
            return;
        }
        assert_eq!(here(), before);
        let panicked = std::panic::catch_unwind(|| {
            let _ = enter_new("make a namespace", || -> Result<()> { panic!("under way") });
        });
        assert!(panicked.is_err());
        assert_eq!(here(), before, "after a panic");
    }
}
