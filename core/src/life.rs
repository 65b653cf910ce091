//! Whether a host still lives. Objects say which host they are of by the number of its namespace; that the namespace is gone
//! is proved, never supposed, since somebody may hold it open whom nobody sees.
//!
//! Each host writes into its lock, `/run/guestnet/.host/COOKIE.lock`, what identifies its namespace beside the number. A host
//! is *gone* when that was written before the last boot, or when the kernel, asked for the namespace by number and inode
//! (`open_by_handle_at` in nsfs, Linux 6.18), says that there is none. Who is in another user namespace than the host, or on an older
//! kernel, does not get a true answer: then it is *unknown*.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};

use crate::error::{Error, Result};
use crate::file;
use crate::name::NetnsName;
use crate::netns::{self, Namespace};
use crate::owner::Owner;
use crate::sys;
use crate::sysctl::STATE;
use crate::trust;

/// Whether a host still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Its namespace is there.
    Lives,
    /// Its namespace is gone for good.
    Gone,
    /// Nothing proves the one or the other.
    Unknown,
}

/// What is written of a host in its lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// The boot in which it was written (`/proc/sys/kernel/random/boot_id`).
    boot: String,
    /// The inode of the user namespace that owns the host's namespace; 0 where the writer could not see it.
    user: u64,
    /// The inode of the host's namespace.
    inode: u64,
    /// As what it was opened, if by name.
    name: Option<NetnsName>,
}

/// The inode of the first user namespace (`PROC_USER_INIT_INO`), from which all others are seen.
const FIRST: u64 = 0xEFFF_FFFD;

/// More than a record has, in bytes.
const LONGEST: u64 = 512;

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot={} user={} inode={}", self.boot, self.user, self.inode)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " name={name}"))
    }
}

impl Record {
    fn parse(text: &str) -> Option<Self> {
        let word = |key: &str| text.split_whitespace().find_map(|word| word.strip_prefix(key));
        Some(Self {
            boot: word("boot=")?.to_owned(),
            user: word("user=")?.parse().ok()?,
            inode: word("inode=")?.parse().ok()?,
            name: word("name=").and_then(|name| name.parse().ok()),
        })
    }

    fn read(mut file: impl Read) -> Option<Self> {
        let mut text = String::new();
        (&mut file).take(LONGEST).read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    /// That of `owner`.
    fn of(owner: Owner) -> Option<Self> {
        let path = lock(owner);
        if !trust::directory(Path::new(STATE)).ok()? {
            return None;
        }
        Self::read(trust::open(&path, OpenOptions::new().read(true)).ok()?)
    }
}

/// The lock of the host `owner`.
pub fn lock(owner: Owner) -> PathBuf {
    Path::new(STATE).join(format!("{}.lock", owner.0))
}

/// Writes into the lock of a host, which is held, what identifies the host, if it does not stand there. Whether it did not:
/// then the host is new, and what is known of one that had its number in another boot is forgotten.
///
/// # Errors
/// `Io` when it cannot be written.
pub fn note(lock: &File, host: &Namespace, name: Option<&NetnsName>) -> Result<bool> {
    let failed = |e| Error::io(format!("write {}", self::lock(Owner(host.cookie())).display()), e);
    let mut reader = lock;
    reader.rewind().map_err(failed)?;
    let there = Record::read(reader);
    let is_known = there
        .as_ref()
        .is_some_and(|there| there.boot == boot() && (name.is_none() || there.name.as_ref() == name));
    if is_known {
        return Ok(false);
    }
    if there.as_ref().is_some_and(|there| !boot().is_empty() && there.boot != boot()) {
        // Numbers begin anew with each boot: it is about another that had this one.
        forget(Owner(host.cookie()));
    }
    let inode = |path: String| fs::metadata(path).map(|found| found.ino());
    let record = Record {
        boot: boot().to_owned(),
        user: sys::owner_of_netns(host.as_raw_fd())
            .and_then(|owner| inode(format!("/proc/thread-self/fd/{}", owner.as_raw_fd())))
            .unwrap_or(0),
        inode: inode(format!("/proc/thread-self/fd/{}", host.as_raw_fd())).map_err(failed)?,
        name: name.cloned().or(there.filter(|there| there.boot == boot()).and_then(|there| there.name)),
    };
    lock.set_len(0).and_then(|()| lock.write_all_at(format!("{record}\n").as_bytes(), 0)).map_err(failed)?;
    Ok(true)
}

/// Whether the host `owner` still lives.
pub fn life(owner: Owner) -> Life {
    Record::of(owner).map_or(Life::Unknown, |record| record.life(owner))
}

/// Where the namespace of `owner` is found among those that have names and those that processes are in: proof that it lives, in
/// words. That it is not found proves nothing.
pub fn found(owner: Owner) -> Option<String> {
    let names = netns::list().unwrap_or_default().into_iter();
    let names = names.map(|name| (netns::path(&name), format!("/run/netns has it as {name}")));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let processes = processes.map(|process| {
        (PathBuf::from(format!("/proc/{process}/ns/net")), format!("the process {process} is in it"))
    });
    let mut seen = BTreeSet::new();
    let mut is_it = |path: &Path| {
        let file = File::open(path).ok()?;
        let inode = file.metadata().ok()?.ino();
        let netns = crate::name::Netns::Host;
        let other = seen
            .insert(inode)
            .then(|| Namespace::enter(file.into(), netns, &crate::act::Watch::default()))?;
        Some(other.ok()?.cookie() == owner.0)
    };
    names.chain(processes).find(|(path, _)| is_it(path) == Some(true)).map(|(_, words)| words)
}

/// Whether the host `owner` is gone and was opened as `name`: the host that is called so now has come in its place.
pub fn was(owner: Owner, name: &NetnsName) -> bool {
    Record::of(owner)
        .is_some_and(|record| record.name.as_ref() == Some(name) && record.life(owner) == Life::Gone)
}

impl Record {
    fn life(&self, owner: Owner) -> Life {
        if self.boot != boot() {
            return if boot().is_empty() { Life::Unknown } else { Life::Gone };
        }
        let user = fs::metadata("/proc/thread-self/ns/user").map(|found| found.ino()).unwrap_or_default();
        if !answers() || (user != self.user && user != FIRST) {
            return Life::Unknown;
        }
        match sys::open_netns(owner.0, self.inode) {
            Ok(_) => Life::Lives,
            Err(e) if e.raw_os_error() == Some(libc::ESTALE) => Life::Gone,
            Err(_) => Life::Unknown,
        }
    }
}

/// Which boot this is; empty where the kernel does not say.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    })
}

