//! Files for daemons: written whole or not at all, known as ours by their first line.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::checked_text;
use crate::diff::Change;
use crate::error::{Error, Result};
use crate::owner::Owner;
use crate::recall::Transcript;
use crate::set::{Foreign, Object, Observed, Set};

/// A file below the host's directory for files (`/run/guestnet` unless the caller says otherwise).
///
/// Its first line, a comment with guestnet's mark, is not part of `content`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where, below the directory: `vm1/dnsmasq.conf`.
    pub path: FilePath,
    /// The permissions, as three or four octal digits.
    #[serde(default)]
    pub mode: Mode,
    /// The owning user by number; left out: whoever applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// The owning group by number; left out: that of whoever applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// The text.
    pub content: String,
}

/// A relative path that stays below where it starts: no `..`, no root, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

/// Permissions of a file, `chmod(1)`'s octal form. 0644 unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u32);

/// Why a text is no path or no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(String);

impl Default for Mode {
    fn default() -> Self {
        Self(0o644)
    }
}

impl FromStr for FilePath {
    type Err = FileError;

    fn from_str(text: &str) -> std::result::Result<Self, FileError> {
        let plain = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        if text.is_empty()
            || text.ends_with('/')
            || !plain
            || text.chars().any(char::is_control)
            || text.starts_with(STATE)
        {
            let why = "it is relative, stays below the directory for files and does not start with .host";
            return Err(FileError(format!("{text:?} is no path of a file: {why}")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Mode {
    type Err = FileError;

    fn from_str(text: &str) -> std::result::Result<Self, FileError> {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && text.len() <= 4);
        mode.map(Self).ok_or_else(|| FileError(format!("{text:?} is no mode: octal, 0000 to 0777")))
    }
}

checked_text!(FilePath, FileError);
checked_text!(Mode, FileError);

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mode {}, {} lines", self.path, self.mode, self.content.lines().count())
    }
}

impl Object for File {
    type Key = FilePath;
    const KIND: &'static str = "file";

    fn key(&self) -> FilePath {
        self.path.clone()
    }

    fn accepts(&self, found: &Self) -> bool {
        self.mode == found.mode
            && self.content == found.content
            && (self.owner.is_none() || self.owner == found.owner)
            && (self.group.is_none() || self.group == found.group)
    }

    fn changed_from(&self, old: &Self) -> String {
        let new_lines = self.content.lines().filter(|line| !old.content.lines().any(|l| l == *line)).count();
        let old_lines = old.content.lines().filter(|line| !self.content.lines().any(|l| l == *line)).count();
        format!("{self}  ({new_lines} lines new, {old_lines} gone; was mode {})", old.mode)
    }
}

impl File {
    /// A file that everyone may read.
    pub fn new(path: FilePath, content: String) -> Self {
        Self { path, mode: Mode::default(), owner: None, group: None, content }
    }
}

/// What is in the directory besides files for daemons, and is not listed: ledgers and locks.
const STATE: &str = ".host";

/// Reads the files below `directory` that carry the mark of `owner`. What is read is noted in `transcript`.
///
/// # Errors
/// `Io` when a directory or a file of ours cannot be read. That `directory` does not exist is no error.
pub fn observe(
    directory: &Path,
    owner: Owner,
    wanted: &Set<File>,
    transcript: &mut Transcript,
) -> Result<Observed<File>> {
    let mut found = Vec::new();
    walk(directory, &mut found, transcript)
        .map_err(|e| Error::io(format!("read {}", directory.display()), e))?;
    let key = |path: &Path| path.strip_prefix(directory).ok()?.to_str()?.parse::<FilePath>().ok();
    let found = found.into_iter().filter_map(|path| Some((key(&path)?, path)));
    look(found.filter(|(_, path)| transcript.reads(path)), owner, wanted)
}

/// Reads the files of `wanted`, and no others.
///
/// # Errors
/// `Io` when one of them cannot be read.
pub fn observe_keys(directory: &Path, owner: Owner, wanted: &Set<File>) -> Result<Observed<File>> {
    let there = wanted.iter().map(|file| (file.path.clone(), place(directory, &file.path)));
    look(there.filter(|(_, path)| path.symlink_metadata().is_ok_and(|m| !m.is_dir())), owner, wanted)
}

fn look(
    files: impl Iterator<Item = (FilePath, PathBuf)>,
    owner: Owner,
    wanted: &Set<File>,
) -> Result<Observed<File>> {
    let mut observed = Observed::default();
    for (key, path) in files {
        match read(&path, &key, owner).map_err(|e| Error::io(format!("read {}", path.display()), e))? {
            Some(file) => {
                observed.ours.insert(file);
            }
            None if wanted.contains(&key) => {
                let what =
                    format!("{} without guestnet's mark for this host in its first line", path.display());
                observed.foreign.insert(key, Foreign { what, satisfies: false });
            }
            None => {}
        }
    }
    Ok(observed)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>, transcript: &mut Transcript) -> io::Result<()> {
    transcript.reads(directory);
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == STATE {
            // Not for daemons, and no name for their files.
        } else if entry.file_type()?.is_dir() {
            walk(&entry.path(), found, transcript)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// The file if it is ours.
fn read(path: &Path, key: &FilePath, owner: Owner) -> io::Result<Option<File>> {
    // A link or a device is not what we wrote, wherever it points.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let mut file = match opened {
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) || e.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        other => other?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mark = header(owner);
    let mut first = vec![0; mark.len()];
    let marked = file.read_exact(&mut first).is_ok() && first == mark.as_bytes();
    if !marked && !(key.0.ends_with(&fresh_suffix(owner))) {
        return Ok(None);
    }
    let mut content = String::new();
    if file.read_to_string(&mut content).is_err() {
        // Ours, but somebody put something else than text in: it differs from anything wanted.
        content = "\u{fffd}".into();
    }
    let mode = Mode(metadata.permissions().mode() & 0o7777);
    Ok(Some(File {
        path: key.clone(),
        mode,
        owner: Some(metadata.uid()),
        group: Some(metadata.gid()),
        content,
    }))
}

fn header(owner: Owner) -> String {
    format!("# {} - written by guestnet, changes will be lost\n", owner.mark())
}

/// Where the file `path` is, of those below `directory`.
pub fn place(directory: &Path, path: &FilePath) -> PathBuf {
    directory.join(&path.0)
}

/// Carries `change` out below `directory`.
///
/// # Errors
/// `Io`. A file is replaced as a whole or left as it was.
pub fn carry_out(directory: &Path, owner: Owner, change: &Change<File>) -> Result<()> {
    match change {
        Change::Create(file) | Change::Replace { new: file, .. } => {
            let path = place(directory, &file.path);
            write(&path, owner, file).map_err(|e| Error::io(format!("write {}", path.display()), e))
        }
        Change::Delete(file) => {
            let path = place(directory, &file.path);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    Err(Error::io(format!("remove {}", path.display()), e))
                }
                _ => {
                    remove_empty(path.parent(), directory);
                    Ok(())
                }
            }
        }
    }
}

fn write(path: &Path, owner: Owner, file: &File) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Its name carries the mark, so that what a kill leaves here, be it empty, is found and removed by the next apply.
    let fresh = parent.join(format!(".{name}{}", fresh_suffix(owner)));
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&fresh)?;
    out.write_all((header(owner) + &file.content).as_bytes())?;
    if file.owner.is_some() || file.group.is_some() {
        fchown(&out, file.owner, file.group)?;
    }
    out.set_permissions(fs::Permissions::from_mode(file.mode.0))?;
    out.sync_all()?;
    fs::rename(&fresh, path)
}

