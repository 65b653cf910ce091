//! What sysctls were before they were ours, on the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{STATE, Sysctl, SysctlKey, SysctlValue, now};
use crate::error::{Error, Result};
use crate::name::{LinkName, Netns};
use crate::netns::Namespace;
use crate::recall::Transcript;

/// What the sysctls that are ours were before: one line `KEY = VALUE` each, in the order of writing. The sysctl of a
/// link has the link's index behind its key (`KEY#INDEX = VALUE`): another link with its name, later, is not it. What
/// others were that the kernel changes with a sysctl is written `KEY > OTHER = VALUE`.
///
/// A namespace has one file, `COOKIE.sysctl`. In the host's own, which has links for all its guests, the sysctls of
/// links are in [`FILES`] more of them, `COOKIE.sysctl.d/NUMBER`, by the index of the link: so the change of one guest
/// reads and writes a small part, however many guests there are. Of the files only those are read that are asked for.
pub(super) struct Ledger {
    cookie: u64,
    is_host: bool,
    links: Arc<BTreeMap<LinkName, u32>>,
    /// Values by what stands before them. The first of a key is the original; a second was written by someone who could
    /// not see the first.
    lines: HashMap<String, Line>,
    /// Files in which something was forgotten.
    dirty: BTreeSet<File>,
}

/// How many files the sysctls of the host's links are in.
const FILES: u32 = 256;

/// The file of the namespace, or the one of some of its links.
type File = Option<u32>;

/// A value, and the place of its line.
struct Line {
    place: usize,
    value: String,
}

impl Ledger {
    fn path(cookie: u64, file: File) -> PathBuf {
        let path = Path::new(STATE).join(format!("{cookie}.sysctl"));
        match file {
            None => path,
            Some(number) => path.with_extension("sysctl.d").join(number.to_string()),
        }
    }

