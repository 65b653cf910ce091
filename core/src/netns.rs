//! Network namespaces: entering one without moving the caller's thread, making and deleting them.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::act::{Deed, Watch};
use crate::error::{Error, KernelError, Result};
use crate::kind::{Message, Protocol};
use crate::link;
use crate::name::{LinkName, Netns, NetnsName};
use crate::netlink::{Dump, Refusal, Session};
use crate::owner::Owner;
use crate::sys;

/// Where `ip netns` keeps its names.
pub const DIRECTORY: &str = "/run/netns";

/// A network namespace with its netlink sockets.
///
/// `Send`, and needs no particular thread: the sockets were made inside and stay there.
pub struct Namespace {
    netns: Netns,
    file: OwnedFd,
    cookie: u64,
    owner: Option<Owner>,
    route: Session,
    xfrm: Option<Session>,
    netfilter: Option<Session>,
    names: link::Names,
    watch: Watch,
}

impl Namespace {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// `Io`, or `Unsupported` on a kernel before 5.14.
    pub fn current() -> Result<Self> {
        Self::from_fd(current()?, Netns::Host)
    }

    /// The namespace that `ip netns` calls `name`.
    ///
    /// # Errors
    /// `Io` when there is none, or when the caller may not enter it.
    pub fn named(name: &NetnsName) -> Result<Self> {
        Self::from_fd(open(name)?, Netns::Named(name.clone()))
    }

    /// The namespace behind a descriptor, which plans will call `netns`.
    ///
    /// # Errors
    /// `Io` when the descriptor is no network namespace or the caller may not enter it.
    pub fn from_fd(file: OwnedFd, netns: Netns) -> Result<Self> {
        let mut namespace = Self::enter(file, netns, &Watch::default())?;
        namespace.refresh_links()?;
        Ok(namespace)
    }

    /// [`Self::from_fd`] without reading the names of its links, of which there may be many: see
    /// [`Self::refresh_links`] and [`Self::refresh_links_of`]. `watch` is told of every act in it, from the first on.
    ///
    /// # Errors
    /// As [`Self::from_fd`].
    pub fn enter(file: OwnedFd, netns: Netns, watch: &Watch) -> Result<Self> {
        let what = format!("enter the namespace {netns}");
        let (route, xfrm, netfilter) = enter(&file, &what, || {
            // The kernel may lack a family that this host never needs; the error comes when it is needed.
            Ok((
                Session::open(Protocol::Route)?,
                Session::open(Protocol::Xfrm).ok(),
                Session::open(Protocol::Netfilter).ok(),
            ))
        })?;
        let cookie = sys::netns_cookie(route.as_raw_fd())
            .map_err(|_| Error::Unsupported("guestnet needs Linux 5.14 or later (SO_NETNS_COOKIE)".into()))?;
        let (names, nobody) = (link::Names::default(), Watch::default());
        let mut namespace =
            Self { netns, file, cookie, owner: None, route, xfrm, netfilter, names, watch: nobody };
        namespace.watch(watch);
        namespace.read_owner()?;
        Ok(namespace)
    }

    /// Tells `watch` from now on of every act in it.
    pub fn watch(&mut self, watch: &Watch) {
        self.watch = watch.clone();
        let more = self.xfrm.iter_mut().chain(&mut self.netfilter);
        more.chain([&mut self.route]).for_each(|session| session.watched(&self.netns, watch));
    }

    /// Tells whoever watches of an act in it that is not one of its netlink sessions'.
    pub fn tell(&self, deed: Deed<'_>) {
        self.watch.tell(&self.netns, deed);
    }

    /// What plans call it.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The kernel's number for it, unique while the kernel runs.
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Whose mark it carries; `None` for a namespace that guestnet did not make.
    pub fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// Whether guestnet made it.
    pub fn is_ours(&self) -> bool {
        self.owner.is_some()
    }

    /// Whether the name still stands for this namespace, and not for another that was made since.
    pub fn is_still(&self, name: &NetnsName) -> bool {
        let ours = nix::sys::stat::fstat(&self.file).map(|stat| (stat.st_dev, stat.st_ino));
        let named = nix::sys::stat::stat(&path(name)).map(|stat| (stat.st_dev, stat.st_ino));
        ours.is_ok() && ours == named
    }

    /// Its descriptor.
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Calls the kernel's `index` by its name, as of the last time that it was read.
    pub fn link_name(&self, index: u32) -> Option<&LinkName> {
        self.names.by_index.get(&index)
    }

    /// The interfaces that are known and their indexes: all of them after [`Self::refresh_links`], those that were asked
    /// for after [`Self::refresh_links_of`].
    pub fn link_indexes(&self) -> Arc<BTreeMap<LinkName, u32>> {
        Arc::clone(&self.names.indexes)
    }

