//! What sysctls were before they were ours, on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{STATE, Sysctl, SysctlKey, SysctlValue, read};
use crate::error::{Error, Result};
use crate::name::LinkName;
use crate::netns::Namespace;

/// What the sysctls that are ours were before: one line `KEY = VALUE` each, in the order of writing. The sysctl of a
/// link has the link's index behind its key (`KEY#INDEX = VALUE`): another link with its name, later, is not it.
pub(super) struct Ledger {
    cookie: u64,
    links: BTreeMap<LinkName, u32>,
    pub(super) was: BTreeMap<SysctlKey, SysctlValue>,
    /// What others were that the kernel changed with it, written `KEY > OTHER = VALUE`.
    with: BTreeMap<SysctlKey, BTreeMap<SysctlKey, SysctlValue>>,
    dirty: bool,
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
        let mut ledger = Self { cookie, links, was: BTreeMap::new(), with: BTreeMap::new(), dirty: false };
        for (name, value) in text.lines().filter_map(|line| line.split_once(" = ")) {
            let (of, name) =
                name.split_once(" > ").map_or((None, name), |(of, name)| (of.parse().ok(), name));
            let key = name.rsplit_once('#').map_or(name, |(key, _)| key);
            match (key.parse::<SysctlKey>(), value.parse::<SysctlValue>()) {
                // The first is the original; a second was written by someone who could not see the first.
                (Ok(key), Ok(value)) if ledger.name(&key).as_deref() == Some(name) => {
                    let was = match of {
                        Some(of) => ledger.with.entry(of).or_default(),
                        None => &mut ledger.was,
                    };
                    was.entry(key).or_insert(value);
                }
                _ => ledger.dirty = true,
            }
        }
        Ok(ledger)
    }

    /// How `key` is written; `None` where there is no such link.
    fn name(&self, key: &SysctlKey) -> Option<String> {
        match &key.link {
            Some(link) => self.links.get(link).map(|index| format!("{key}#{index}")),
            None => Some(key.to_string()),
        }
    }

    /// Notes the original value of `key`, on the disk before the sysctl is changed.
    pub(super) fn note(&mut self, key: &SysctlKey, was: Option<SysctlValue>) -> Result<()> {
        let (Some(was), Some(name)) = (was.filter(|_| !self.was.contains_key(key)), self.name(key)) else {
            return Ok(());
        };
        let path = Self::path(self.cookie);
        let failed = |e| Error::io(format!("write {}", path.display()), e);
        fs::create_dir_all(STATE).map_err(failed)?;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        self.with.insert(key.clone(), changed_with(key).into_iter().map(|s| (s.key, s.value)).collect());
        self.was.insert(key.clone(), was);
        // At once: either all of it is there after a kill, or nothing.
        file.write_all(self.lines(key, &name).as_bytes()).map_err(failed)
    }

    fn lines(&self, key: &SysctlKey, name: &str) -> String {
        let others = self.with.get(key).into_iter().flatten();
        let others =
            others.filter_map(|(other, was)| Some(format!("{key} > {} = {was}\n", self.name(other)?)));
        let own = self.was.get(key).map(|was| format!("{name} = {was}\n"));
        others.chain(own).collect()
    }

    /// Forgets `key`; what others were that were changed with it.
    pub(super) fn forget(&mut self, key: &SysctlKey) -> BTreeMap<SysctlKey, SysctlValue> {
        self.dirty |= self.was.remove(key).is_some();
        self.with.remove(key).unwrap_or_default()
    }

    /// Writes the ledger anew where something was forgotten.
    pub(super) fn tidy(&mut self) -> Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let path = Self::path(self.cookie);
        let failed = |e| Error::io(format!("write {}", path.display()), e);
        if self.was.is_empty() {
            return fs::remove_file(&path).map_err(failed);
        }
        let text: String =
            self.was.keys().filter_map(|key| Some(self.lines(key, &self.name(key)?))).collect();
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