/// Whether the kernel finds namespaces by their numbers, and lets the caller see those of its user namespace: tried with one
/// that is made for it.
fn answers() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let make = || -> std::io::Result<(File, u64)> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        Ok((File::open("/proc/thread-self/ns/net")?, sys::netns_cookie(socket.as_raw_fd())?))
    };
    *ANSWERS.get_or_init(|| {
        let made = std::thread::scope(|scope| scope.spawn(make).join());
        let Ok(Ok((namespace, cookie))) = made else { return false };
        namespace.metadata().and_then(|found| sys::open_netns(cookie, found.ino())).is_ok()
    })
}

/// Removes the ledgers of hosts that are gone and of guests' namespaces that no name stands for, the names that hosts that are gone
/// have left without a namespace, and the locks of those that have left nothing below `/run/netns` and `/run/guestnet`: until then the lock is what proves that they are gone.
/// Leaves alone the namespaces that the caller has `open`: they live.
pub fn sweep(open: &BTreeSet<Owner>) {
    let entries = fs::read_dir(STATE).into_iter().flatten().flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let of = |end: &'static str| {
        let owners = names.iter().filter_map(move |name| name.strip_suffix(end)?.parse().ok().map(Owner));
        owners.filter(|owner| !open.contains(owner)).collect::<BTreeSet<_>>()
    };
    let locks = of(".lock");
    let gone: BTreeSet<Owner> = locks.iter().copied().filter(|owner| life(*owner) == Life::Gone).collect();
    let ledgers: BTreeSet<Owner> = of(".sysctl").difference(&locks).copied().collect();
    if gone.is_empty() && ledgers.is_empty() {
        return;
    }
    let (mut cookies, mut marks) =
        (BTreeSet::new(), file::owners(Path::new(STATE).parent().unwrap_or(Path::new(STATE))));
    for name in netns::list().unwrap_or_default() {
        // What cannot be looked at may be anybody's.
        let Ok(namespace) = Namespace::named(&name) else { return };
        cookies.insert(Owner(namespace.cookie()));
        marks.extend(namespace.owner());
    }
    ledgers.difference(&cookies).chain(&gone).for_each(|owner| forget(*owner));
    // Names behind which there is no namespace any more.
    gone.iter().for_each(|owner| drop(netns::sweep(*owner)));
    for owner in gone.difference(&marks) {
        // Who is about to take it, and has come in between, has another.
        let file = trust::open_lock(&lock(*owner)).ok();
        if file.and_then(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()).is_some() {
            let _ = fs::remove_file(lock(*owner));
        }
    }
}

/// Removes what is known of the sysctls of a namespace, and what its host was asked for.
fn forget(owner: Owner) {
    let place = |end: &str| Path::new(STATE).join(format!("{}.{end}", owner.0));
    let _ = fs::remove_file(place("sysctl"));
    let _ = fs::remove_file(place("new"));
    let _ = fs::remove_dir_all(place("sysctl.d"));
    let _ = fs::remove_dir_all(place("whole"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back() {
        let record = Record { boot: "b-1".into(), user: 4, inode: 7, name: Some("h".parse().unwrap()) };
        assert_eq!(Record::parse(&record.to_string()), Some(record.clone()));
        let nameless = Record { name: None, ..record };
        assert_eq!(Record::parse(&format!("{nameless}\n")), Some(nameless));
        assert_eq!(Record::parse(""), None);
    }
}