    /// Reads the names of the interfaces again, and the owner's mark on `lo`.
    ///
    /// # Errors
    /// What a dump of links can fail with.
    pub fn refresh_links(&mut self) -> Result<()> {
        let dump = self.dump(Protocol::Route, &link::dump_request())?;
        self.learn_links(&dump);
        Ok(())
    }

    /// Reads the interfaces called `names` again, and no others; one that is not there is forgotten.
    ///
    /// # Errors
    /// What asking for links can fail with.
    pub fn refresh_links_of<'a>(&mut self, names: impl IntoIterator<Item = &'a LinkName>) -> Result<Dump> {
        let (mut requests, mut gone) = (Vec::new(), Vec::new());
        for name in names {
            requests.push(link::get_request(name));
            gone.push(name);
        }
        let dump = self.get_each(Protocol::Route, &requests)?;
        self.names.forget(&gone);
        self.names.learn(&dump);
        Ok(dump)
    }

    /// Takes the names from a dump of links.
    pub(crate) fn learn_links(&mut self, dump: &Dump) {
        self.names = link::Names::default();
        self.names.learn(dump);
        self.owner = self.names.alias.as_deref().and_then(Owner::read);
    }

    /// Whether there is a link called `name`, as far as links are known.
    pub(crate) fn knows_link(&self, name: &LinkName) -> bool {
        self.names.indexes.contains_key(name)
    }

    /// A setting of the link called `name`, as of the last time that it was read; `None` where it was not told.
    pub(crate) fn link_setting(&self, name: &LinkName, family: &str, parameter: &str) -> Option<i32> {
        self.names.conf.get(self.names.indexes.get(name)?)?.get(family, parameter)
    }

    /// Forgets the settings of links, because something may have changed them.
    pub(crate) fn forget_settings(&mut self) {
        self.names.conf = HashMap::new();
    }

    /// Forgets links that were deleted.
    pub fn forget_links<'a>(&mut self, names: impl IntoIterator<Item = &'a LinkName>) {
        self.names.forget(&names.into_iter().collect::<Vec<_>>());
    }

    /// Adds the names of links that were asked for.
    pub(crate) fn learn_more(&mut self, links: &Dump) {
        self.names.learn(links);
    }

    /// Reads the owner's mark on `lo`.
    fn read_owner(&mut self) -> Result<()> {
        let dump = self.get_each(Protocol::Route, &[link::get_loopback()])?;
        self.names.learn(&dump);
        self.owner = self.names.alias.as_deref().and_then(Owner::read);
        Ok(())
    }

    /// The ends of veth pairs in it, as of the last time that links were read.
    pub fn veths(&self) -> &BTreeMap<LinkName, link::VethEnd> {
        &self.names.veths
    }

    /// Takes a dump.
    ///
    /// # Errors
    /// See [`Session::dump`].
    pub fn dump(&mut self, protocol: Protocol, request: &Message) -> Result<Dump> {
        let netns = self.netns.clone();
        let dump = self.session(protocol)?.dump(request);
        dump.map_err(|e| match e {
            Error::Io { what, source } => {
                Error::Io { what: format!("read namespace {netns}: {what}"), source }
            }
            other => other,
        })
    }

    /// Asks for one object.
    ///
    /// # Errors
    /// See [`Session::get`].
    pub fn get(&mut self, protocol: Protocol, request: &Message) -> Result<Option<Dump>> {
        self.session(protocol)?.get(request)
    }

    /// Asks for many objects at once; what there is none of is not among the answers.
    ///
    /// # Errors
    /// What the kernel refuses otherwise.
    pub fn get_each(&mut self, protocol: Protocol, requests: &[Message]) -> Result<Dump> {
        let (answers, refusals) = self.ask_each(protocol, requests)?;
        match refusals.into_iter().find(|(_, refusal)| !refusal.is_absence()) {
            None => Ok(answers),
            Some((_, r)) => {
                let what = format!("read one object of namespace {}", self.netns);
                Err(KernelError { what, errno: r.errno, words: r.words, attribute: r.attribute }.into())
            }
        }
    }

    /// Asks for many objects at once; the answers, and the refusals by the positions of their requests.
    ///
    /// # Errors
    /// See [`Session::get_each`].
    pub fn ask_each(
        &mut self,
        protocol: Protocol,
        requests: &[Message],
    ) -> Result<(Dump, Vec<(usize, Refusal)>)> {
        if requests.is_empty() {
            return Ok((Dump::default(), Vec::new()));
        }
        self.session(protocol)?.get_each(requests)
    }

    /// Sends messages; returns those that were refused.
    ///
    /// # Errors
    /// See [`Session::exchange`].
    pub fn exchange(
        &mut self,
        protocol: Protocol,
        messages: &mut [Message],
    ) -> Result<Vec<(usize, Refusal)>> {
        self.session(protocol)?.exchange(messages)
    }

    /// Sends messages of which none may be refused; `what` says for errors what they ask of the kernel.
    ///
    /// # Errors
    /// The first refusal.
    pub fn request(&mut self, protocol: Protocol, messages: &mut [Message], what: &str) -> Result<()> {
        match self.exchange(protocol, messages)?.into_iter().next() {
            None => Ok(()),
            Some((_, r)) => {
                let what = what.to_owned();
                Err(KernelError { what, errno: r.errno, words: r.words, attribute: r.attribute }.into())
            }
        }
    }

    /// Whether this kernel has the netlink family at all.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Route => true,
            Protocol::Xfrm => self.xfrm.is_some(),
            Protocol::Netfilter => self.netfilter.is_some(),
        }
    }

    fn session(&mut self, protocol: Protocol) -> Result<&mut Session> {
        let session = match protocol {
            Protocol::Route => Some(&mut self.route),
            Protocol::Xfrm => self.xfrm.as_mut(),
            Protocol::Netfilter => self.netfilter.as_mut(),
        };
        session.ok_or_else(|| {
            let part = if protocol == Protocol::Xfrm { "IPsec (CONFIG_XFRM_USER)" } else { "nf_tables" };
            Error::Unsupported(format!("this kernel has no {part}"))
        })
    }

    /// Runs `work` on a thread of its own inside the namespace: for `/proc/sys/net` and for making sockets.
    ///
    /// # Errors
    /// What `work` returns, and `Io` when the namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        enter(&self.file, &format!("enter the namespace {}", self.netns), work)
    }
}