/// How the names of files end that `owner` is about to write.
fn fresh_suffix(owner: Owner) -> String {
    format!(".guestnet-{}", owner.0)
}

/// Removes directories that have become empty, up to but without `top`.
fn remove_empty(mut directory: Option<&Path>, top: &Path) {
    while let Some(here) = directory.filter(|d| *d != top && d.starts_with(top)) {
        if fs::remove_dir(here).is_err() {
            return;
        }
        directory = here.parent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::diff;

    #[test]
    fn a_file_is_written_read_back_and_removed() {
        let directory = std::env::temp_dir().join(format!("guestnet-file-test-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let (mine, other) = (Owner(1), Owner(2));
        let mut file = File::new("vm1/dnsmasq.conf".parse().unwrap(), "port=0\n".into());
        file.mode = "0600".parse().unwrap();
        let wanted: Set<File> = [file.clone()].into_iter().collect();

        carry_out(&directory, mine, &Change::Create(file.clone())).unwrap();
        // What was changed just now cannot be told from what is changed next.
        std::thread::sleep(std::time::Duration::from_millis(30));
        let mut transcript = Transcript::default();
        let observed = observe(&directory, mine, &wanted, &mut transcript).unwrap();
        assert!(diff(&wanted, &observed).0.is_empty());
        assert!(transcript.files_are_the_same());

        let (changes, conflicts) =
            diff(&wanted, &observe(&directory, other, &wanted, &mut Transcript::default()).unwrap());
        assert!(changes.is_empty() && conflicts.len() == 1, "another host's file is foreign");

        carry_out(&directory, mine, &Change::Delete(file)).unwrap();
        assert!(!transcript.files_are_the_same());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "the directory that was made is gone too");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn paths_stay_below_the_directory() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a/", "a\n", ".host/x"] {
            assert!(bad.parse::<FilePath>().is_err(), "{bad:?}");
        }
        assert!("vm1/dnsmasq.conf".parse::<FilePath>().is_ok());
        assert!("1000".parse::<Mode>().is_err() && "0750".parse::<Mode>().is_ok());
    }
}
