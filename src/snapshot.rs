//! Reading a host: its own namespace, those that it made, and its files.
//!
//! A [`Snapshot`] is the truth of what it was asked for: all that is ours, or all that holds one of some keys. An [`Update`]
//! has only those kinds that may have changed; of the others it has nothing, so it cannot be taken for a snapshot.
//!
//! Others may change the host at any moment. Who does so between reading and writing, or between two calls, is in one of these
//! races; the tests are in `tests/races.rs` where no other file is named:
//!
//! | race | held by | test |
//! |---|---|---|
//! | an index is used again for another's link | links are addressed by name; what is read by an older [`Epoch`] is stale. Addresses and routes go by index: one that meets another's link carries our mark, and the next apply takes it away | `a_link_of_anothers_with_the_index_of_ours_stays_as_it_is` |
//! | a link is renamed | its group makes it ours: it goes, and the wanted one is made | `a_link_that_was_renamed_is_ours_still_and_made_again_under_its_name` |
//! | a namespace is made anew under its name | it has another inode, and no mark of ours: a conflict | `a_namespace_that_was_made_anew_by_another_is_the_others` |
//! | a ruleset is flushed | elements for a table that is gone are refused, and what was done is undone | `a_flush_between_reading_and_writing_is_found`, `a_flush_before_every_act_is_survived` |
//! | an object takes a place that was free | creations insist (`NLM_F_EXCL`), or what is read again is a conflict: undone | `what_comes_in_the_way_in_a_later_round_undoes_the_first` in `tests/undo.rs` |
//! | a dump is interrupted | it is taken again (`NLM_F_DUMP_INTR`), then the call fails with "busy" | `a_dump_that_is_interrupted_is_taken_again` |
//!
//! [`Epoch`]: guestnet_core::netns::Epoch

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use guestnet_core::link::Peer;
use guestnet_core::owner::Owner;
use guestnet_core::{
    File, FilePath, Foreign, Link, LinkKind, LinkName, Namespace, Netns, NetnsName, Observed, Result, Ripple,
    Transcript, file,
};

use crate::namespaces::Namespaces;
use crate::objects::{Found, NamespaceObjects, Objects, Reread};
use crate::plan::NamedNamespace;

mod cache;

pub(crate) use cache::{Cache, Recorded};

/// How much of a host is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All that is ours, and of others' what holds a wanted key.
    All,
    /// Only what holds a wanted key: what that costs does not grow with what else is there.
    Keys,
}

/// What is to be read of a host.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Objects whose keys are looked up, also where others hold them.
    pub(crate) named: &'a Objects,
    /// Objects that shall be: the namespaces among them stay.
    pub(crate) desired: &'a Objects,
    pub(crate) scope: Scope,
}

impl<'a> Request<'a> {
    /// Everything that is ours, for a host that shall have `desired`.
    pub(crate) fn all(desired: &'a Objects) -> Self {
        Self { named: desired, desired, scope: Scope::All }
    }
}

/// Everything that was asked for, as it was when it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    found: BTreeMap<Netns, Found>,
    /// In words.
    foreign_namespaces: BTreeMap<NetnsName, String>,
    others: BTreeMap<NetnsName, Vec<String>>,
    files: Arc<Observed<File>>,
    /// Whether files are known to be as wanted.
    files_in_sync: bool,
    nothing: Found,
}

/// Those kinds that acknowledged changes may have changed besides what they are about, read again.
#[derive(Debug, Default)]
pub(crate) struct Update {
    pub(crate) found: BTreeMap<Netns, Reread>,
}

