//! Sysctls of the network: `/proc/sys/net`, which every namespace has its own of.
//!
//! The kernel has no mark for a sysctl. What ours were before is kept in a ledger, one file for each namespace,
//! written before the sysctl is: so a removal restores them, also after a kill. A sysctl that already has the
//! wanted value is left to whoever set it.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::act::Deed;
use crate::checked_text;
use crate::diff::Change;
use crate::error::{Error, Result};
use crate::kind::{Context, Kind, Outbox, Phase, Ripple, Step};
use crate::name::LinkName;
use crate::netns::Namespace;
use crate::set::{Foreign, Object, Observed, Set};

mod ledger;

use ledger::Ledger;

/// Where ledgers and locks are kept; goes with the boot, as the kernel's objects do.
pub const STATE: &str = "/run/guestnet/.host";

/// A sysctl and its value: `sysctl -w net/ipv4/ip_forward=1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// Which: `net/ipv4/conf/tap0/proxy_arp`, or with dots where no part contains one.
    pub key: SysctlKey,
    /// Its value as the kernel prints it, without the line end.
    pub value: SysctlValue,
}

/// The path of a sysctl below `/proc/sys`, starting with `net/`.
///
/// Ordered so that what sets others comes first: plain ones, then `conf/all`, `conf/default`, then interfaces. The
/// `accept_ra` of an interface comes before all of `conf`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SysctlKey {
    rank: u8,
    path: String,
    link: Option<LinkName>,
}

/// The value of a sysctl: 1 to 64 printable characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SysctlValue(String);

/// Why a text names no sysctl or is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SysctlError(String);

impl FromStr for SysctlKey {
    type Err = SysctlError;

    fn from_str(text: &str) -> std::result::Result<Self, SysctlError> {
        let path = if text.contains('/') { text.to_owned() } else { text.replace('.', "/") };
        let refuse = |why: &str| Err(SysctlError(format!("{text:?} is no sysctl of the network: {why}")));
        let parts: Vec<&str> = path.split('/').collect();
        if parts[0] != "net" || parts.len() < 3 {
            return refuse("it starts with net/ and names at least a group and a value");
        }
        if parts.iter().any(|part| part.is_empty() || part.starts_with("..") || *part == ".") {
            return refuse("a part of it is empty or dots");
        }
        if let Some(c) = path.chars().find(|c| !c.is_ascii_graphic()) {
            return refuse(&format!("{c:?} cannot stand in it"));
        }
        let (rank, link) = match parts[..] {
            // Without this being 2, `conf/all/forwarding` takes away the default route that a router has announced.
            [_, "ipv6", "conf", link, "accept_ra"] if link != "all" && link != "default" => {
                (0, Some(link.parse().map_err(|e: crate::name::NameError| SysctlError(e.to_string()))?))
            }
            [_, "ipv4" | "ipv6", "conf" | "neigh", "all", _] => (1, None),
            [_, "ipv4" | "ipv6", "conf" | "neigh", "default", _] => (2, None),
            [_, "ipv4" | "ipv6", "conf" | "neigh", link, _] => {
                (3, Some(link.parse().map_err(|e: crate::name::NameError| SysctlError(e.to_string()))?))
            }
            _ => (0, None),
        };
        Ok(Self { rank, path, link })
    }
}

impl FromStr for SysctlValue {
    type Err = SysctlError;

