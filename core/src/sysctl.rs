//! Sysctls of the network: `/proc/sys/net`, which every namespace has its own of.
//!
//! The kernel has no mark for a sysctl. What ours were before is kept in a ledger, one file for each namespace,
//! written before the sysctl is: so a removal restores them, also after a kill. A sysctl that already has the
//! wanted value is left to whoever set it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use smol_str::ToSmolStr;

use crate::act::Deed;
use crate::diff::Change;
use crate::error::{Error, Result};
use crate::kind::{Context, Kind, Outbox, Phase, Ripple, Step};
use crate::name::{LinkName, Netns};
use crate::netns::Namespace;
use crate::set::{Foreign, Object, Observed, Set};

mod key;
mod known;
mod ledger;

pub use key::{SysctlError, SysctlKey, SysctlValue};
pub(crate) use known::Known;
use known::Read;
use ledger::Ledger;

/// What a file of a ledger comes to when it is written again, and how many of its lines are none.
#[cfg(feature = "fuzz")]
pub fn read_ledger(bytes: &[u8]) -> (String, usize) {
    let mut ledger = Ledger::of_new(0);
    let bad = ledger.learn_all(bytes);
    (ledger.text(None), bad)
}

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

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
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
        let key = ["net/", family, "/conf/", link.as_str(), "/", parameter].concat();
        Ok(Self { key: key.parse()?, value: value.parse()? })
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
    /// It is restored when the links are gone that were there under it, behind which is [`Phase::Filters`].
    const PHASES: &'static [Phase] = &[Phase::Settings, Phase::Filters];

    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let ledger = namespace.noting(Ledger::read)?;
        namespace.sysctls.is_stale = ledger.is_stale();
        namespace.sysctls.complaints = ledger.complaints().to_vec();
        let more = ledger.keys().filter(|key| !wanted.contains(key));
        let keys = wanted.iter().map(Object::key).chain(more).collect();
        look(namespace, wanted, ledger, keys)
    }

    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        if wanted.is_empty() {
            return Ok(Observed::default());
        }
        namespace.sysctls.forget_ledger();
        let ledger = Ledger::of(namespace, wanted.iter().map(|sysctl| &sysctl.key))?;
        look(namespace, wanted, ledger, wanted.iter().map(Object::key).collect())
    }

    fn ripple(change: &Change<Self>) -> Ripple {
        match change {
            // What it was before may not be what its link is wanted to have.
            Change::Delete(gone) if gone.lives_on().is_some() => Ripple::Anything,
            _ => change.object().key.ripple(),
        }
    }

    fn encode(change: &Change<Self>, phase: Phase, _: &Context, out: &mut Outbox) -> Result<()> {
        match (change, phase) {
            (Change::Create(new) | Change::Replace { new, .. }, Phase::Settings) => {
                out.act(Step::SetSysctl(new.key.clone(), new.value.to_string()));
            }
            (Change::Delete(old), Phase::Filters) => out.act(Step::RestoreSysctl(old.key.clone())),
            _ => {}
        }
        Ok(())
    }

    fn lives_on(&self) -> Option<&LinkName> {
        self.key.link.as_ref()
    }
}

/// How many files are kept open from reading to writing.
const FEW: usize = 16;

