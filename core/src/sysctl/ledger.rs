//! What sysctls were before they were ours, on the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smol_str::{SmolStr, ToSmolStr};

use super::{STATE, Sysctl, SysctlKey, SysctlValue, now};
use crate::error::{Error, Result};
use crate::name::{LinkName, Netns};
use crate::netns::Namespace;
use crate::recall::Transcript;
use crate::trust::{self, Fault};

/// What the sysctls that are ours were before: one line `KEY = VALUE` each, in the order of writing. The sysctl of a
/// link has the link's index behind its key (`KEY#INDEX = VALUE`): another link with its name, later, is not it. What
/// others were that the kernel changes with a sysctl is written `KEY > OTHER = VALUE`.
///
/// A namespace has one file, `COOKIE.sysctl`. In the host's own, which has links for all its guests, the sysctls of
/// links are in more of them, `COOKIE.sysctl.d/NUMBER`, each of [`LINKS`] links that came one after another: so the change
/// of one guest reads and writes a small part, however many guests there are, and all of a guest is mostly in one. Of the
/// files only those are read that are asked for.
///
/// A line that is none, and a file that others could have written, do no more harm than lost ones: they are passed over and
/// said ([`Self::complaints`]), and the file is written anew by the next who changes anything.
pub(super) struct Ledger {
    cookie: u64,
    is_host: bool,
    links: Arc<BTreeMap<LinkName, u32>>,
    /// The first line of a sysctl is the original; a second was written by someone who could not see the first.
    lines: HashMap<About, Line>,
    /// The files that were read; `None` are all that there are.
    read: Option<BTreeSet<File>>,
    /// Files in which something was forgotten, or that were damaged.
    dirty: BTreeSet<File>,
    /// What was passed over, a line for each file.
    complaints: Vec<String>,
}

/// What a line is about, which stands before the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct About {
    /// What was set, where the kernel changed this one with it.
    with: Option<SmolStr>,
    /// The key.
    path: SmolStr,
    /// The index of the link that it is a sysctl of.
    index: Option<u32>,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(with) = &self.with {
            write!(f, "{with} > ")?;
        }
        f.write_str(&self.path)?;
        self.index.map_or(Ok(()), |index| write!(f, "#{index}"))
    }
}

impl About {
    /// A line of a ledger; `None` where it is none.
    fn read(line: &[u8]) -> Option<(Self, SysctlValue)> {
        let (about, value) = std::str::from_utf8(line).ok()?.split_once(" = ")?;
        let (with, rest) = match about.split_once(" > ") {
            Some((with, rest)) => (Some(with), rest),
            None => (None, about),
        };
        let (path, index) =
            match rest.rsplit_once('#').and_then(|(path, index)| Some((path, index.parse().ok()?))) {
                Some((path, index)) => (path, Some(index)),
                None => (rest, None),
            };
        let key = |path: &str| path.parse::<SysctlKey>().ok().filter(|key| key.path == path);
        let is_whole = key(path).is_some_and(|key| key.link.is_some() == index.is_some());
        if !is_whole || with.is_some_and(|with| key(with).is_none()) {
            return None;
        }
        Some((Self { with: with.map(Into::into), path: path.into(), index }, value.parse().ok()?))
    }
}

/// Of how many links, by their indexes, the sysctls are in one file.
const LINKS: u32 = 32;

/// How many bytes of a file are read: what is longer was not written by guestnet.
const LONGEST: u64 = 16 << 20;

/// The file of the namespace, or the one of some of its links.
type File = Option<u32>;

/// A value, and the place of its line.
struct Line {
    place: usize,
    value: SmolStr,
}

impl Ledger {
    fn path(cookie: u64, file: File) -> PathBuf {
        match file {
            None => format!("{STATE}/{cookie}.sysctl").into(),
            Some(number) => format!("{STATE}/{cookie}.sysctl.d/{number}").into(),
        }
    }

