//! Files and directories that nobody else can have written. What is on the disk is believed only there, whatever the
//! umask was when it was made.
//!
//! A directory is *safe* when it and every directory on the way to it belong to root or to the caller, and nobody else may
//! write to them: the rule of sshd's `StrictModes`. On the way a sticky directory (`/tmp`) is as good, since in it nobody
//! can rename what is another's. Symbolic links on the way are followed if they are root's or the caller's. What is safe stays
//! so until root or the caller changes it: hence paths below it can be used as they are. `namei -l PATH` shows all of it.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::error::{Error, Result};

/// Write permission of the group and of all others.
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;
/// The mode of ledgers and locks.
const PRIVATE: u32 = 0o600;
/// The largest number of symbolic links on the way, as in the kernel (`MAXSYMLINKS`).
const LINKS: u32 = 40;

/// Looks whether the directory `path` is there and safe; `false` where it does not exist.
///
/// # Errors
/// [`Error::Untrusted`] with the directory that is not safe and the remedy; `Io`.
pub fn directory(path: &Path) -> Result<bool> {
    walk(&absolute(path)?, None, LINKS)
}

/// The same, and makes what is missing: `path` itself with `mode`, directories on the way with 0755.
///
/// # Errors
/// As [`directory`].
pub fn make_directory(path: &Path, mode: u32) -> Result<()> {
    walk(&absolute(path)?, Some(mode), LINKS).map(drop)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| failed(path, e))
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::io(format!("look at the directory {}", path.display()), error)
}

fn walk(path: &Path, make: Option<u32>, links: u32) -> Result<bool> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    while let Some(here) = way.pop() {
        let is_last = way.is_empty();
        let found = match (fs::symlink_metadata(here), make) {
            (Err(e), None) if e.kind() == ErrorKind::NotFound => return Ok(false),
            (Err(e), Some(mode)) if e.kind() == ErrorKind::NotFound => {
                make_one(here, if is_last { mode } else { 0o755 })
            }
            (found, _) => found,
        };
        let found = found.map_err(|e| failed(here, e))?;
        owned(&found).map_err(|why| untrusted(here, &why))?;
        if found.is_symlink() {
            let target = fs::read_link(here).map_err(|e| failed(here, e))?;
            let links = links
                .checked_sub(1)
                .ok_or_else(|| failed(here, io::Error::from_raw_os_error(libc::ELOOP)))?;
            let target = here.parent().unwrap_or(Path::new("/")).join(target);
            let rest = path.strip_prefix(here).unwrap_or(Path::new(""));
            return walk(&target.components().chain(rest.components()).collect::<PathBuf>(), make, links);
        }
        if !found.is_dir() {
            return Err(untrusted(here, &Fault::NoDirectory));
        }
        if found.mode() & WRITABLE != 0 && (is_last || found.mode() & STICKY == 0) {
            return Err(untrusted(here, &Fault::Writable(found.mode())));
        }
    }
    Ok(true)
}

fn make_one(path: &Path, mode: u32) -> io::Result<Metadata> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
        made => {
            let found = fs::symlink_metadata(path)?;
            // The umask takes away, and never adds.
            if made.is_ok() && found.mode() & 0o777 != mode {
                fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
            Ok(found)
        }
    }
}

/// Whether `found`, which is in a directory that is safe, is a safe directory as well.
pub(crate) fn is_safe_inside(found: &Metadata) -> bool {
    found.is_dir() && owned(found).is_ok() && found.mode() & WRITABLE == 0
}

/// Opens a regular file that only root or the caller can have written, in a directory that is safe. A symbolic link is not
/// followed, and nothing that is no file is waited for. What it makes has mode 0600.
///
/// # Errors
/// What is wrong with it, in words that follow its path.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> std::result::Result<File, Fault> {
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Fault::NoFile);
    }
    owned(&found)?;
    if found.mode() & WRITABLE != 0 {
        return Err(Fault::Writable(found.mode()));
    }
    Ok(file)
}

/// The same, and makes the file where it is missing, with mode 0600.
///
/// # Errors
/// As [`open`].
pub(crate) fn create(path: &Path, options: &mut OpenOptions) -> std::result::Result<File, Fault> {
    let file = open(path, options.create(true).mode(PRIVATE))?;
    if file.metadata()?.mode() & PRIVATE != PRIVATE {
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
    }
    Ok(file)
}

/// Opens the lock `path` in the directory of the state, made where it is missing. Nobody else can hold it.
///
/// # Errors
/// [`Error::Untrusted`] where somebody else could; `Io`.
pub fn open_lock(path: &Path) -> Result<File> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    make_directory(parent, 0o700)?;
    create(path, OpenOptions::new().read(true).write(true)).map_err(|fault| fault.about(path))
}