/// Reads the sysctls `keys`.
fn look(
    namespace: &mut Namespace,
    wanted: &Set<Sysctl>,
    ledger: Ledger,
    mut keys: Vec<SysctlKey>,
) -> Result<Observed<Sysctl>> {
    namespace.sysctls.forget_values();
    keys.retain(|key| key.link.as_ref().is_none_or(|link| namespace.knows_link(link)));
    let (told, rest): (Vec<_>, Vec<_>) =
        keys.into_iter().map(|key| (told(namespace, &key), key)).partition(|(value, _)| value.is_some());
    let told = told.into_iter().filter_map(|(value, key)| Some(Sysctl { key, value: value? }));
    let mut found: Vec<Sysctl> = told.collect();
    if !rest.is_empty() {
        // Of the namespaces of guests there are too many.
        let is_host = *namespace.netns() == Netns::Host;
        let stay_open = namespace.sysctls.is_locked && is_host && rest.len() <= FEW;
        let keys: Vec<SysctlKey> = rest.into_iter().map(|(_, key)| key).collect();
        let read = known::read_in(namespace, &keys, if stay_open { Read::to_be_set } else { Read::of })?;
        let read: Vec<(Option<Read>, SysctlKey)> = read.into_iter().zip(keys).collect();
        namespace.noting(|_, transcript| {
            let value = |read: &Option<Read>| read.as_ref().map(|read| read.value.clone());
            let noted = read.iter().map(|(read, key)| (key.clone(), value(read)));
            transcript.into_iter().for_each(|t| t.sysctls.extend(noted.clone()));
        });
        let read = read.into_iter().filter_map(|(read, key)| Some((key, read?)));
        for (key, read) in read {
            found.push(Sysctl { key: key.clone(), value: read.value.clone() });
            namespace.sysctls.read.insert(key, read);
        }
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
    namespace.sysctls.ledger = Some(ledger);
    Ok(observed)
}

/// What the files of `keys` say, which are settings that belong to a link and stand in no ledger; `None` where there is no
/// such file.
pub(crate) fn read_each<'a>(
    namespace: &mut Namespace,
    keys: impl Iterator<Item = &'a SysctlKey>,
) -> Result<Vec<Option<SysctlValue>>> {
    let keys: Vec<SysctlKey> = keys.cloned().collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let values = values(namespace, &keys)?;
    namespace.noting(|_, transcript| {
        let noted = keys.iter().cloned().zip(values.iter().cloned());
        transcript.into_iter().for_each(|t| t.sysctls.extend(noted.clone()));
    });
    Ok(values)
}

/// The value as a message of its link told it, if there was one.
fn told(namespace: &Namespace, key: &SysctlKey) -> Option<SysctlValue> {
    let (link, family, parameter) = key.setting()?;
    let value = namespace.link_setting(link, family, parameter)?;
    Some(SysctlValue(value.to_smolstr()))
}

/// The value as of the last time that it was read, if it was; `None` where the sysctl does not exist. For those who are
/// inside the namespace.
fn now(namespace: &Namespace, key: &SysctlKey) -> Option<SysctlValue> {
    let read = || namespace.sysctls.read.get(key).map(|read| read.value.clone());
    told(namespace, key).or_else(read).or_else(|| value(key))
}

/// What the files of `keys` say now.
pub(crate) fn values(namespace: &Namespace, keys: &[SysctlKey]) -> Result<Vec<Option<SysctlValue>>> {
    let read = known::read_in(namespace, keys, Read::of)?;
    Ok(read.into_iter().map(|read| Some(read?.value)).collect())
}

/// The value in its file, `None` where the sysctl does not exist or is not one. For those who are inside the namespace.
fn value(key: &SysctlKey) -> Option<SysctlValue> {
    Some(Read::of(key)?.value)
}

/// Carries out `SetSysctl` and `RestoreSysctl` steps in `namespace`, in order; one result for each. All that are going
/// to be set are noted before the first of them is.
///
/// # Errors
/// When the namespace cannot be entered or its ledger cannot be read or written; then nothing was done.
pub fn carry_out(namespace: &mut Namespace, steps: &[Step]) -> Result<Vec<Result<()>>> {
    let in_ledger = |step: &&Step| !matches!(step, Step::SetOfLink(..));
    let results = if steps.iter().any(|step| in_ledger(&step)) {
        let mut ledger = Ledger::of(namespace, steps.iter().filter(in_ledger).filter_map(key_of))?;
        let read = namespace.inside(|| Ok(read_to_set(namespace, steps.iter().filter_map(to_be_set))))?;
        namespace.sysctls.read.extend(read);
        let results = namespace.inside(|| set(namespace, &mut ledger, steps));
        if results.is_ok() {
            namespace.sysctls.ledger = Some(ledger);
        }
        results
    } else {
        namespace.inside(|| Ok(steps.iter().map(|step| of_link(namespace, step)).collect()))
    };
    for key in steps.iter().filter_map(key_of) {
        namespace.forget_settings(key.link.as_ref());
    }
    results
}

