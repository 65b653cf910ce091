//! What sysctls were before they were ours, on the disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{STATE, Sysctl, SysctlKey, SysctlValue, read};
use crate::error::{Error, Result};
use crate::name::LinkName;
use crate::netns::Namespace;

/// What the sysctls that are ours were before: one line `KEY = VALUE` each, in the order of writing. The sysctl of a
/// link has the link's index behind its key (`KEY#INDEX = VALUE`): another link with its name, later, is not it. What
/// others were that the kernel changes with a sysctl is written `KEY > OTHER = VALUE`.
///
/// Lines are kept as text: a host has many, and of most a change has nothing to say.
pub(super) struct Ledger {
    cookie: u64,
    links: Arc<BTreeMap<LinkName, u32>>,
    /// Values by what stands before them. The first of a key is the original; a second was written by someone who could
    /// not see the first.
    lines: HashMap<String, Line>,
    dirty: bool,
}

/// A value, and the place of its line.
struct Line {
    place: usize,
    value: String,
}

impl Ledger {
    pub(super) fn path(cookie: u64) -> PathBuf {
        Path::new(STATE).join(format!("{cookie}.sysctl"))
    }

    pub(super) fn read(namespace: &Namespace) -> Result<Self> {
        let (cookie, links) = (namespace.cookie(), namespace.link_indexes());
        let path = Self::path(cookie);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|e| Error::io(format!("read {}", path.display()), e))?,
        };
        let mut ledger = Self { cookie, links, lines: HashMap::new(), dirty: false };
        for (name, value) in text.lines().filter_map(|line| line.split_once(" = ")) {
            ledger.learn(name.to_owned(), value.to_owned());
        }
        Ok(ledger)
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
    pub(super) fn note<'a>(&mut self, keys: impl Iterator<Item = &'a SysctlKey>) -> Result<()> {
        let mut text = String::new();
        for key in keys {
            let Some(name) = self.name(key).filter(|name| !self.lines.contains_key(name)) else { continue };
            let Some(was) = read(key.clone()) else { continue };
            let own = changed_with(key).into_iter().filter_map(|other| {
                Some((format!("{key} > {}", self.name(&other.key)?), other.value.to_string()))
            });
            for (name, value) in own.chain([(name, was.value.to_string())]).collect::<Vec<_>>() {
                let _ = writeln!(text, "{name} = {value}");
                self.learn(name, value);
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        let path = Self::path(self.cookie);
        let failed = |e| Error::io(format!("write {}", path.display()), e);
        let open = || fs::OpenOptions::new().create(true).append(true).open(&path);
        let mut file = match open() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(STATE).and_then(|()| open()).map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        // At once: either all of it is there after a kill, or nothing.
        file.write_all(text.as_bytes()).map_err(failed)
    }

    /// Forgets `key`; what others were that were changed with it.
    pub(super) fn forget(&mut self, key: &SysctlKey) -> BTreeMap<SysctlKey, SysctlValue> {
        if let Some(name) = self.name(key) {
            self.dirty |= self.lines.remove(&name).is_some();
        }
        let mark = format!("{key} > ");
        let with: Vec<String> = self.lines.keys().filter(|name| name.starts_with(&mark)).cloned().collect();
        self.dirty |= !with.is_empty();
        with.into_iter()
            .filter_map(|name| {
                let was = self.lines.remove(&name)?;
                Some((self.key(name.strip_prefix(&mark)?)?, was.value.parse().ok()?))
            })
            .collect()
    }

    /// Forgets the sysctls of links that are gone. For those who know all links of the namespace.
    pub(super) fn forget_gone(&mut self) {
        let gone = |name: &&String| self.key(name.rsplit(" > ").next().unwrap_or(name)).is_none();
        let gone: Vec<String> = self.lines.keys().filter(gone).cloned().collect();
        self.dirty |= !gone.is_empty();
        for name in gone {
            self.lines.remove(&name);
        }
    }

    /// Forgets those of `keys` whose links are gone, with whatever index they had.
    pub(super) fn forget_gone_of<'a>(&mut self, keys: impl Iterator<Item = &'a SysctlKey>) {
        let keys: HashSet<String> =
            keys.filter(|key| self.name(key).is_none()).map(ToString::to_string).collect();
        let gone = |name: &String| {
            let name = name.rsplit(" > ").next().unwrap_or(name);
            name.rsplit_once('#').is_some_and(|(key, _)| keys.contains(key))
        };
        let before = self.lines.len();
        self.lines.retain(|name, _| !gone(name));
        self.dirty |= self.lines.len() < before;
    }

    /// Writes the ledger anew where something was forgotten.
    pub(super) fn tidy(&mut self) -> Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let path = Self::path(self.cookie);
        let failed = |e| Error::io(format!("write {}", path.display()), e);
        if self.lines.is_empty() {
            return fs::remove_file(&path).map_err(failed);
        }
        let mut lines: Vec<(&String, &Line)> = self.lines.iter().collect();
        lines.sort_unstable_by_key(|(name, line)| (line.place, *name));
        let text: String =
            lines.into_iter().map(|(name, line)| format!("{name} = {}\n", line.value)).collect();
        let fresh = path.with_extension("sysctl.new");
        fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path)).map_err(failed)
    }
}

/// The sysctls that the kernel changes by itself when `key` is written, as they are (`inet_forward_change`,
/// `addrconf_forward_change`).
fn changed_with(key: &SysctlKey) -> Vec<Sysctl> {
    let family = match key.path.as_str() {
        "net/ipv4/ip_forward" | "net/ipv4/conf/all/forwarding" => "ipv4",
        "net/ipv6/conf/all/forwarding" => "ipv6",
        _ => return Vec::new(),
    };
    let conf = format!("net/{family}/conf");
    let entries = fs::read_dir(Path::new("/proc/sys").join(&conf)).into_iter().flatten().flatten();
    let of_links = entries.map(|entry| format!("{conf}/{}/forwarding", entry.file_name().to_string_lossy()));
    let all = of_links.chain([format!("{conf}/all/accept_redirects")]);
    let all = all.filter(|path| !path.ends_with("all/forwarding"));
    all.filter_map(|path| path.parse().ok()).filter_map(read).collect()
}
