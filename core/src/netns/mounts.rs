//! Whether others see the names that are given to namespaces here. A name is a mount, and mounts reach those in other mount
//! namespaces only where the mount that they are on is shared with them (mount_namespaces(7), "Shared subtrees"). `ip netns
//! exec`, `unshare -m` and many options of systemd's services make copies of all mounts from which none comes back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::{DIRECTORY, Namespace, list};

/// Why a namespace that gets its name here is seen by nobody else, and goes when the caller's last process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// What is so.
    pub what: String,
    /// What that means.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: String,
}

impl std::fmt::Display for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.what, self.meaning, self.remedy)
    }
}

/// Looks whether process 1, and the processes from which the caller descends, will see the namespaces that get names here;
/// `None` where they will. Those who have another directory as `/run/netns`, as containers have, are not asked: there this is
/// a world of its own. `host` is the namespace of the host, whose name is part of the remedy.
pub fn hidden(host: Option<&Namespace>) -> Option<Hidden> {
    let own = fs::read_link("/proc/thread-self/ns/mnt").ok()?;
    let here = Place::of("thread-self").ok()?;
    let mut process = nix::unistd::getpid().as_raw();
    let mut blind = None;
    let mut last = None;
    while process > 1 {
        // Of a daemon the parents are gone; process 1 is there in any case.
        process = parent(process).unwrap_or(1).max(1);
        let theirs = fs::read_link(format!("/proc/{process}/ns/mnt"));
        let sight = match (&theirs, last) {
            // Most have the mount namespace of their parent, and nothing else to be seen there.
            (Ok(theirs), Some((of, sight))) if *theirs == of => sight,
            (Ok(theirs), _) if *theirs == own => Sight::Clear,
            (Ok(_), _) => here.sight(process),
            (Err(e), _) => here.unknown(process, e),
        };
        // The outermost that has the directory is the one that counts.
        match sight {
            Sight::Clear => blind = None,
            Sight::Blind => blind = Some(process),
            Sight::Elsewhere => {}
        }
        last = theirs.ok().map(|theirs| (theirs, sight));
    }
    let process = blind?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    let by_name = host.and_then(|host| list().ok()?.into_iter().find(|name| host.is_still(name)));
    let by_name = by_name
        .map(|name| format!("say `guestnet -n {name}` in place of `ip netns exec {name} guestnet`, or "))
        .unwrap_or_default();
    Some(Hidden {
        what: format!(
            "mounts made here do not reach the process {process} ({}), whose {DIRECTORY} this is",
            name.trim_end()
        ),
        meaning: "namespaces of guests would be seen by nobody else and would go when this process ends",
        remedy: format!(
            "{by_name}run it as `nsenter -t {process} -m guestnet`; a systemd service goes without the options that give it mounts of \
             its own: MountFlags=, Private…= (PrivateTmp=, PrivateDevices=, PrivateMounts=), Protect…= (ProtectSystem=, \
             ProtectHome=, ProtectKernelTunables=), ReadOnlyPaths= and its like, DynamicUser="
        ),
    })
}

/// Sight that a process has of the names given here.
#[derive(Clone, Copy)]
enum Sight {
    Clear,
    Blind,
    /// It has another directory of names, or cannot be looked at.
    Elsewhere,
}

/// The text of a file of procfs, which does not say how long it is: a small buffer would take many reads.
fn read(path: &str) -> io::Result<String> {
    let mut text = String::with_capacity(8192);
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The parent of a process.
fn parent(process: i32) -> Option<i32> {
    let status = read(&format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The directory of the names, or the nearest to it that there is, as a process sees it.
struct Place {
    process: String,
    directory: File,
    device: u64,
    inode: u64,
}

impl Place {
    fn of(process: &str) -> io::Result<Self> {
        let way = Path::new(DIRECTORY).ancestors().map(|path| path.strip_prefix("/").unwrap_or(path));
        let open = |path: &Path| {
            let path = Path::new("/proc").join(process).join("root").join(path);
            OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)
        };
        let directory =
            way.map(open).find(|opened| !matches!(opened, Err(e) if e.kind() == io::ErrorKind::NotFound));
        let directory = directory.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))?;
        let found = directory.metadata()?;
        Ok(Self { process: process.to_owned(), directory, device: found.dev(), inode: found.ino() })
    }

    /// Sight that a process in another mount namespace has of this.
    fn sight(&self, process: i32) -> Sight {
        let there = match Self::of(&process.to_string()) {
            Ok(there) => there,
            Err(e) => return self.unknown(process, &e),
        };
        if (self.device, self.inode) != (there.device, there.inode) {
            return Sight::Elsewhere;
        }
        // Asked last: to list mounts takes longer than all else.
        match (self.mount(), there.mount()) {
            (Some(here), Some(there)) if here.reaches(&there) => Sight::Clear,
            (Some(_), Some(_)) => Sight::Blind,
            _ => Sight::Elsewhere,
        }
    }

    /// Sight of a process that cannot be looked at, by `why`: of process 1 it is known at least that mounts which come from
    /// elsewhere go nowhere.
    fn unknown(&self, process: i32, why: &io::Error) -> Sight {
        let is_hidden = process == 1 && why.kind() == io::ErrorKind::PermissionDenied;
        if is_hidden && self.mount().is_some_and(|mount| mount.is_copy()) {
            Sight::Blind
        } else {
            Sight::Elsewhere
        }
    }

    /// The mount that it is on; `None` where that cannot be known.
    fn mount(&self) -> Option<Mount> {
        let number = mount_of(&self.directory).ok()?;
        let mounts = read(&format!("/proc/{}/mountinfo", self.process)).ok()?;
        // ID PARENT DEVICE ROOT POINT OPTIONS TAG… - TYPE SOURCE OPTIONS
        let line = mounts.lines().find(|line| line.split(' ').next() == Some(&number));
        let words: Vec<&str> = line.unwrap_or_default().split(' ').collect();
        let tags = || words.iter().skip(6).take_while(|word| **word != "-");
        let tag = |name| tags().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        Some(Mount {
            point: words.get(4).copied().unwrap_or_default().to_owned(),
            shared: tag("shared:"),
            master: tag("master:"),
        })
    }
}

/// A mount, as mountinfo says it (proc_pid_mountinfo(5)).
struct Mount {
    /// Where it is mounted.
    point: String,
    /// The peer group to which mounts made here propagate.
    shared: Option<String>,
    /// The peer group from which mounts come.
    master: Option<String>,
}

impl Mount {
    /// Whether what is mounted here is seen there.
    fn reaches(&self, other: &Self) -> bool {
        self.shared.is_some() && (self.shared == other.shared || self.shared == other.master)
    }

    /// Whether the mount is a copy of another to which nothing goes back. The root of a container is one as well.
    fn is_copy(&self) -> bool {
        self.master.is_some() && self.point != "/"
    }
}

/// The number of the mount that an open file is on.
fn mount_of(file: &File) -> io::Result<String> {
    let info = read(&format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    number.map(|number| number.trim().to_owned()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