impl Snapshot {
    /// Reads what `request` asks for.
    pub(crate) fn read(
        namespaces: &mut Namespaces,
        owner: Owner,
        directory: &Path,
        request: Request<'_>,
    ) -> Result<Self> {
        let Request { named, scope, .. } = request;
        let foreign_namespaces = namespaces.refresh(owner, named, scope)?;
        let files = match scope {
            Scope::All => file::observe(directory, owner, &named.files, &mut Transcript::default())?,
            Scope::Keys => file::observe_keys(directory, owner, &named.files)?,
        };
        let mut found = BTreeMap::new();
        let empty = NamespaceObjects::default();
        for (netns, namespace) in &mut namespaces.open {
            if let Some(named) = named.of(netns).or((scope == Scope::All).then_some(&empty)) {
                found.insert(netns.clone(), Found::read(namespace, named, scope)?);
            }
        }
        let others = residents(namespaces, &mut found, request)?;
        name_the_other_ends(namespaces, &mut found);
        Ok(Self { found, foreign_namespaces, others, files: Arc::new(files), ..Self::default() })
    }

    /// Reads everything that is ours. What `cache` has of it need not be understood again where the kernel's answers are the
    /// same, byte for byte.
    pub(crate) fn recall(
        namespaces: &mut Namespaces,
        owner: Owner,
        directory: &Path,
        desired: &Objects,
        cache: &mut Cache,
    ) -> Result<Self> {
        let foreign_namespaces = namespaces.refresh(owner, desired, Scope::All)?;
        let Cache { namespaces: recorded, files, .. } = cache;
        let many = files.len() > MANY;
        let (files, found) = beside(
            many,
            || files.read(directory, owner, desired),
            || recall_namespaces(namespaces, desired, recorded),
        );
        let ((files, files_in_sync), mut found) = (files?, found?);
        let others = residents(namespaces, &mut found, Request::all(desired))?;
        Ok(Self { found, foreign_namespaces, others, files, files_in_sync, ..Self::default() })
    }

    /// As if `ours` had been read, and nothing of others'.
    pub(crate) fn of(ours: &Objects) -> Self {
        let found = ours.iter().map(|(netns, objects)| (netns, Found::of(objects))).collect();
        let files = Observed { ours: ours.files.clone(), ..Observed::default() };
        Self { found, files: Arc::new(files), ..Self::default() }
    }

    /// What is ours.
    pub(crate) fn into_ours(self) -> Objects {
        let files = Arc::unwrap_or_clone(self.files).ours;
        let mut objects = Objects { files, ..Objects::default() };
        for (netns, found) in self.found {
            *objects.in_namespace(&netns) = found.into_ours();
        }
        objects
    }

    /// A copy of what is ours.
    pub(crate) fn ours(&self) -> Objects {
        self.clone().into_ours()
    }

    /// The namespaces as a set.
    pub(crate) fn namespaces(&self) -> Observed<NamedNamespace> {
        let mut observed = Observed::default();
        for netns in self.found.keys() {
            if let Netns::Named(name) = netns {
                observed.ours.insert(NamedNamespace(name.clone()));
            }
        }
        for (name, what) in &self.foreign_namespaces {
            observed.foreign.insert(name.clone(), Foreign { what: what.clone(), satisfies: false });
        }
        observed
    }

    /// The files, unless they are known to be as wanted.
    pub(crate) fn files(&self) -> Option<&Observed<File>> {
        (!self.files_in_sync).then_some(&*self.files)
    }

    /// Every namespace in which something is or shall be.
    pub(crate) fn everywhere(&self, wanted: &Objects) -> BTreeSet<Netns> {
        let wanted = wanted.namespaces.keys().filter(|name| !self.foreign_namespaces.contains_key(*name));
        let known = self.found.keys().cloned().chain([Netns::Host]);
        known.chain(wanted.cloned().map(Netns::Named)).collect()
    }

    /// Whether `netns` is there and ours.
    pub(crate) fn has(&self, netns: &Netns) -> bool {
        self.found.contains_key(netns)
    }

    /// Whether the file is there and ours.
    pub(crate) fn has_file(&self, path: &FilePath) -> bool {
        self.files.ours.contains(path)
    }

    /// What was found in `netns`; nothing where the namespace is not there yet.
    pub(crate) fn in_namespace(&self, netns: &Netns) -> &Found {
        self.found.get(netns).unwrap_or(&self.nothing)
    }

