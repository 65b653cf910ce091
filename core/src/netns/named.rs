//! Namespaces with names: finding, making and deleting them as `ip netns` does.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs, statfs};

use super::{Namespace, roam};
use crate::act::{Deed, Watch};
use crate::error::{Error, Result};
use crate::kind::Protocol;
use crate::link;
use crate::name::{Netns, NetnsName};
use crate::netlink::Session;
use crate::owner::Owner;
use crate::trust;

/// Where `ip netns` keeps its names.
pub const DIRECTORY: &str = "/run/netns";

/// The file that stands for the namespace `name`.
pub fn path(name: &NetnsName) -> PathBuf {
    Path::new(DIRECTORY).join(name.as_str())
}

/// Opens the namespace that `ip netns` calls `name`.
///
/// # Errors
/// `Io` when there is none; `Untrusted` when others may write to `/run/netns`.
pub fn open(name: &NetnsName) -> Result<OwnedFd> {
    trust::directory(Path::new(DIRECTORY))?;
    open_path(&path(name))
}

fn open_path(path: &Path) -> Result<OwnedFd> {
    let failed = |e: io::Error| Error::io(format!("open the namespace {}", path.display()), e);
    // Opening something else must not wait for anybody.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    match fstatfs(&file) {
        Ok(fs) if fs.filesystem_type() == NSFS_MAGIC => Ok(file.into()),
        Ok(_) => Err(Error::malformed(path.display().to_string(), "it is no namespace")),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// The names in `/run/netns` behind which there is a namespace.
///
/// # Errors
/// `Io` when the directory cannot be read, `Untrusted` when others may write to it; that it does not exist is no error.
pub fn list() -> Result<Vec<NetnsName>> {
    if !trust::directory(Path::new(DIRECTORY))? {
        return Ok(Vec::new());
    }
    let failed = |e| Error::io(format!("list {DIRECTORY}"), e);
    let mut names = Vec::new();
    for entry in fs::read_dir(DIRECTORY).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
        names.extend(name.filter(is_mounted));
    }
    names.sort();
    Ok(names)
}

/// Whether a namespace is behind the name, and not just the empty file of an interrupted `ip netns add`.
pub fn is_mounted(name: &NetnsName) -> bool {
    statfs(&path(name)).is_ok_and(|fs| fs.filesystem_type() == NSFS_MAGIC)
}

/// Makes the namespace `name`, its loopback up, with the mark of `owner` on it before anyone can see it. `watch` is told
/// of it, and of every act in it.
///
/// Equivalent: `ip netns add NAME; ip -n NAME link set lo up alias 'guestnet owner=…'`.
///
/// # Errors
/// `Io`; `EPERM` without `CAP_SYS_ADMIN`.
pub fn create(name: &NetnsName, owner: Owner, watch: &Watch) -> Result<Namespace> {
    let netns = Netns::Named(name.clone());
    watch.tell(&netns, Deed::CreateNamespace(name));
    let what = format!("make the namespace {name}");
    let failed = |e: io::Error| Error::io(what.clone(), e);
    trust::make_directory(Path::new(DIRECTORY), 0o755)?;
    prepare_directory().map_err(failed)?;
    let target = path(name);
    roam::enter_new(&what, || {
        let mut session = Session::open(Protocol::Route)?;
        session.watched(&netns, watch);
        let mut marks = [link::mark_loopback(&owner.mark())];
        if let Some((_, refusal)) = session.exchange(&mut marks)?.into_iter().next() {
            return Err(refusal.of(format!("mark the namespace {name}")));
        }
        // A file that is there already was left by someone who was killed between these two steps.
        let file = trust::create(&target, OpenOptions::new().write(true));
        let mut file = file.map_err(|fault| fault.about(&target))?;
        // What is under the mount says whose the name was, when the mount has gone without us.
        file.set_len(0).and_then(|()| file.write_all(owner.mark().as_bytes())).map_err(failed)?;
        let source = "/proc/thread-self/ns/net";
        mount(Some(source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|e| failed(e.into()))?;
        Namespace::fresh(open_path(&target)?, netns.clone(), session, owner, watch)
    })
}

/// Makes `/run/netns` as `ip netns` does: a mount point of its own whose mounts every mount namespace sees.
fn prepare_directory() -> io::Result<()> {
    let shared = MsFlags::MS_SHARED | MsFlags::MS_REC;
    let none = None::<&str>;
    if mount(none, DIRECTORY, none, shared, none).is_ok() {
        return Ok(());
    }
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(DIRECTORY), DIRECTORY, none, bind, none)?;
    Ok(mount(none, DIRECTORY, none, shared, none)?)
}

/// Removes the names that `owner` has given and behind which there is no namespace any more, as after the end of a mount
/// namespace of its own.
///
/// # Errors
/// `Untrusted` when others may write to `/run/netns`.
pub fn sweep(owner: Owner) -> Result<()> {
    if !trust::directory(Path::new(DIRECTORY))? {
        return Ok(());
    }
    for entry in fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
        let path = entry.path();
        // With a namespace mounted on it, it has no length.
        if !entry.metadata().is_ok_and(|found| found.is_file() && found.len() > 0) {
            continue;
        }
        let Ok(file) = trust::open(&path, OpenOptions::new().read(true)) else { continue };
        let mut text = String::new();
        if file.take(64).read_to_string(&mut text).is_ok() && Owner::read(&text) == Some(owner) {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Takes the name of the namespace away; the namespace goes when its last process and descriptor are gone.
///
/// # Errors
/// `Io`. That there was no such name is no error.
pub fn delete(name: &NetnsName) -> Result<()> {
    let target = path(name);
    let failed = |e: io::Error| Error::io(format!("delete the namespace {name}"), e);
    match umount2(&target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
        Err(e) => return Err(failed(e.into())),
    }
    match fs::remove_file(&target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
        _ => Ok(()),
    }
}