    /// Reads all of it, and says to whoever attends what is read.
    pub(super) fn read(namespace: &Namespace, mut transcript: Option<&mut Transcript>) -> Result<Self> {
        let mut ledger = Self::empty(namespace);
        #[cfg(feature = "replay")]
        if namespace.is_played() {
            return Ok(ledger);
        }
        let mut reads = |path: &Path| transcript.as_mut().is_none_or(|t| t.reads(path));
        if reads(&Self::path(ledger.cookie, None)) {
            ledger.load(None)?;
        }
        let directory = Self::path(ledger.cookie, Some(0)).with_file_name("");
        if ledger.is_host && reads(&directory) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                    reads(&entry.path());
                    ledger.load(Some(number))?;
                }
            }
        }
        ledger.read = None;
        Ok(ledger)
    }

    /// The ledger that the namespace knows, or else a new one; with what it says of `keys` read.
    pub(super) fn of<'a>(
        namespace: &mut Namespace,
        keys: impl Iterator<Item = &'a SysctlKey>,
    ) -> Result<Self> {
        let mut ledger = namespace.sysctls.ledger.take().unwrap_or_else(|| Self::empty(namespace));
        ledger.links = namespace.link_indexes();
        let files: BTreeSet<File> = keys.filter_map(|key| Some(ledger.file(&ledger.about(key)?))).collect();
        for file in files {
            if ledger.read.as_mut().is_some_and(|read| read.insert(file)) {
                ledger.load(file)?;
            }
        }
        Ok(ledger)
    }

    /// What it says of the links with these indexes and of those beside them, and not of these any more.
    pub(super) fn of_links(namespace: &Namespace, indexes: &[u32]) -> Result<Self> {
        let mut ledger = Self::empty(namespace);
        let about = |index| About { with: None, path: SmolStr::default(), index: Some(index) };
        let files: BTreeSet<File> = indexes.iter().map(|index| ledger.file(&about(*index))).collect();
        files.into_iter().try_for_each(|file| ledger.load(file))?;
        let gone = |about: &&About| about.index.is_some_and(|index| indexes.contains(&index));
        let gone: Vec<About> = ledger.lines.keys().filter(gone).cloned().collect();
        gone.iter().for_each(|about| drop(ledger.remove(about)));
        Ok(ledger)
    }

    fn empty(namespace: &Namespace) -> Self {
        Self {
            is_host: *namespace.netns() == Netns::Host,
            links: namespace.link_indexes(),
            read: Some(BTreeSet::new()),
            ..Self::of_new(namespace.cookie())
        }
    }

    /// That of a namespace that was just made.
    pub(super) fn of_new(cookie: u64) -> Self {
        Self {
            cookie,
            is_host: false,
            links: Arc::default(),
            lines: HashMap::new(),
            read: None,
            dirty: BTreeSet::new(),
            complaints: Vec::new(),
        }
    }

    fn load(&mut self, file: File) -> Result<()> {
        let path = Self::path(self.cookie, file);
        let failed = |e| Error::io(format!("read {}", path.display()), e);
        if !path.parent().map_or(Ok(false), trust::directory)? {
            return Ok(());
        }
        let mut bytes = Vec::new();
        match trust::open(&path, OpenOptions::new().read(true)) {
            Ok(file) => drop(file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?),
            Err(Fault::Io(e)) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(Fault::Io(e)) => return Err(failed(e)),
            Err(fault) => {
                self.complain(file, &path, &format!("it {fault}"));
                return Ok(());
            }
        }
        let bad = self.learn_all(&bytes);
        if bad > 0 {
            self.complain(file, &path, &format!("{bad} of its lines are none"));
        }
        Ok(())
    }

    /// Takes what a file says; how many of its lines are none.
    pub(super) fn learn_all(&mut self, bytes: &[u8]) -> usize {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        // What is behind the last line feed is nothing, or the start of a line whose writer was stopped.
        let torn = lines.next_back().is_some_and(|rest| !rest.is_empty());
        let mut bad = usize::from(torn);
        for line in lines {
            match About::read(line) {
                Some((about, value)) => self.learn(about, value.0),
                None => bad += 1,
            }
        }
        bad
    }

    fn complain(&mut self, file: File, path: &Path, why: &str) {
        self.dirty.insert(file);
        self.complaints.push(format!(
            "{}, which says what sysctls were before, was not believed: {why}; what it said of them is lost, and they will \
             stay as they are",
            path.display()
        ));
    }

    /// What was passed over, a line for each file.
    pub(super) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// The file that a line belongs to.
    fn file(&self, about: &About) -> File {
        about.index.filter(|_| self.is_host && about.with.is_none()).map(|index| index / LINKS)
    }

    fn learn(&mut self, about: About, value: SmolStr) {
        // What was forgotten meanwhile leaves a gap, so there may be a line of this place: both are of one writing then.
        let place = self.lines.len();
        self.lines.entry(about).or_insert(Line { place, value });
    }

    /// What a line about `key` would be about; `None` where there is no such link, as far as links are known.
    fn about(&self, key: &SysctlKey) -> Option<About> {
        let index = match &key.link {
            Some(link) => Some(*self.links.get(link)?),
            None => None,
        };
        Some(About { with: None, path: key.path.clone(), index })
    }

    /// The key that a line is about, if it is one of this namespace now.
    fn key(&self, about: &About) -> Option<SysctlKey> {
        let key: SysctlKey = about.path.parse().ok()?;
        (self.about(&key)?.index == about.index).then_some(key)
    }

    /// Whether `key` is ours.
    pub(super) fn contains(&self, key: &SysctlKey) -> bool {
        self.about(key).is_some_and(|about| self.lines.contains_key(&about))
    }

    /// What `key` was before it was ours.
    pub(super) fn was(&self, key: &SysctlKey) -> Option<SysctlValue> {
        self.lines.get(&self.about(key)?)?.value.parse().ok()
    }

    /// The sysctls that are ours. Those of links that are not known are not among them.
    pub(super) fn keys(&self) -> impl Iterator<Item = SysctlKey> {
        self.lines.keys().filter(|about| about.with.is_none()).filter_map(|about| self.key(about))
    }

    /// Notes what `keys` are, on the disk before they are changed.
    pub(super) fn note<'a>(
        &mut self,
        namespace: &Namespace,
        keys: impl Iterator<Item = &'a SysctlKey>,
    ) -> Result<()> {
        let mut texts: BTreeMap<File, String> = BTreeMap::new();
        self.lines.reserve(keys.size_hint().1.unwrap_or_default());
        for key in keys {
            let Some(about) = self.about(key).filter(|about| !self.lines.contains_key(about)) else {
                continue;
            };
            let Some(was) = now(namespace, key) else { continue };
            let others = changed_with(namespace, key, &was).into_iter().filter_map(|other| {
                Some((About { with: Some(key.path.clone()), ..self.about(&other.key)? }, other.value.0))
            });
            for (about, value) in others.chain([(about, was.0)]).collect::<Vec<_>>() {
                let _ = writeln!(texts.entry(self.file(&about)).or_default(), "{about} = {value}");
                self.learn(about, value);
            }
        }
        // Each file at once: either all of it is there after a kill, or nothing.
        for (file, text) in texts {
            if self.dirty.contains(&file) {
                self.rewrite(file)?;
                self.dirty.remove(&file);
            } else {
                append(&Self::path(self.cookie, file), &text)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, about: &About) -> Option<Line> {
        let line = self.lines.remove(about)?;
        self.dirty.insert(self.file(about));
        Some(line)
    }

    /// Forgets `key`; what others were that were changed with it.
    pub(super) fn forget(&mut self, key: &SysctlKey) -> BTreeMap<SysctlKey, SysctlValue> {
        if let Some(about) = self.about(key) {
            self.remove(&about);
        }
        let with: Vec<About> =
            self.lines.keys().filter(|about| about.with.as_ref() == Some(&key.path)).cloned().collect();
        with.into_iter()
            .filter_map(|about| {
                let was = self.remove(&about)?;
                Some((self.key(&about)?, was.value.parse().ok()?))
            })
            .collect()
    }

    /// The lines about sysctls of links that are gone. For those who know all links of the namespace.
    fn gone(&self) -> impl Iterator<Item = &About> {
        self.lines.keys().filter(|about| self.key(about).is_none())
    }

    /// Whether there are sysctls of links that are gone, as after a kill, or lines that are none. For those who know all
    /// links of the namespace.
    pub(super) fn is_stale(&self) -> bool {
        !self.complaints.is_empty() || self.gone().next().is_some()
    }

    /// Forgets the sysctls of links that are gone. For those who know all links of the namespace.
    pub(super) fn forget_gone(&mut self) {
        let gone: Vec<About> = self.gone().cloned().collect();
        gone.iter().for_each(|about| drop(self.remove(about)));
    }

    /// Writes anew the files in which something was forgotten.
    pub(super) fn tidy(&mut self) -> Result<()> {
        std::mem::take(&mut self.dirty).into_iter().try_for_each(|file| self.rewrite(file))
    }

    /// Writes a file anew, or removes it where there is nothing to be said.
    fn rewrite(&self, file: File) -> Result<()> {
        let path = Self::path(self.cookie, file);
        let failed = |e| Error::io(format!("write {}", path.display()), e);
        trust::make_directory(path.parent().unwrap_or(&path), 0o700)?;
        let text = self.text(file);
        if text.is_empty() {
            match fs::remove_file(&path) {
                // An older guestnet kept all of it in one file.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(failed)?,
            }
            if file.is_some() {
                // Only the last of them succeeds.
                let _ = path.parent().map(fs::remove_dir);
            }
            return Ok(());
        }
        trust::replace(&path, &path.with_extension("new"), |file| file.write_all(text.as_bytes()))
            .map_err(failed)
    }

    /// What is to stand in a file.
    pub(super) fn text(&self, file: File) -> String {
        let mut lines: Vec<(&About, &Line)> =
            self.lines.iter().filter(|(about, _)| self.file(about) == file).collect();
        lines.sort_unstable_by_key(|(about, line)| (line.place, *about));
        let line = |(about, line): (&About, &Line)| format!("{about} = {}\n", line.value);
        lines.into_iter().map(line).collect()
    }

    /// Removes the ledger of a namespace that is gone and was not the host's.
    pub(super) fn destroy(cookie: u64) {
        let _ = fs::remove_file(Self::path(cookie, None));
    }
}

fn append(path: &Path, text: &str) -> Result<()> {
    trust::make_directory(path.parent().unwrap_or(path), 0o700)?;
    let file = trust::create(path, OpenOptions::new().append(true));
    let mut file = file.map_err(|fault| fault.about(path))?;
    file.write_all(text.as_bytes()).map_err(|e| Error::io(format!("write {}", path.display()), e))
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
    let forwarding =
        others(namespace, family, was).into_iter().map(|link| (link, "forwarding", was.0.as_str()));
    // Redirects are for those who do not forward; in IPv6 the kernel decides that when one comes.
    let again = if was.0 == "0" { "1" } else { "0" };
    let redirects = (family == "ipv4").then(|| ("all".to_owned(), "accept_redirects", again));
    let changed = forwarding.chain(redirects).filter_map(|(whose, parameter, again)| {
        let key: SysctlKey = format!("net/{family}/conf/{whose}/{parameter}").parse().ok()?;
        let value = now(namespace, &key).filter(|value| value.0 != again)?;
        Some(Sysctl { key, value })
    });
    changed.collect()
}

/// Whose `forwarding` in `conf` of `family` may be another than `was`: links, and `default`.
fn others(namespace: &Namespace, family: &str, was: &SysctlValue) -> Vec<String> {
    let Some(links) = namespace.all_links() else {
        let entries = fs::read_dir(format!("/proc/sys/net/{family}/conf")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        return names.filter(|name| name != "all").collect();
    };
    let told =
        |link: &&LinkName| namespace.link_setting(link, family, "forwarding").map(|now| now.to_smolstr());
    let differ = links.filter(|link| told(link).is_none_or(|now| now != was.0));
    differ.map(ToString::to_string).chain(["default".to_owned()]).collect()
}