    /// Reads all of it, and says to whoever attends what is read.
    pub(super) fn read(namespace: &Namespace, mut transcript: Option<&mut Transcript>) -> Result<Self> {
        let mut ledger = Self::empty(namespace);
        let mut reads = |path: &Path| transcript.iter_mut().for_each(|t| t.reads(path));
        reads(&Self::path(ledger.cookie, None));
        ledger.load(None)?;
        if ledger.is_host {
            let directory = Self::path(ledger.cookie, Some(0)).with_file_name("");
            reads(&directory);
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                    reads(&entry.path());
                    ledger.load(Some(number))?;
                }
            }
        }
        Ok(ledger)
    }

    /// Reads what it says of `keys`.
    pub(super) fn of<'a>(namespace: &Namespace, keys: impl Iterator<Item = &'a SysctlKey>) -> Result<Self> {
        let mut ledger = Self::empty(namespace);
        let files: BTreeSet<File> = keys.filter_map(|key| Some(ledger.file(&ledger.name(key)?))).collect();
        for file in files {
            ledger.load(file)?;
        }
        Ok(ledger)
    }

    fn empty(namespace: &Namespace) -> Self {
        Self {
            cookie: namespace.cookie(),
            is_host: *namespace.netns() == Netns::Host,
            links: namespace.link_indexes(),
            lines: HashMap::new(),
            dirty: BTreeSet::new(),
        }
    }

    fn load(&mut self, file: File) -> Result<()> {
        let path = Self::path(self.cookie, file);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|e| Error::io(format!("read {}", path.display()), e))?,
        };
        for (name, value) in text.lines().filter_map(|line| line.split_once(" = ")) {
            self.learn(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    /// The file that a line belongs to.
    fn file(&self, name: &str) -> File {
        let index = name.rsplit_once('#').filter(|_| self.is_host && !name.contains(" > "));
        index.and_then(|(_, index)| index.parse::<u32>().ok()).map(|index| index % FILES)
    }

    fn learn(&mut self, name: String, value: String) {
        // What was forgotten meanwhile leaves a gap, so there may be a line of this place: both are of one writing then.
        let place = self.lines.len();
        self.lines.entry(name).or_insert(Line { place, value });
    }

    /// How `key` is written; `None` where there is no such link, as far as links are known.
    fn name(&self, key: &SysctlKey) -> Option<String> {
        match &key.link {
            Some(link) => self.links.get(link).map(|index| format!("{key}#{index}")),
            None => Some(key.to_string()),
        }
    }

    /// The key that is written as `name`, if it is one of this namespace now.
    fn key(&self, name: &str) -> Option<SysctlKey> {
        let key: SysctlKey = name.rsplit_once('#').map_or(name, |(key, _)| key).parse().ok()?;
        (self.name(&key)? == name).then_some(key)
    }

    /// Whether `key` is ours.
    pub(super) fn contains(&self, key: &SysctlKey) -> bool {
        self.name(key).is_some_and(|name| self.lines.contains_key(&name))
    }

    /// What `key` was before it was ours.
    pub(super) fn was(&self, key: &SysctlKey) -> Option<SysctlValue> {
        self.lines.get(&self.name(key)?)?.value.parse().ok()
    }

    /// The sysctls that are ours. Those of links that are not known are not among them.
    pub(super) fn keys(&self) -> impl Iterator<Item = SysctlKey> {
        self.lines.keys().filter(|name| !name.contains(" > ")).filter_map(|name| self.key(name))
    }

    /// Notes what `keys` are, on the disk before they are changed.
    pub(super) fn note<'a>(
        &mut self,
        namespace: &Namespace,
        keys: impl Iterator<Item = &'a SysctlKey>,
    ) -> Result<()> {
        let mut texts: BTreeMap<File, String> = BTreeMap::new();
        for key in keys {
            let Some(name) = self.name(key).filter(|name| !self.lines.contains_key(name)) else { continue };
            let Some(was) = now(namespace, key) else { continue };
            let others = changed_with(namespace, key, &was).into_iter().filter_map(|other| {
                Some((format!("{key} > {}", self.name(&other.key)?), other.value.to_string()))
            });
            for (name, value) in others.chain([(name, was.to_string())]).collect::<Vec<_>>() {
                let _ = writeln!(texts.entry(self.file(&name)).or_default(), "{name} = {value}");
                self.learn(name, value);
            }
        }
        // Each file at once: either all of it is there after a kill, or nothing.
        for (file, text) in texts {
            let path = Self::path(self.cookie, file);
            append(&path, &text).map_err(|e| Error::io(format!("write {}", path.display()), e))?;
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Option<Line> {
        let line = self.lines.remove(name)?;
        self.dirty.insert(self.file(name));
        Some(line)
    }

    /// Forgets `key`; what others were that were changed with it.
    pub(super) fn forget(&mut self, key: &SysctlKey) -> BTreeMap<SysctlKey, SysctlValue> {
        if let Some(name) = self.name(key) {
            self.remove(&name);
        }
        let mark = format!("{key} > ");
        let with: Vec<String> = self.lines.keys().filter(|name| name.starts_with(&mark)).cloned().collect();
        with.into_iter()
            .filter_map(|name| {
                let was = self.remove(&name)?;
                Some((self.key(name.strip_prefix(&mark)?)?, was.value.parse().ok()?))
            })
            .collect()
    }

    /// The lines about sysctls of links that are gone. For those who know all links of the namespace.
    fn gone(&self) -> impl Iterator<Item = &String> {
        self.lines.keys().filter(|name| self.key(name.rsplit(" > ").next().unwrap_or(name)).is_none())
    }

    /// Whether there are sysctls of links that are gone, as after a kill. For those who know all links of the namespace.
    pub(super) fn has_gone(&self) -> bool {
        self.gone().next().is_some()
    }

    /// Forgets the sysctls of links that are gone. For those who know all links of the namespace.
    pub(super) fn forget_gone(&mut self) {
        let gone: Vec<String> = self.gone().cloned().collect();
        gone.iter().for_each(|name| drop(self.remove(name)));
    }

    /// Writes anew the files in which something was forgotten.
    pub(super) fn tidy(&mut self) -> Result<()> {
        for file in std::mem::take(&mut self.dirty) {
            let path = Self::path(self.cookie, file);
            let failed = |e| Error::io(format!("write {}", path.display()), e);
            let mut lines: Vec<(&String, &Line)> =
                self.lines.iter().filter(|(name, _)| self.file(name) == file).collect();
            if lines.is_empty() {
                match fs::remove_file(&path) {
                    // An older guestnet kept all of it in one file.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    other => other.map_err(failed)?,
                }
                if file.is_some() {
                    // Only the last of them succeeds.
                    let _ = path.parent().map(fs::remove_dir);
                }
                continue;
            }
            lines.sort_unstable_by_key(|(name, line)| (line.place, *name));
            let line = |(name, line): (&String, &Line)| format!("{name} = {}\n", line.value);
            let text: String = lines.into_iter().map(line).collect();
            let fresh = path.with_extension("new");
            fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path)).map_err(failed)?;
        }
        Ok(())
    }

    /// Removes the ledger of a namespace that is gone and was not the host's.
    pub(super) fn destroy(cookie: u64) {
        let _ = fs::remove_file(Self::path(cookie, None));
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let open = || fs::OpenOptions::new().create(true).append(true).open(path);
    let mut file = match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            open()?
        }
        other => other?,
    };
    file.write_all(text.as_bytes())
}

/// The sysctls that the kernel changes by itself when `key` is written, as they are (`inet_forward_change`,
/// `addrconf_forward_change`): those that it will not change back by itself when `key` becomes what it `was`.
///
/// In a namespace of ours, which goes as a whole, all links are as the kernel made them.
fn changed_with(namespace: &Namespace, key: &SysctlKey, was: &SysctlValue) -> Vec<Sysctl> {
    if namespace.is_ours() {
        return Vec::new();
    }
    let family = match key.path.as_str() {
        "net/ipv4/ip_forward" | "net/ipv4/conf/all/forwarding" => "ipv4",
        "net/ipv6/conf/all/forwarding" => "ipv6",
        _ => return Vec::new(),
    };
    let conf = format!("net/{family}/conf");
    let entries = fs::read_dir(Path::new("/proc/sys").join(&conf)).into_iter().flatten().flatten();
    let of_links = entries.map(|entry| format!("{conf}/{}/forwarding", entry.file_name().to_string_lossy()));
    // Redirects are for those who do not forward.
    let redirects = if was.0 == "0" { "1" } else { "0" };
    let all = of_links.map(|path| (path, was.0.as_str()));
    let all = all.chain([(format!("{conf}/all/accept_redirects"), redirects)]);
    all.filter(|(path, _)| !path.ends_with("all/forwarding"))
        .filter_map(|(path, again)| {
            let key: SysctlKey = path.parse().ok()?;
            let value = now(namespace, &key).filter(|value| value.0 != again)?;
            Some(Sysctl { key, value })
        })
        .collect()
}
