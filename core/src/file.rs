//! Files for daemons: written whole or not at all, known as ours by their first line.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::life::{Life, life};
use crate::owner::Owner;
use crate::recall::Transcript;
use crate::set::{Foreign, Object, Observed, Set};
use crate::trust;

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

impl FilePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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
        let is_plain = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && is_plain);
        mode.map(Self).ok_or_else(|| FileError(format!("{text:?} is no mode: octal, 0000 to 0777")))
    }
}

checked_text!(
    FilePath,
    FileError,
    r"^[^/\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^/\u0000-\u001f\u007f-\u009f])?$"
);
checked_text!(Mode, FileError, "^0?[0-7]{1,3}$");

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

/// Reads the files below `directory` that carry the mark of `owner`. What is read is noted in `transcript`. A directory
/// below it that others may write to holds nothing of ours; a wanted file in it is foreign.
///
/// # Errors
/// `Untrusted` when others may write to `directory` itself; `Io` when a directory or a file of ours cannot be read. That
/// `directory` does not exist is no error.
pub fn observe(
    directory: &Path,
    owner: Owner,
    wanted: &Set<File>,
    transcript: &mut Transcript,
) -> Result<Observed<File>> {
    let (mut found, mut unsafe_ones) = (Vec::new(), false);
    if trust::directory(directory)? {
        unsafe_ones = walk(directory, &mut found, transcript)
            .map_err(|e| Error::io(format!("read {}", directory.display()), e))?;
    } else {
        transcript.reads(directory);
    }
    let key = |path: &Path| path.strip_prefix(directory).ok()?.to_str()?.parse::<FilePath>().ok();
    let found = found.into_iter().filter_map(|path| Some((key(&path)?, path)));
    let mut observed = look(found.filter(|(_, path)| transcript.reads(path)), owner, wanted)?;
    if unsafe_ones {
        refuse_unsafe(directory, wanted, &mut observed)?;
    }
    Ok(observed)
}

/// Those of `wanted` whose directories are not safe are in the way of themselves.
fn refuse_unsafe(directory: &Path, wanted: &Set<File>, observed: &mut Observed<File>) -> Result<()> {
    for file in wanted.iter() {
        if let Err(error) = trust::directory(parent(&place(directory, &file.path))) {
            let Error::Untrusted(what) = error else { return Err(error) };
            observed.foreign.insert(file.path.clone(), Foreign { what, satisfies: false });
        }
    }
    Ok(())
}

/// The directory that the file `path` is in.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Reads the files of `wanted`, and no others.
///
/// # Errors
/// `Untrusted` when others may write to `directory`; `Io` when one of the files cannot be read.
pub fn observe_keys(directory: &Path, owner: Owner, wanted: &Set<File>) -> Result<Observed<File>> {
    if wanted.is_empty() || !trust::directory(directory)? {
        return Ok(Observed::default());
    }
    let mut refused = Observed::default();
    refuse_unsafe(directory, wanted, &mut refused)?;
    let there = wanted.iter().filter(|file| !refused.foreign.contains_key(&file.path));
    let there = there.map(|file| (file.path.clone(), place(directory, &file.path)));
    let is_there = |path: &Path| path.symlink_metadata().is_ok_and(|m| !m.is_dir());
    let mut observed = look(there.filter(|(_, path)| is_there(path)), owner, wanted)?;
    observed.foreign.extend(refused.foreign);
    Ok(observed)
}

fn look(
    files: impl Iterator<Item = (FilePath, PathBuf)>,
    owner: Owner,
    wanted: &Set<File>,
) -> Result<Observed<File>> {
    let mut observed = Observed::default();
    let mut gone = BTreeMap::new();
    for (key, path) in files {
        let found = read(&path, &key).map_err(|e| Error::io(format!("read {}", path.display()), e))?;
        let of = found.as_ref().map(|(of, _)| *of);
        match found {
            Some((of, file)) if of == owner => drop(observed.ours.insert(file)),
            // What a host that is gone has left is nobody else's. Its first line makes it differ from anything wanted.
            Some((of, file)) if *gone.entry(of).or_insert_with(|| life(of) == Life::Gone) => {
                observed.ours.insert(File { content: OTHER.into(), ..file });
            }
            _ if wanted.contains(&key) => {
                let whose = match of {
                    Some(of) => of.described(),
                    None => "without guestnet's mark for this host in its first line".to_owned(),
                };
                observed
                    .foreign
                    .insert(key, Foreign { what: format!("{} {whose}", path.display()), satisfies: false });
            }
            _ => {}
        }
    }
    Ok(observed)
}

/// Finds what is below `directory`, which is safe. Returns whether directories were passed over because they are not.
fn walk(directory: &Path, found: &mut Vec<PathBuf>, transcript: &mut Transcript) -> io::Result<bool> {
    transcript.reads(directory);
    let mut unsafe_ones = false;
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == STATE {
            // Not for daemons, and no name for their files.
        } else if entry.file_type()?.is_dir() {
            let path = entry.path();
            if fs::symlink_metadata(&path).is_ok_and(|found| trust::is_safe_inside(&found)) {
                unsafe_ones |= walk(&path, found, transcript)?;
            } else {
                transcript.reads(&path);
                unsafe_ones = true;
            }
        } else {
            // A symbolic link to a directory is none of ours, whoever's directory it is.
            unsafe_ones |= entry.file_type()?.is_symlink();
            found.push(entry.path());
        }
    }
    Ok(unsafe_ones)
}