fn key_of(step: &Step) -> Option<&SysctlKey> {
    match step {
        Step::SetSysctl(key, _) | Step::RestoreSysctl(key) | Step::SetOfLink(key, _) => Some(key),
        _ => None,
    }
}

fn to_be_set(step: &Step) -> Option<&SysctlKey> {
    match step {
        Step::SetSysctl(key, _) => Some(key),
        _ => None,
    }
}

/// Those of `keys` that concern no link, which are few, as far as they were not read yet. For those who are inside the
/// namespace.
fn read_to_set<'a>(
    namespace: &Namespace,
    keys: impl Iterator<Item = &'a SysctlKey>,
) -> Vec<(SysctlKey, Read)> {
    keys.filter(|key| key.link.is_none() && !namespace.sysctls.read.contains_key(key))
        .filter_map(|key| Some((key.clone(), Read::to_be_set(key)?)))
        .collect()
}

/// For those who are inside the namespace.
fn set(namespace: &Namespace, ledger: &mut Ledger, steps: &[Step]) -> Result<Vec<Result<()>>> {
    ledger.note(namespace, steps.iter().filter_map(to_be_set))?;
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
            other => of_link(namespace, other),
        })
        .collect();
    ledger.tidy()?;
    Ok(results)
}

/// Sets a setting of a link, which keeps what it takes. For those who are inside the namespace.
fn of_link(namespace: &Namespace, step: &Step) -> Result<()> {
    let Step::SetOfLink(key, value) = step else { return Ok(()) };
    namespace.tell(Deed::SetSysctl(key, value));
    let file = OpenOptions::new().write(true).open(key.file());
    let written = file.and_then(|file| file.write_all_at(value.as_bytes(), 0));
    written.map_err(|e| Error::io(format!("set sysctl {key} to {value}"), e))
}

/// Sets a sysctl, and looks whether it is what it was set to: the kernel takes some values and keeps another.
fn write(namespace: &Namespace, key: &SysctlKey, value: &str) -> Result<()> {
    namespace.tell(Deed::SetSysctl(key, value));
    let failed = |e| Error::io(format!("set sysctl {key} to {value}"), e);
    let written = |file: &File| file.write_all_at(value.as_bytes(), 0);
    let kept = namespace.sysctls.read.get(key).and_then(|read| read.file.as_ref());
    let opened;
    let file = match kept.filter(|file| written(file).is_ok()) {
        Some(file) => file,
        // It was not kept; or the kernel refuses it; or its link has gone, and another may have its name.
        None => {
            opened = known::open(key).map_err(failed)?;
            written(&opened).map_err(failed)?;
            &opened
        }
    };
    match known::value(file) {
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
pub fn tidy(namespace: &mut Namespace) -> Result<()> {
    namespace.sysctls.is_stale = false;
    namespace.sysctls.forget_ledger();
    let mut ledger = Ledger::read(namespace, None)?;
    ledger.forget_gone();
    ledger.tidy()
}

/// Forgets what the sysctls of links were that had these indexes and are gone from `namespace`.
///
/// # Errors
/// `Io` when the ledger cannot be read or written.
pub fn forget_links(namespace: &mut Namespace, indexes: &[u32]) -> Result<()> {
    namespace.sysctls.forget_ledger();
    Ledger::of_links(namespace, indexes)?.tidy()
}

/// Forgets what the sysctls of a namespace were, because it is gone.
pub fn forget(cookie: u64) {
    Ledger::destroy(cookie);
}
