//! Answers that are kept, to see at once that nothing has changed since.
//!
//! To know whether a host is as it was one has to ask, but one need not understand the answers again: it is enough that
//! they are the same, byte for byte.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::kind::{Message, Protocol};
use crate::netlink::Dump;
use crate::sysctl::{SysctlKey, SysctlValue};

/// What was asked to learn something, and what was answered.
#[derive(Debug, Default)]
pub struct Transcript {
    pub(crate) dumps: Vec<(Protocol, Message, Arc<Dump>)>,
    pub(crate) sysctls: Vec<(SysctlKey, Option<SysctlValue>)>,
    /// Files and directories that were read.
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// The number of the state of things that was read, if the kernel counts them: while it is this, nothing has changed.
    pub generation: Option<u32>,
    /// Whether something was asked that is not here (answers with secrets, single objects), or is too young to be told from
    /// what comes next.
    pub(crate) lacks: bool,
}

/// What changes when a file or a directory does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Of the inode: nobody can set it.
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let m = fs::symlink_metadata(path)?;
        Ok(Self {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        })
    }
}

impl Stamp {
    /// Whether the next change might bring the same stamp: before Linux 6.13 its clock ticks every 10 ms at worst.
    fn is_recent(self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = Duration::new(seconds.unsigned_abs(), nanoseconds.unsigned_abs() as u32);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(changed) < Duration::from_millis(20)
    }
}

impl Transcript {
    pub(crate) fn notes(&mut self, protocol: Protocol, request: &Message, answer: &Arc<Dump>) {
        // What is secret is kept no longer than it is needed.
        if answer.is_secret() {
            self.lacks = true;
        } else {
            self.dumps.push((protocol, request.clone(), Arc::clone(answer)));
        }
    }

    /// Notes that the file or directory `path` is read next. Whether there is one to be read; if not, that is noted.
    pub fn reads(&mut self, path: &Path) -> bool {
        let found = Stamp::of(path);
        let is_absent = found.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        let stamp = found.ok();
        self.lacks |= stamp.is_some_and(Stamp::is_recent);
        self.files.push((path.to_owned(), stamp));
        !is_absent
    }

    /// Whether the files that were read are as they were. For a transcript with nothing but files in it this is all.
    pub fn files_are_the_same(&self) -> bool {
        !self.lacks && self.files.iter().all(|(path, stamp)| Stamp::of(path).ok() == *stamp)
    }
}