/// The file and whose it is, if it is guestnet's.
fn read(path: &Path, key: &FilePath) -> io::Result<Option<(Owner, File)>> {
    // A link or a device is not what we wrote, wherever it points.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = match opened {
        Err(e) if [libc::ELOOP, libc::ENOENT, libc::ENXIO].map(Some).contains(&e.raw_os_error()) => {
            return Ok(None);
        }
        other => other?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    // Files of others may be long: no more is read of them than a header has.
    let mut bytes = Vec::new();
    (&file).take(HEADER).read_to_end(&mut bytes)?;
    let first = bytes.split_inclusive(|byte| *byte == b'\n').next();
    let first = first.and_then(|line| std::str::from_utf8(line).ok());
    let marked =
        first.and_then(|first| Owner::read(first.strip_prefix("# ")?).filter(|of| first == header(*of)));
    let half = || key.0.rsplit_once(FRESH)?.1.parse().ok().map(Owner);
    let Some(of) = marked.or_else(half) else { return Ok(None) };
    let start = marked.map_or(0, |of| header(of).len());
    (&file).take(LONGEST).read_to_end(&mut bytes)?;
    let content = match std::str::from_utf8(bytes.get(start..).unwrap_or_default()) {
        Ok(text) if (bytes.len() as u64) < LONGEST => text.to_owned(),
        // Somebody put something else than text in, or more than guestnet writes.
        _ => OTHER.to_owned(),
    };
    let mode = Mode(metadata.permissions().mode() & 0o7777);
    let (owner, group) = (Some(metadata.uid()), Some(metadata.gid()));
    Ok(Some((of, File { path: key.clone(), mode, owner, group, content })))
}

/// Content that differs from anything wanted.
const OTHER: &str = "\u{fffd}";

/// More than any file for a daemon has, in bytes: the user to whom a file was given may have written to it.
const LONGEST: u64 = 64 << 20;

/// More than a header has, in bytes.
const HEADER: u64 = 128;

fn header(owner: Owner) -> String {
    format!("# {} - written by guestnet, changes will be lost\n", owner.mark())
}

/// Where the file `path` is, of those below `directory`.
pub fn place(directory: &Path, path: &FilePath) -> PathBuf {
    directory.join(&path.0)
}

/// Whose the files below `directory` are, as far as they can be read.
pub(crate) fn owners(directory: &Path) -> BTreeSet<Owner> {
    let mut found = Vec::new();
    if trust::directory(directory).is_ok_and(|there| there) {
        let _ = walk(directory, &mut found, &mut Transcript::default());
    }
    let key = |path: &Path| path.strip_prefix(directory).ok()?.to_str()?.parse::<FilePath>().ok();
    found.iter().filter_map(|path| Some(read(path, &key(path)?).ok()??.0)).collect()
}

/// Gives the files below `directory` that `from` has left to `owner`: their first lines. Those that were made anew.
///
/// # Errors
/// As [`observe`] and [`carry_out`].
pub fn adopt(directory: &Path, from: Owner, owner: Owner) -> Result<Vec<FilePath>> {
    let left = observe(directory, from, &Set::default(), &mut Transcript::default())?.ours;
    // What somebody has changed the next apply makes anew.
    let files: Vec<File> = left.iter().filter(|file| file.content != OTHER).cloned().collect();
    for file in &files {
        carry_out(directory, owner, &Change::Create(file.clone()))?;
        // What `from` had only begun to write.
        if file.path.0.contains(FRESH) {
            carry_out(directory, owner, &Change::Delete(file.clone()))?;
        }
    }
    Ok(files.into_iter().map(|file| file.path).collect())
}

/// Carries `change` out below `directory`.
///
/// # Errors
/// `Io`. A file is replaced as a whole or left as it was.
pub fn carry_out(directory: &Path, owner: Owner, change: &Change<File>) -> Result<()> {
    match change {
        Change::Create(file) | Change::Replace { new: file, .. } => {
            let path = place(directory, &file.path);
            trust::make_directory(parent(&path), 0o755)?;
            write(&path, owner, file).map_err(|e| {
                remove_empty(path.parent(), directory);
                Error::io(format!("write {}", path.display()), e)
            })
        }
        Change::Delete(file) => {
            let path = place(directory, &file.path);
            if !trust::directory(parent(&path))? {
                return Ok(());
            }
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
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Its name carries the mark, so that what a kill leaves here, be it empty, is found and removed by the next apply.
    let fresh = path.with_file_name(format!(".{name}{}", fresh_suffix(owner)));
    trust::replace(path, &fresh, |out| {
        out.write_all((header(owner) + &file.content).as_bytes())?;
        if file.owner.is_some() || file.group.is_some() {
            fchown(&*out, file.owner, file.group)?;
        }
        out.set_permissions(fs::Permissions::from_mode(file.mode.0))?;
        out.sync_all()
    })
}

/// What is in the names of files that are about to be written, before the number of their owner.
const FRESH: &str = ".guestnet-";

fn fresh_suffix(owner: Owner) -> String {
    format!("{FRESH}{}", owner.0)
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