/// Makes the file `path` anew, whole or not at all: `fill` writes it under the name `fresh`, beside it, and it takes the place
/// of whatever had its name. Until `fill` says otherwise its mode is 0600.
///
/// # Errors
/// What `fill` returns, and `Io`.
pub(crate) fn replace(
    path: &Path,
    fresh: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(fresh);
    let mut file = match open() {
        // Left by a kill.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(fresh)?;
            open()?
        }
        other => other?,
    };
    let filled = file.set_permissions(Permissions::from_mode(PRIVATE)).and_then(|()| fill(&mut file));
    // What is refused leaves nothing behind.
    filled.and_then(|()| fs::rename(fresh, path)).inspect_err(|_| drop(fs::remove_file(fresh)))
}

/// Why something on the disk is not believed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It belongs to this user.
    Owner(u32),
    /// Others may write to it: its mode.
    Writable(u32),
    NoDirectory,
    NoFile,
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            // A symbolic link; a FIFO, a socket or a device; a directory.
            Some(libc::ELOOP | libc::ENXIO | libc::EISDIR) => Self::NoFile,
            _ => Self::Io(error),
        }
    }
}

impl Fault {
    /// As an error about `path`.
    pub(crate) fn about(self, path: &Path) -> Error {
        match self {
            Self::Io(e) => Error::io(format!("open {}", path.display()), e),
            fault => untrusted(path, &fault),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(user) => write!(f, "belongs to the user {user}"),
            Self::Writable(mode) => write!(f, "has mode {:04o}, so others may write to it", mode & 0o7777),
            Self::NoDirectory => f.write_str("is no directory"),
            Self::NoFile => f.write_str("is no regular file"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

fn untrusted(path: &Path, fault: &Fault) -> Error {
    let shown = path.display();
    let remedy = match fault {
        Fault::Owner(_) => format!("`chown {} {shown}`", geteuid()),
        Fault::Writable(mode) if mode & STICKY != 0 => "choose a directory below it".to_owned(),
        Fault::Writable(mode) => format!("`chmod {:o} {shown}`", mode & 0o7777 & !WRITABLE),
        Fault::NoDirectory | Fault::NoFile | Fault::Io(_) => "move it away".to_owned(),
    };
    Error::Untrusted(format!(
        "{shown} {fault}; guestnet keeps files only where nobody but root and its own user can write: look at what is in \
         it, then {remedy}"
    ))
}

/// Whether what is there belongs to root or to the caller.
fn owned(found: &Metadata) -> std::result::Result<(), Fault> {
    let user = found.uid();
    if user == 0 || user == geteuid().as_raw() || found.is_dir() && is_from_outside(user) {
        return Ok(());
    }
    Err(Fault::Owner(user))
}

/// Whether `user` stands for all users that the caller's user namespace does not have (user_namespaces(7)), root of the
/// machine among them: `/` belongs to it there.
fn is_from_outside(user: u32) -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let overflow = read("/proc/sys/kernel/overflowuid").trim().parse().unwrap_or(65_534);
    let is_mapped = |line: &str| {
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
        let (first, _, count) = (numbers.next(), numbers.next(), numbers.next());
        first.zip(count).is_some_and(|(first, count)| user.checked_sub(first).is_some_and(|n| n < count))
    };
    user == overflow && !read("/proc/thread-self/uid_map").lines().any(is_mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &Path) -> String {
        directory(path).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_named_with_its_mode() {
        let top = std::env::temp_dir().join(format!("guestnet-trust-test-{}", std::process::id()));
        let below = top.join("a/b");
        assert!(!directory(&below).unwrap());
        make_directory(&below, 0o700).unwrap();
        assert!(directory(&below).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&top), mode(&top.join("a")), mode(&below)), (0o755, 0o755, 0o700));

        for (bad, remedy) in [(0o777, "chmod 755"), (0o775, "chmod 755"), (0o722, "chmod 700")] {
            fs::set_permissions(top.join("a"), Permissions::from_mode(bad)).unwrap();
            let words = said(&below);
            assert!(words.contains(remedy) && words.contains(&format!("mode {bad:04o}")), "{words}");
        }
        // What is another's cannot be renamed there.
        fs::set_permissions(top.join("a"), Permissions::from_mode(0o1777)).unwrap();
        assert!(directory(&below).unwrap());
        assert!(said(&top.join("a")).contains("choose a directory below it"));

        std::os::unix::fs::symlink("a", top.join("link")).unwrap();
        assert!(directory(&top.join("link/b")).unwrap());
        std::os::unix::fs::symlink("loop", top.join("loop")).unwrap();
        assert!(directory(&top.join("loop/b")).is_err());
        fs::write(top.join("file"), "").unwrap();
        assert!(said(&top.join("file/b")).contains("no directory"));
        fs::remove_dir_all(&top).unwrap();
    }
}