    /// The states and policies of `netns`, by tunnel; `None` where there is no state.
    pub(crate) fn ipsec(&self, netns: &Netns) -> Option<guestnet_xfrm::rekey::Found> {
        let found = self.found.get(netns).filter(|found| !found.states.ours.is_empty())?;
        Some(guestnet_xfrm::rekey::Found::new((*found.states).clone(), (*found.policies).clone()))
    }

    /// Whether making this into `wanted` would take things along that were not read.
    pub(crate) fn needs_the_whole(&self, wanted: &Objects) -> bool {
        wanted.iter().any(|(netns, wanted)| self.in_namespace(&netns).needs_the_whole(wanted))
    }

    /// Adds to `wanted` what is on the host of the things that guests share.
    pub(crate) fn join(&self, wanted: &mut Objects) -> Result<()> {
        let mut problems = wanted.host.join(self.in_namespace(&Netns::Host)).err().unwrap_or_default();
        for (name, objects) in &mut wanted.namespaces {
            let found = self.in_namespace(&Netns::Named(name.clone()));
            problems.extend(objects.join(found).err().into_iter().flatten());
        }
        if problems.is_empty() { Ok(()) } else { Err(guestnet_core::Error::Unsupported(problems.join("\n"))) }
    }

    /// Links, tables and the like in a namespace of ours that are not ours, so that the namespace cannot be deleted.
    pub(crate) fn others_in(&self, name: &NetnsName) -> &[String] {
        self.others.get(name).map_or(&[], Vec::as_slice)
    }
}

impl Update {
    /// Reads again what changes that were acknowledged may have changed besides, in the namespaces that `ripples` names.
    /// Those that were made are open.
    pub(crate) fn read(
        namespaces: &mut Namespaces,
        named: &Objects,
        scope: Scope,
        ripples: &BTreeMap<Netns, Ripple>,
    ) -> Result<Self> {
        let mut found = BTreeMap::new();
        let empty = NamespaceObjects::default();
        for (netns, ripple) in ripples {
            let Some(namespace) = namespaces.open.get_mut(netns) else { continue };
            let named = named.of(netns).unwrap_or(&empty);
            found.insert(netns.clone(), Reread::read(namespace, named, scope, *ripple)?);
        }
        name_the_other_ends(namespaces, &mut found);
        Ok(Self { found })
    }
}

fn recall_namespaces(
    namespaces: &mut Namespaces,
    wanted: &Objects,
    recorded: &mut BTreeMap<Netns, Recorded>,
) -> Result<BTreeMap<Netns, Found>> {
    let mut found = BTreeMap::new();
    let empty = NamespaceObjects::default();
    let before = recorded.len();
    recorded.retain(|netns, _| namespaces.open.contains_key(netns));
    // A pair has ends in two namespaces: when links of one are others now, so may be what another calls its ends.
    let mut links_changed = recorded.len() < before;
    for (netns, namespace) in &mut namespaces.open {
        let wanted = wanted.of(netns).unwrap_or(&empty);
        let here = recorded.entry(netns.clone()).or_default();
        links_changed |= !here.recall(namespace, wanted)?;
        found.insert(netns.clone(), here.found());
    }
    if links_changed {
        name_the_other_ends(namespaces, &mut found);
        for (netns, found) in &mut found {
            recorded.entry(netns.clone()).or_default().learn_links(found);
        }
    }
    Ok(found)
}

/// With more files than this they are looked at by a thread of their own.
const MANY: usize = 500;

/// What `a` and `b` return, done at the same time where there are `many` of what `a` is about.
fn beside<A: Send, B>(many: bool, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B) -> (A, B) {
    if !many {
        return (a(), b());
    }
    std::thread::scope(|scope| {
        let a = scope.spawn(a);
        let b = b();
        (a.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), b)
    })
}

/// The links that the kernel puts into every namespace once a module is loaded; nobody made them.
const FALLBACKS: [&str; 13] = [
    "lo",
    "tunl0",
    "gre0",
    "gretap0",
    "erspan0",
    "ip_vti0",
    "ip6_vti0",
    "sit0",
    "ip6tnl0",
    "ip6gre0",
    "ip6gretap0",
    "ip6erspan0",
    "teql0",
];