    fn from_str(text: &str) -> std::result::Result<Self, SysctlError> {
        if text.is_empty()
            || text.len() > 64
            || text.chars().any(|c| !c.is_ascii_graphic() && c != ' ' && c != '\t')
        {
            return Err(SysctlError(format!(
                "{text:?} is no value of a sysctl: 1 to 64 printable characters"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

checked_text!(SysctlKey, SysctlError);
checked_text!(SysctlValue, SysctlError);

impl fmt::Display for SysctlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl fmt::Display for SysctlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Parameters of one interface that concern nothing else.
const CALM: [&str; 12] = [
    "accept_dad",
    "accept_ra",
    "accept_redirects",
    "accept_source_route",
    "arp_accept",
    "arp_announce",
    "arp_ignore",
    "forwarding",
    "proxy_arp",
    "proxy_ndp",
    "rp_filter",
    "send_redirects",
];

impl SysctlKey {
    /// What setting it may change besides itself.
    fn ripple(&self) -> Ripple {
        match self.path.split('/').collect::<Vec<_>>()[..] {
            ["net", "ipv4", "ip_forward"] => Ripple::Settings,
            ["net", _, "conf", "all" | "default", parameter] if CALM.contains(&parameter) => Ripple::Settings,
            ["net", _, "conf", _, parameter] if CALM.contains(&parameter) => Ripple::None,
            ["net", _, "neigh", ..] => Ripple::None,
            ["net", "ipv4" | "ipv6", parameter] if parameter.contains("fwmark") => Ripple::None,
            _ => Ripple::Anything,
        }
    }

    fn file(&self) -> PathBuf {
        Path::new("/proc/sys").join(&self.path)
    }
}

impl Sysctl {
    /// `parameter` of the interface `link`, for instance `ipv4`, `proxy_arp`: `net/ipv4/conf/LINK/proxy_arp`.
    ///
    /// # Errors
    /// When the parts do not make a key or a value.
    pub fn of_link(
        family: &str,
        link: &LinkName,
        parameter: &str,
        value: &str,
    ) -> std::result::Result<Self, SysctlError> {
        Ok(Self { key: format!("net/{family}/conf/{link}/{parameter}").parse()?, value: value.parse()? })
    }

    /// The sysctl `key` with `value`.
    ///
    /// # Errors
    /// When they are no key or no value.
    pub fn new(key: &str, value: &str) -> std::result::Result<Self, SysctlError> {
        Ok(Self { key: key.parse()?, value: value.parse()? })
    }
}

impl Object for Sysctl {
    type Key = SysctlKey;
    const KIND: &'static str = "sysctl";

    fn key(&self) -> SysctlKey {
        self.key.clone()
    }

    /// What concerns the namespace as a whole, others there may need as well.
    fn less(&self, _gone: &Self) -> Option<Self> {
        self.key.link.is_none().then(|| self.clone())
    }
}

impl Kind for Sysctl {
    const PHASES: &'static [Phase] = &[Phase::Settings];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let ledger = namespace.noting(Ledger::read)?;
        let more = ledger.keys().filter(|key| !wanted.contains(key));
        let keys = wanted.iter().map(Object::key).chain(more).collect();
        look(namespace, wanted, &ledger, keys)
    }

    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        if wanted.is_empty() {
            return Ok(Observed::default());
        }
        let ledger = Ledger::of(namespace, wanted.iter().map(|sysctl| &sysctl.key))?;
        look(namespace, wanted, &ledger, wanted.iter().map(Object::key).collect())
    }

    fn ripple(change: &Change<Self>) -> Ripple {
        let key = match change {
            Change::Create(sysctl) | Change::Delete(sysctl) | Change::Replace { new: sysctl, .. } => {
                &sysctl.key
            }
        };
        key.ripple()
    }

    fn encode(change: &Change<Self>, _: Phase, _: &Context, out: &mut Outbox) -> Result<()> {
        out.act(match change {
            Change::Create(new) | Change::Replace { new, .. } => {
                Step::SetSysctl(new.key.clone(), new.value.to_string())
            }
            Change::Delete(old) => Step::RestoreSysctl(old.key.clone()),
        });
        Ok(())
    }

    fn lives_on(&self) -> Option<&LinkName> {
        self.key.link.as_ref()
    }
}

/// Reads the sysctls `keys`.
fn look(
    namespace: &mut Namespace,
    wanted: &Set<Sysctl>,
    ledger: &Ledger,
    keys: Vec<SysctlKey>,
) -> Result<Observed<Sysctl>> {
    if keys.is_empty() {
        return Ok(Observed::default());
    }
    let there =
        keys.into_iter().filter(|key| key.link.as_ref().is_none_or(|link| namespace.knows_link(link)));
    let (told, rest): (Vec<_>, Vec<_>) =
        there.map(|key| (told(namespace, &key), key)).partition(|(value, _)| value.is_some());
    let told = told.into_iter().filter_map(|(value, key)| Some(Sysctl { key, value: value? }));
    let mut found: Vec<Sysctl> = told.collect();
    if !rest.is_empty() {
        let read = |(_, key): (_, SysctlKey)| (value(&key), key);
        let read = namespace.inside(|| Ok(rest.into_iter().map(read).collect::<Vec<_>>()))?;
        namespace.noting(|_, transcript| {
            let noted = read.iter().map(|(value, key)| (key.clone(), value.clone()));
            transcript.into_iter().for_each(|t| t.sysctls.extend(noted.clone()));
        });
        found.extend(read.into_iter().filter_map(|(value, key)| Some(Sysctl { key, value: value? })));
    }
    let mut observed = Observed::default();
    for sysctl in found {
        if ledger.contains(&sysctl.key) {
            observed.ours.insert(sysctl);
        } else if wanted.get(&sysctl.key).is_some_and(|want| want.accepts(&sysctl)) {
            let foreign = Foreign { what: sysctl.to_string(), satisfies: true };
            observed.foreign.insert(sysctl.key, foreign);
        }
    }
    Ok(observed)
}

/// The value as a message of its link told it, if there was one.
fn told(namespace: &Namespace, key: &SysctlKey) -> Option<SysctlValue> {
    let ["net", family, "conf", _, parameter] = key.path.split('/').collect::<Vec<_>>()[..] else {
        return None;
    };
    let value = namespace.link_setting(key.link.as_ref()?, family, parameter)?;
    Some(SysctlValue(value.to_string()))
}

/// The present value, `None` where the sysctl does not exist. For those who are inside the namespace.
fn now(namespace: &Namespace, key: &SysctlKey) -> Option<SysctlValue> {
    told(namespace, key).or_else(|| value(key))
}

/// The value in its file, `None` where the sysctl does not exist or is not one. For those who are inside the namespace.
pub(crate) fn value(key: &SysctlKey) -> Option<SysctlValue> {
    value_of(&fs::File::open(key.file()).ok()?)
}

fn value_of(file: &fs::File) -> Option<SysctlValue> {
    // More than the longest value; a read of a sysctl gives all of it at once.
    let mut buffer = [0; 128];
    let length = file.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    text.trim_end_matches('\n').parse().ok()
}

/// Carries out `SetSysctl` and `RestoreSysctl` steps in `namespace`, in order; one result for each. All that are going
/// to be set are noted before the first of them is.
///
/// # Errors
/// When the namespace cannot be entered or its ledger cannot be read or written; then nothing was done.
pub fn carry_out(namespace: &mut Namespace, steps: &[Step]) -> Result<Vec<Result<()>>> {
    let results = set(namespace, steps);
    namespace.forget_settings();
    results
}

fn set(namespace: &Namespace, steps: &[Step]) -> Result<Vec<Result<()>>> {
    let keys = steps.iter().filter_map(|step| match step {
        Step::SetSysctl(key, _) | Step::RestoreSysctl(key) => Some(key),
        _ => None,
    });
    let mut ledger = Ledger::of(namespace, keys)?;
    namespace.inside(move || {
        ledger.note(
            namespace,
            steps.iter().filter_map(|step| match step {
                Step::SetSysctl(key, _) => Some(key),
                _ => None,
            }),
        )?;
        let results = steps
            .iter()
            .map(|step| match step {
                Step::SetSysctl(key, value) => write(namespace, key, value),
                Step::RestoreSysctl(key) => {
                    if let Some(was) = ledger.was(key).filter(|_| key.file().exists()) {
                        write(namespace, key, &was.0)?;
                    }
                    for (key, was) in ledger.forget(key) {
                        write(namespace, &key, &was.0)?;
                    }
                    Ok(())
                }
                _ => Ok(()),
            })
            .collect();
        ledger.tidy()?;
        Ok(results)
    })
}

/// Sets a sysctl, and looks whether it is what it was set to: the kernel takes some values and keeps another.
fn write(namespace: &Namespace, key: &SysctlKey, value: &str) -> Result<()> {
    namespace.tell(Deed::SetSysctl(key, value));
    let failed = |e| Error::io(format!("set sysctl {key} to {value}"), e);
    let file = fs::OpenOptions::new().read(true).write(true).open(key.file()).map_err(failed)?;
    (&file).write_all(value.as_bytes()).map_err(failed)?;
    match value_of(&file) {
        Some(now) if now.0 == value => Ok(()),
        Some(now) => {
            Err(Error::Unsupported(format!("sysctl {key} was set to {value} and is {now}: say that")))
        }
        None => Err(Error::Unsupported(format!("sysctl {key} cannot be read back, so it is no setting"))),
    }
}

/// Forgets what the sysctls of links were that are gone from `namespace`. For those who have just read all links of it.
///
/// # Errors
/// `Io` when the ledger cannot be read or written.
pub fn tidy(namespace: &Namespace) -> Result<()> {
    let mut ledger = Ledger::read(namespace, None)?;
    ledger.forget_gone();
    ledger.tidy()
}

/// Forgets what the sysctls of a namespace were, because it is gone.
pub fn forget(cookie: u64) {
    Ledger::destroy(cookie);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_so_that_all_comes_before_its_interfaces() {
        let mut keys: Vec<SysctlKey> =
            ["net.ipv4.conf.aaa.proxy_arp", "net/ipv4/conf/default/x", "net/ipv4/conf/all/x"]
                .iter()
                .chain(&["net.ipv4.ip_forward"])
                .map(|k| k.parse().unwrap())
                .collect();
        keys.sort();
        let paths: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let wanted = [
            "net/ipv4/ip_forward",
            "net/ipv4/conf/all/x",
            "net/ipv4/conf/default/x",
            "net/ipv4/conf/aaa/proxy_arp",
        ];
        assert_eq!(paths, wanted);
    }

    #[test]
    fn nothing_outside_of_the_network_is_a_key() {
        for bad in ["kernel/panic", "net/../kernel/panic", "net/ipv4//x", "net", "net/ipv4", "net/a/b\n"] {
            assert!(bad.parse::<SysctlKey>().is_err(), "{bad:?}");
        }
        let dotted: SysctlKey = "net/ipv4/conf/eth0.100/proxy_arp".parse().unwrap();
        assert_eq!(dotted.link.unwrap().as_str(), "eth0.100");
    }
}
