//! Namespaces with names: finding, making and deleting them as `ip netns` does.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Namespace, roam};
use crate::act::{Deed, Watch};
use crate::error::{Error, Result};
use crate::kind::Protocol;
use crate::link;
use crate::name::{Netns, NetnsName};
use crate::netlink::Session;
use crate::owner::Owner;

/// Where `ip netns` keeps its names.
pub const DIRECTORY: &str = "/run/netns";

/// The file that stands for the namespace `name`.
pub fn path(name: &NetnsName) -> PathBuf {
    Path::new(DIRECTORY).join(name.as_str())
}

/// Opens the namespace that `ip netns` calls `name`.
///
/// # Errors
/// `Io` when there is none.
pub fn open(name: &NetnsName) -> Result<OwnedFd> {
    open_path(&path(name))
}

fn open_path(path: &Path) -> Result<OwnedFd> {
    let failed = |e| Error::io(format!("open the namespace {}", path.display()), e);
    Ok(fs::File::open(path).map_err(failed)?.into())
}

/// The names in `/run/netns` behind which there is a namespace.
///
/// # Errors
/// `Io` when the directory cannot be read; that it does not exist is no error.
pub fn list() -> Result<Vec<NetnsName>> {
    let failed = |e| Error::io(format!("list {DIRECTORY}"), e);
    let entries = match fs::read_dir(DIRECTORY) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
        names.extend(name.filter(is_mounted));
    }
    names.sort();
    Ok(names)
}

/// Whether a namespace is behind the name, and not just the empty file of an interrupted `ip netns add`.
pub fn is_mounted(name: &NetnsName) -> bool {
    nix::sys::statfs::statfs(&path(name)).is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
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
    prepare_directory().map_err(failed)?;
    let target = path(name);
    roam::enter_new(&what, || {
        let mut session = Session::open(Protocol::Route)?;
        session.watched(&netns, watch);
        let mut marks = [link::mark_loopback(&owner.mark())];
        if let Some((_, refusal)) = session.exchange(&mut marks)?.into_iter().next() {
            return Err(failed(io::Error::from_raw_os_error(refusal.errno)));
        }
        // An empty file that is there already was left by someone who was killed between these two steps.
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&target);
        drop(open.map_err(failed)?);
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
    fs::create_dir_all(DIRECTORY)?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(DIRECTORY), DIRECTORY, none, bind, none)?;
    Ok(mount(none, DIRECTORY, none, shared, none)?)
}

/// Takes the name of the namespace away; the namespace goes when its last process and descriptor are gone.
///
/// # Errors
/// `Io`. That there was no such name is no error.
pub fn delete(name: &NetnsName) -> Result<()> {
    let target = path(name);
    let failed = |e: io::Error| Error::io(format!("delete the namespace {name}"), e);
    match umount2(&target, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
        Err(e) => return Err(failed(e.into())),
    }
    match fs::remove_file(&target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
        _ => Ok(()),
    }
}
