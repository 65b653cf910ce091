//! What guestnet did, recorded as it did it, to be done again without guestnet.

use std::fs;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use guestnet::core::act::Watch;
use guestnet::core::{Deed, Namespace, Netns, NetnsName, Protocol, netns};
use guestnet::{Act, Host};
use nix::sys::stat::{FileStat, fstat, stat};

/// One act, with all that it takes to do it again.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Where.
    pub netns: Netns,
    /// What.
    pub what: What,
}

/// What was done.
#[derive(Clone, Debug)]
pub enum What {
    /// A datagram was sent. Descriptors of namespaces stand at these places in it.
    Send(Protocol, Vec<u8>, Vec<(usize, NetnsName)>),
    /// A question was asked.
    Ask(Protocol, Vec<u8>),
    /// A tap was made, with these flags.
    Tap(String, i32),
    /// A sysctl was set.
    Sysctl(String, String),
    /// A namespace was made.
    Create(NetnsName),
    /// A namespace was deleted.
    Delete(NetnsName),
    /// A file was written; what is in it is read when the recording ends.
    Write(PathBuf, Vec<u8>),
    /// A file was removed.
    Remove(PathBuf),
}

/// A recording of all that happened on one host.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The acts, in order.
    pub acts: Vec<Recorded>,
    /// The host's mark, which is in some of them.
    pub cookie: u64,
}

/// Records while it is kept.
pub struct Recorder(Arc<Mutex<Vec<Recorded>>>);

impl Recorder {
    /// Records what `host` does from now on.
    pub fn of(host: &mut Host) -> Self {
        let (recorder, watcher) = Self::new();
        host.watch(watcher);
        recorder
    }

    /// Records what is done in `namespace` from now on.
    pub fn of_namespace(namespace: &mut Namespace) -> Self {
        let (recorder, watcher) = Self::new();
        namespace.watch(&Watch::new(watcher));
        recorder
    }

    fn new() -> (Self, impl FnMut(&Act<'_>) + Send + 'static) {
        let acts = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&acts);
        let watcher =
            move |act: &Act<'_>| noted.lock().unwrap_or_else(PoisonError::into_inner).extend(record(act));
        (Self(acts), watcher)
    }

    /// What was recorded since the last call. To be called on the host, while its files are there.
    pub fn take(&self) -> Result<Recording> {
        let mut acts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for act in &mut acts {
            if let What::Write(path, content) = &mut act.what {
                *content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            }
        }
        Ok(Recording { acts, cookie: Namespace::current()?.cookie() })
    }
}

impl Recording {
    /// The same for another host, in which the mark is another. `None` where the mark has not as many digits: then all
    /// lengths would be others.
    pub fn for_this_host(mut self) -> Result<Option<Self>> {
        let (old, new) =
            (format!("owner={}", self.cookie), format!("owner={}", Namespace::current()?.cookie()));
        if old.len() != new.len() {
            return Ok(None);
        }
        for act in &mut self.acts {
            if let What::Send(_, bytes, _) | What::Write(_, bytes) = &mut act.what {
                replace(bytes, old.as_bytes(), new.as_bytes());
            }
        }
        Ok(Some(self))
    }

    /// The same where an interface has got another index than it had. What is done afterwards tells whether other
    /// numbers were taken for it.
    pub fn with_index(mut self, old: u32, new: u32) -> Self {
        for act in &mut self.acts {
            if let What::Send(Protocol::Route, bytes, _) = &mut act.what {
                for word in bytes.chunks_exact_mut(4).filter(|word| **word == old.to_ne_bytes()) {
                    word.copy_from_slice(&new.to_ne_bytes());
                }
            }
        }
        self
    }

    /// Only what changes something, or only the questions.
    ///
    /// To ask for a tap that was just made is a change: the kernel settles its carrier then. Else it does so when the tap is
    /// up, at a price that grows with the host, and not while the clock runs.
    pub fn only(mut self, questions: bool) -> Self {
        let mut made = false;
        self.acts.retain(|act| {
            let settles = made && act.what.asks_for_links();
            made = settles || matches!(act.what, What::Tap(..)) || made && matches!(act.what, What::Send(..));
            (matches!(act.what, What::Ask(..)) && !settles) == questions
        });
        self
    }
}

fn record(act: &Act<'_>) -> Option<Recorded> {
    let what = match act.deed {
        Deed::Send(protocol, datagram) => {
            let bytes = datagram.bytes().to_vec();
            let namespaces = if protocol == Protocol::Route { descriptors(&bytes) } else { Vec::new() };
            What::Send(protocol, bytes, namespaces)
        }
        Deed::Ask(protocol, datagram) => What::Ask(protocol, datagram.bytes().to_vec()),
        Deed::MakeTap(name, options) => {
            let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
            flags |= if options.multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
            flags |= if options.vnet_hdr { libc::IFF_VNET_HDR } else { 0 };
            What::Tap(name.to_string(), flags)
        }
        Deed::SetSysctl(key, value) => What::Sysctl(format!("/proc/sys/{key}"), value.to_owned()),
        Deed::CreateNamespace(name) => What::Create(name.clone()),
        Deed::DeleteNamespace(name) => What::Delete(name.clone()),
        Deed::WriteFile(path) => What::Write(path.to_owned(), Vec::new()),
        Deed::RemoveFile(path) => What::Remove(path.to_owned()),
        // An act that this program does not know would be missing from the floor, which would then be too low.
        _ => unreachable!("an act that cannot be recorded: {act}"),
    };
    Some(Recorded { netns: act.netns.clone(), what })
}

/// `IFLA_NET_NS_FD` with its length, as it stands in a message.
const NET_NS_FD: [u8; 4] = [8, 0, 28, 0];

/// Where in `bytes` a namespace's descriptor stands, and which namespace it is.
fn descriptors(bytes: &[u8]) -> Vec<(usize, NetnsName)> {
    let mut found = Vec::new();
    if !bytes.chunks_exact(4).any(|word| word == NET_NS_FD) {
        return found;
    }
    let names = netns::list().unwrap_or_default();
    let known: Vec<(NetnsName, FileStat)> =
        names.into_iter().filter_map(|name| Some((name.clone(), stat(&netns::path(&name)).ok()?))).collect();
    for (n, words) in bytes.chunks_exact(4).collect::<Vec<_>>().windows(2).enumerate() {
        if words[0] != NET_NS_FD {
            continue;
        }
        let fd: [u8; 4] = [words[1][0], words[1][1], words[1][2], words[1][3]];
        // SAFETY of meaning: guestnet sends descriptors of this very process.
        let Some(there) = status(RawFd::from_ne_bytes(fd)) else { continue };
        let same = |stat: &FileStat| (stat.st_dev, stat.st_ino) == (there.st_dev, there.st_ino);
        if let Some((name, _)) = known.iter().find(|(_, stat)| same(stat)) {
            found.push((n * 4 + 4, name.clone()));
        }
    }
    found
}

fn status(fd: RawFd) -> Option<FileStat> {
    let file = fs::File::open(format!("/proc/self/fd/{fd}")).ok()?;
    fstat(&file).ok()
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    for at in 0..bytes.len().saturating_sub(old.len() - 1) {
        if bytes[at..].starts_with(old) {
            bytes[at..at + new.len()].copy_from_slice(new);
        }
    }
}
