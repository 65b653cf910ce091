//! Network namespaces: their netlink sockets, and work inside of them.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::act::{Deed, Heard, Watch};
use crate::error::{Error, Result};
use crate::kind::{Message, Protocol};
use crate::link;
use crate::name::{LinkName, Netns, NetnsName};
use crate::netlink::{Dump, Session};
use crate::owner::Owner;
use crate::recall::Transcript;
use crate::sys;
use crate::sysctl;

mod exchange;
mod mounts;
mod named;
#[cfg(feature = "replay")]
mod played;
mod roam;

pub use exchange::Transactions;
pub use mounts::{Hidden, hidden};
pub use named::{DIRECTORY, create, delete, is_mounted, list, open, path, sweep};
pub use roam::{current, roaming};

/// A network namespace with its netlink sockets.
///
/// `Send`, and needs no particular thread: the sockets were made inside and stay there.
pub struct Namespace {
    netns: Netns,
    file: OwnedFd,
    id: roam::Id,
    cookie: u64,
    owner: Option<Owner>,
    route: Session,
    xfrm: Line,
    netfilter: Line,
    names: link::Names,
    /// What is known of its sysctls, and of their ledger.
    pub(crate) sysctls: sysctl::Known,
    /// Version of `names`.
    epoch: Epoch,
    watch: Watch,
    /// What kinds keep of it, by type.
    keepsakes: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    /// Transactions of nf_tables that the kernel has acknowledged.
    transactions: Transactions,
    /// What is asked is noted here while somebody attends.
    transcript: Option<Transcript>,
    /// Answers that were given just now and are asked for next.
    at_hand: Vec<(Protocol, Message, Arc<Dump>)>,
    /// The machine that stands for the kernel, where it is played.
    #[cfg(feature = "replay")]
    machine: Option<Arc<dyn crate::replay::Machine>>,
}

/// A session that is opened when it is needed, which for most namespaces of guests is never.
enum Line {
    Closed,
    Open(Session),
    /// The kernel lacks the netlink family.
    Missing,
}

