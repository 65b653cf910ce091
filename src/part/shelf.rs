//! A directory of small files below `/run/guestnet/.host`, which only their owner may read, each replaced at once.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use guestnet_core::owner::Owner;
use guestnet_core::{Error, Result, sysctl, trust};

/// The files that are kept of one host.
#[derive(Debug)]
pub(super) struct Shelf(PathBuf);

/// By what a file is known not to have been replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    changed: SystemTime,
}

impl Shelf {
    pub(super) fn of(owner: Owner) -> Self {
        Self(Path::new(sysctl::STATE).join(format!("{}.whole", owner.0)))
    }

    /// What is in the file `name`; nothing where there is none, or one that others than its owner could have written.
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(self.0.join(name)).ok()?;
        let about = file.metadata().ok()?;
        if !about.is_file() || about.uid() != nix::unistd::geteuid().as_raw() || about.mode() & 0o022 != 0 {
            return None;
        }
        let mut text = Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default());
        file.read_to_end(&mut text).ok()?;
        Some(text)
    }

    /// By what the file `name` is known, and that no other has come, gone or been replaced since.
    pub(super) fn stamp(&self, name: &str) -> Option<Stamp> {
        let about = fs::symlink_metadata(self.0.join(name)).ok()?;
        let changed = fs::metadata(&self.0).and_then(|folder| folder.modified()).ok()?;
        Some(Stamp { inode: about.ino(), size: about.len(), changed })
    }

    /// The names of the files that there are.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let files = fs::read_dir(&self.0).into_iter().flatten().flatten();
        files.filter_map(|file| file.file_name().into_string().ok()).collect()
    }

    /// Makes `text` the content of the file `name`: who reads it finds the old one or the new one.
    pub(super) fn write(&self, name: &str, text: &[u8]) -> Result<()> {
        let new = self.0.join("new");
        let created = match Self::create(&new) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                trust::make_directory(&self.0, 0o700)?;
                Self::create(&new)
            }
            other => other,
        };
        let written = match created {
            // Left by who was killed in the middle.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&new).and_then(|()| Self::create(&new))
            }
            other => other,
        };
        let place = self.0.join(name);
        let written =
            written.and_then(|mut file| file.write_all(text)).and_then(|()| fs::rename(&new, &place));
        written.map_err(|e| Error::io(format!("write {}", place.display()), e))
    }

    fn create(path: &Path) -> std::io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        // The umask may have taken away more.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        Ok(file)
    }

    /// Removes the file `name`, if there is one.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let path = self.0.join(name);
        gone(fs::remove_file(&path)).map_err(|e| Error::io(format!("remove {}", path.display()), e))
    }

    /// Removes all of it.
    pub(super) fn clear(&self) -> Result<()> {
        gone(fs::remove_dir_all(&self.0)).map_err(|e| Error::io(format!("remove {}", self.0.display()), e))
    }
}

/// What is not there is as good as removed.
fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
