//! What is known of the sysctls of a namespace.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use super::ledger::Ledger;
use super::{SysctlKey, SysctlValue};
use crate::error::Result;
use crate::netns::Namespace;

/// What was read, until something may have changed it. What a link has, its own message tells.
#[derive(Default)]
pub(crate) struct Known {
    /// What files said.
    pub(super) read: HashMap<SysctlKey, Read>,
    /// The ledger as far as it was read. It holds while nobody else may write it, which is while the host is locked.
    pub(super) ledger: Option<Ledger>,
    /// Whether the ledger has to be written anew: it speaks of links that are gone, or was damaged.
    pub(super) is_stale: bool,
    /// What of the ledger was passed over.
    pub(crate) complaints: Vec<String>,
    /// Whether the host is locked: what is read now may be written next.
    pub(super) is_locked: bool,
}

/// What a file said, and the file itself if it stays open to be written next.
pub(super) struct Read {
    pub(super) value: SysctlValue,
    pub(super) file: Option<File>,
}

impl Read {
    /// Reads `key`; `None` where it does not exist or is no setting. For those who are inside the namespace.
    pub(super) fn of(key: &SysctlKey) -> Option<Self> {
        let value = value(&File::open(key.file()).ok()?)?;
        Some(Self { value, file: None })
    }

    /// The same for a key that may be written next: its file stays open, since to open a sysctl takes longer than to read
    /// and to write it.
    pub(super) fn to_be_set(key: &SysctlKey) -> Option<Self> {
        let Ok(file) = open(key) else { return Self::of(key) };
        Some(Self { value: value(&file)?, file: Some(file) })
    }
}

/// Reads `keys` as `read` does, inside of `namespace`.
pub(super) fn read_in(
    namespace: &Namespace,
    keys: &[SysctlKey],
    read: fn(&SysctlKey) -> Option<Read>,
) -> Result<Vec<Option<Read>>> {
    #[cfg(feature = "replay")]
    if let Some(played) = namespace.played_sysctls(keys) {
        return Ok(played.map(|value| Some(Read { value: value?, file: None })).collect());
    }
    let found: Vec<Option<Read>> = namespace.inside(|| Ok(keys.iter().map(read).collect()))?;
    #[cfg(feature = "replay")]
    namespace.sysctls_were_read(keys.iter().zip(found.iter().map(|read| Some(&read.as_ref()?.value))));
    Ok(found)
}

/// Opens a sysctl to be set and read.
pub(super) fn open(key: &SysctlKey) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(key.file())
}

/// What the file of a sysctl says, `None` where it is no setting.
pub(super) fn value(file: &File) -> Option<SysctlValue> {
    // More than the longest value; a read of a sysctl gives all of it at once.
    let mut buffer = [0; 128];
    let length = file.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    text.trim_end_matches('\n').parse().ok()
}

impl Known {
    /// A namespace that was just made has nothing in its ledger.
    pub(crate) fn of_new(cookie: u64) -> Self {
        Self { ledger: Some(Ledger::of_new(cookie)), ..Self::default() }
    }

    /// Forgets the values, because something may have changed them.
    pub(crate) fn forget_values(&mut self) {
        self.read.clear();
    }

    /// Forgets the ledger, because somebody else may have written it.
    pub(crate) fn forget_ledger(&mut self) {
        self.ledger = None;
    }

    /// The host is locked, or is so no longer. Somebody else may have written the ledger before, and may do so after.
    pub(crate) fn locked(&mut self, locked: bool) {
        self.is_locked = locked;
        self.forget_ledger();
        self.forget_values();
    }

    /// Whether the ledger had to be written anew when it was last read.
    pub(crate) fn ledger_is_stale(&self) -> bool {
        self.is_stale
    }
}