/// Version of what is known of the links of a namespace: their names, indexes and settings. Whatever was read by another
/// version may be about other links, and is stale. No two namespaces ever have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epoch {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
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
        let id = roam::Id::of(&file).map_err(|e| Error::io(what.as_str(), e))?;
        let route = roam::enter(&file, id, &what, || Session::open(Protocol::Route))?;
        let mut namespace = Self::new(file, id, netns, route)?;
        namespace.watch(watch);
        namespace.read_owner()?;
        Ok(namespace)
    }

    /// A namespace that was just made, of which everything is known.
    fn fresh(file: OwnedFd, netns: Netns, route: Session, owner: Owner, watch: &Watch) -> Result<Self> {
        let id = roam::Id::of(&file).map_err(|e| Error::io(format!("enter the namespace {netns}"), e))?;
        let mut namespace = Self::new(file, id, netns, route)?;
        namespace.watch(watch);
        namespace.names = link::Names::fresh();
        namespace.sysctls = sysctl::Known::of_new(namespace.cookie);
        namespace.owner = Some(owner);
        Ok(namespace)
    }

    fn new(file: OwnedFd, id: roam::Id, netns: Netns, route: Session) -> Result<Self> {
        let cookie = sys::netns_cookie(route.as_raw_fd())
            .map_err(|_| Error::Unsupported("guestnet needs Linux 5.14 or later (SO_NETNS_COOKIE)".into()))?;
        Ok(Self::with(file, id, netns, route, cookie))
    }

    fn with(file: OwnedFd, id: roam::Id, netns: Netns, route: Session, cookie: u64) -> Self {
        Self {
            netns,
            file,
            id,
            cookie,
            owner: None,
            route,
            xfrm: Line::Closed,
            netfilter: Line::Closed,
            names: link::Names::default(),
            sysctls: sysctl::Known::default(),
            epoch: Epoch::next(),
            watch: Watch::default(),
            keepsakes: HashMap::new(),
            transactions: Transactions::default(),
            transcript: None,
            at_hand: Vec::new(),
            #[cfg(feature = "replay")]
            machine: None,
        }
    }

    /// Tells `watch` from now on of every act in it.
    pub fn watch(&mut self, watch: &Watch) {
        self.watch = watch.clone();
        watch.hear(&self.netns, Heard::Namespace(self.cookie));
        self.route.watched(&self.netns, watch);
        for line in [&mut self.xfrm, &mut self.netfilter] {
            if let Line::Open(session) = line {
                session.watched(&self.netns, watch);
            }
        }
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

    /// Makes it the namespace of `owner`, whose mark it had not.
    ///
    /// Equivalent: `ip link set lo alias 'guestnet owner=…'`.
    ///
    /// # Errors
    /// `Io`; `EPERM` without `CAP_NET_ADMIN`.
    pub fn adopt(&mut self, owner: Owner) -> Result<()> {
        let failed = |errno| {
            Error::io(format!("mark the namespace {}", self.netns), std::io::Error::from_raw_os_error(errno))
        };
        if let Some((_, refusal)) =
            self.route.exchange(&mut [link::mark_loopback(&owner.mark())])?.into_iter().next()
        {
            return Err(failed(refusal.errno));
        }
        self.owner = Some(owner);
        self.names_mut();
        Ok(())
    }

    /// Whether the name still stands for this namespace, and not for another that was made since.
    pub fn is_still(&self, name: &NetnsName) -> bool {
        #[cfg(feature = "replay")]
        if self.machine.is_some() {
            return true;
        }
        nix::sys::stat::stat(&path(name)).is_ok_and(|stat| roam::Id::from(stat) == self.id)
    }

    /// Its descriptor.
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Calls the kernel's `index` by its name, as of the last time that it was read.
    pub fn link_name(&self, index: u32) -> Option<&LinkName> {
        self.names.by_index.get(&index)
    }

    /// Whether the interface with `index` is known to be ours.
    pub(crate) fn owns(&self, index: u32) -> bool {
        self.names.ours.contains(&index)
    }

    /// Whether the interface with `index` is known to be ours, and was up when links were read.
    pub(crate) fn is_ours_and_up(&self, index: u32) -> bool {
        self.names.up.contains(&index)
    }

    /// Whether the interface with `index` is known to be a bridge with a spanning tree.
    pub(crate) fn has_stp(&self, index: u32) -> bool {
        self.names.stp.contains(&index)
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
        self.names_mut().forget(&gone);
        self.names_mut().learn(&dump);
        Ok(dump)
    }

    fn names_mut(&mut self) -> &mut link::Names {
        self.epoch = Epoch::next();
        &mut self.names
    }

    /// Version of what is known of its links.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Takes the names from a dump of all links.
    pub(crate) fn learn_links(&mut self, dump: &Dump) {
        let mut names = link::Names { complete: true, ..link::Names::default() };
        names.learn(dump);
        let same = names.indexes == self.names.indexes && names.conf == self.names.conf;
        if !same {
            self.epoch = Epoch::next();
        }
        self.names = names;
        self.owner = self.names.alias.as_deref().and_then(Owner::read);
    }

    /// Whether there is a link called `name`, as far as links are known.
    pub(crate) fn knows_link(&self, name: &LinkName) -> bool {
        self.names.indexes.contains_key(name)
    }

    /// The names of all links, if all are known and not only some.
    pub(crate) fn all_links(&self) -> Option<impl Iterator<Item = &LinkName>> {
        self.names.complete.then(|| self.names.indexes.keys())
    }

    /// A setting of the link called `name`, as of the last time that it was read; `None` where it was not told.
    pub(crate) fn link_setting(&self, name: &LinkName, family: &str, parameter: &str) -> Option<i32> {
        self.names.conf.get(self.names.indexes.get(name)?)?.get(family, parameter)
    }

    /// Forgets the settings of `link`, or of all, because something may have changed them.
    pub fn forget_settings(&mut self, link: Option<&LinkName>) {
        self.sysctls.forget_values();
        let names = self.names_mut();
        match link {
            Some(link) => {
                names.indexes.get(link).into_iter().for_each(|index| drop(names.conf.remove(index)))
            }
            None => names.conf = HashMap::new(),
        }
    }

    /// Forgets links that were deleted.
    pub fn forget_links<'a>(&mut self, names: impl IntoIterator<Item = &'a LinkName>) {
        // Others may get their names, with other sysctls.
        self.sysctls.forget_values();
        self.names_mut().forget(&names.into_iter().collect::<Vec<_>>());
    }

    /// Whether its ledger of sysctls spoke of links that are gone, or was damaged, when it was last read:
    /// [`tidy`](crate::sysctl::tidy).
    pub fn ledger_is_stale(&self) -> bool {
        self.sysctls.ledger_is_stale()
    }

    /// Warnings of what was passed over in its ledger of sysctls when all of it was last read.
    pub fn warnings(&self) -> &[String] {
        &self.sysctls.complaints
    }

    /// The host that it belongs to is locked, or is so no longer. What its ledger of sysctls says is forgotten, because
    /// somebody else may have written it before, or may after.
    pub fn locked(&mut self, locked: bool) {
        self.sysctls.locked(locked);
    }

    /// Adds the names of links that were asked for.
    pub(crate) fn learn_more(&mut self, links: &Dump) {
        self.names_mut().learn(links);
    }

    /// Reads the owner's mark on `lo`.
    fn read_owner(&mut self) -> Result<()> {
        let dump = self.get_each(Protocol::Route, &[link::get_loopback()])?;
        self.names_mut().learn(&dump);
        self.owner = self.names.alias.as_deref().and_then(Owner::read);
        Ok(())
    }

    /// The ends of veth pairs in it, as of the last time that links were read.
    pub fn veths(&self) -> &BTreeMap<LinkName, link::VethEnd> {
        &self.names.veths
    }

    /// Whether this kernel has the netlink family at all.
    pub fn speaks(&mut self, protocol: Protocol) -> bool {
        self.session(protocol).is_ok()
    }

    fn session(&mut self, protocol: Protocol) -> Result<&mut Session> {
        let what = || format!("enter the namespace {}", self.netns);
        let line = match protocol {
            Protocol::Route => {
                if self.route.is_broken() {
                    self.route = roam::enter(&self.file, self.id, &what(), || Session::open(protocol))?;
                    self.route.watched(&self.netns, &self.watch);
                }
                return Ok(&mut self.route);
            }
            Protocol::Xfrm => &mut self.xfrm,
            Protocol::Netfilter => &mut self.netfilter,
        };
        let is_open = match line {
            Line::Open(session) => !session.is_broken(),
            Line::Missing => true,
            Line::Closed => false,
        };
        if !is_open {
            let what = what();
            *line = match roam::enter(&self.file, self.id, &what, || Session::open(protocol)) {
                Ok(mut session) => {
                    session.watched(&self.netns, &self.watch);
                    Line::Open(session)
                }
                Err(e) if e.errno() == Some(libc::EPROTONOSUPPORT) => Line::Missing,
                Err(e) => return Err(e),
            };
        }
        match line {
            Line::Open(session) => Ok(session),
            Line::Closed | Line::Missing => {
                let part = if protocol == Protocol::Xfrm { "IPsec (CONFIG_XFRM_USER)" } else { "nf_tables" };
                Err(Error::Unsupported(format!("this kernel has no {part}")))
            }
        }
    }

    /// Texts of files of the kernel that are the namespace's own, below `/proc/sys/net` and `/proc/thread-self/net`: nothing of one that
    /// cannot be read.
    ///
    /// # Errors
    /// `Io` when the namespace cannot be entered.
    pub fn texts_of<const N: usize>(&self, files: [&str; N]) -> Result<[Option<String>; N]> {
        #[cfg(feature = "replay")]
        if let Some(machine) = &self.machine {
            return Ok(files.map(|file| machine.file(&self.netns, file)));
        }
        let texts = self.inside(|| Ok(files.map(|file| std::fs::read_to_string(file).ok())))?;
        for (file, text) in files.iter().zip(&texts) {
            self.watch.hear(&self.netns, Heard::File(file, text.as_deref()));
        }
        Ok(texts)
    }

    /// Runs `work` inside the namespace, as in [`roaming`]: for `/proc/sys/net` and for making sockets.
    ///
    /// # Errors
    /// What `work` returns, and `Io` when the namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        roam::enter(&self.file, self.id, &format!("enter the namespace {}", self.netns), work)
    }
}