thread_local! {
    /// Whether this thread was made to move between namespaces.
    static ROAMS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` on a thread of its own, on which entering a namespace costs a system call and no further thread. For work
/// that enters many; the caller's thread stays where it is.
pub fn roaming<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if ROAMS.get() {
        return work();
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            ROAMS.set(true);
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `work` on a thread that has moved to the namespace behind `file`.
fn enter<T: Send>(file: &OwnedFd, what: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(what, || {
        setns(file, CloneFlags::CLONE_NEWNET).map_err(|e| Error::io(what, e))?;
        work()
    })
}

/// Runs `work` on a thread that may move.
fn on_a_thread<T: Send>(what: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if ROAMS.get() {
        return work();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, work);
        match thread.map_err(|e| Error::io(what, e))?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Opens the namespace of the calling thread.
///
/// # Errors
/// `Io` when `/proc` is not mounted.
pub fn current() -> Result<OwnedFd> {
    let path = "/proc/thread-self/ns/net";
    Ok(fs::File::open(path).map_err(|e| Error::io(format!("open {path}"), e))?.into())
}

/// The file that stands for the namespace `name`.
pub fn path(name: &NetnsName) -> PathBuf {
    Path::new(DIRECTORY).join(name.as_str())
}

/// Opens the namespace that `ip netns` calls `name`.
///
/// # Errors
/// `Io` when there is none.
pub fn open(name: &NetnsName) -> Result<OwnedFd> {
    let path = path(name);
    let file =
        fs::File::open(&path).map_err(|e| Error::io(format!("open the namespace {}", path.display()), e))?;
    Ok(file.into())
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

/// Makes the namespace `name`, its loopback up, with the mark of `owner` on it before anyone can see it.
///
/// Equivalent: `ip netns add NAME; ip -n NAME link set lo up alias 'guestnet owner=…'`.
///
/// # Errors
/// `Io`; `EPERM` without `CAP_SYS_ADMIN`.
pub fn create(name: &NetnsName, owner: Owner) -> Result<()> {
    create_watched(name, owner, &Watch::default())
}

/// [`create`], and `watch` is told of it.
///
/// # Errors
/// As [`create`].
pub fn create_watched(name: &NetnsName, owner: Owner, watch: &Watch) -> Result<()> {
    let netns = Netns::Named(name.clone());
    watch.tell(&netns, Deed::CreateNamespace(name));
    let what = format!("make the namespace {name}");
    let failed = |e: io::Error| Error::io(what.clone(), e);
    prepare_directory().map_err(failed)?;
    let target = path(name);
    on_a_thread(&what, || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| Error::io(what.clone(), e))?;
        let mut session = Session::open(Protocol::Route)?;
        session.watched(&netns, watch);
        let mut marks = [link::mark_loopback(&owner.mark())];
        if let Some((_, refusal)) = session.exchange(&mut marks)?.into_iter().next() {
            return Err(Error::io(what.clone(), io::Error::from_raw_os_error(refusal.errno)));
        }
        // An empty file that is there already was left by someone who was killed between these two steps.
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&target);
        drop(open.map_err(|e| Error::io(what.clone(), e))?);
        let source = "/proc/thread-self/ns/net";
        mount(Some(source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|e| Error::io(what.clone(), e))
    })
}

/// Makes `/run/netns` as `ip netns` does: a mount point of its own whose mounts every mount namespace sees.
fn prepare_directory() -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    let shared = MsFlags::MS_SHARED | MsFlags::MS_REC;
    let none = None::<&str>;
    if mount(none, DIRECTORY, none, shared, none).is_ok() {
        return Ok(());
    }
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