/// What others have in the namespaces that would go.
fn residents(
    namespaces: &mut Namespaces,
    found: &mut BTreeMap<Netns, Found>,
    request: Request<'_>,
) -> Result<BTreeMap<NetnsName, Vec<String>>> {
    let mut others = BTreeMap::new();
    for (netns, namespace) in &mut namespaces.open {
        if let (Netns::Named(name), Some(found)) = (netns.clone(), found.get_mut(netns))
            && !request.desired.namespaces.contains_key(&name)
        {
            if request.scope == Scope::Keys {
                // With a namespace goes all that is in it: it is read whole.
                *found = Found::read(namespace, &NamespaceObjects::default(), Scope::All)?;
            }
            others.insert(name, residents_of(namespace, found)?);
        }
    }
    Ok(others)
}

/// The links and tables in a namespace that are not ours.
fn residents_of(namespace: &mut Namespace, found: &Found) -> Result<Vec<String>> {
    let ours = |name: &LinkName| found.links.ours.contains(name);
    let links = namespace.link_indexes();
    let links = links.keys();
    let mut residents: Vec<String> = links
        .filter(|name| !ours(name) && !FALLBACKS.contains(&name.as_str()))
        .map(|name| format!("link {name}"))
        .collect();
    let tables = guestnet_nft::foreign_tables(namespace)?;
    residents.extend(tables.into_iter().map(|table| format!("table {table}")));
    Ok(residents)
}

/// Links that were read in each namespace.
trait Links {
    fn links(&mut self) -> Option<&mut Arc<Observed<Link>>>;
}

impl Links for Found {
    fn links(&mut self) -> Option<&mut Arc<Observed<Link>>> {
        Some(&mut self.links)
    }
}

impl Links for Reread {
    fn links(&mut self) -> Option<&mut Arc<Observed<Link>>> {
        self.links.as_mut()
    }
}

/// Finds the other ends of veth pairs that span namespaces, which no namespace alone can name: of two ends, each
/// gives the other's index.
fn name_the_other_ends(namespaces: &Namespaces, found: &mut BTreeMap<Netns, impl Links>) {
    let mut ends: BTreeMap<(u32, u32), Vec<(&Netns, &LinkName)>> = BTreeMap::new();
    for (netns, namespace) in &namespaces.open {
        for (name, end) in namespace.veths().iter().filter(|(_, end)| end.elsewhere.is_some()) {
            ends.entry((end.index, end.peer_index)).or_default().push((netns, name));
        }
    }
    for (netns, namespace) in &namespaces.open {
        let Some(links) = found.get_mut(netns).and_then(Links::links) else { continue };
        for (name, end) in namespace.veths().iter().filter(|(_, end)| end.elsewhere.is_some()) {
            let candidates = ends.get(&(end.peer_index, end.index)).map_or(&[][..], Vec::as_slice);
            let mut others = candidates.iter().filter(|(other, _)| *other != netns);
            let kind = match (others.next(), others.next()) {
                (Some((Netns::Host, peer)), None) => {
                    LinkKind::Veth(Peer { peer: (*peer).clone(), namespace: None })
                }
                (Some((Netns::Named(name), peer)), None) => {
                    LinkKind::Veth(Peer { peer: (*peer).clone(), namespace: Some(name.clone()) })
                }
                // Its namespace went, perhaps this very moment, and this end will follow. No wanted pair accepts it.
                (None, _) => LinkKind::Other("veth without its other end".into()),
                // One of several.
                (Some(_), Some(_)) => LinkKind::Other("veth".into()),
            };
            // A link that is being deleted is of no kind.
            let stale = |link: &&Link| link.kind != kind && link.kind.is_veth();
            if links.ours.get(name).filter(stale).is_some()
                && let Some(link) = Arc::make_mut(links).ours.get_mut(name)
            {
                link.kind = kind;
            }
        }
    }
}
