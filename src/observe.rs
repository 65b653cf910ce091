//! Reading a host: its own namespace, those that it made, and its files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use guestnet_core::link::Peer;
use guestnet_core::netns;
use guestnet_core::owner::Owner;
use guestnet_core::{
    File, Foreign, Link, LinkKind, LinkName, Namespace, Netns, NetnsName, Observed, Result, Ripple,
    Transcript, Watch, file,
};

use crate::memory::Memory;
use crate::objects::{Found, NamespaceObjects, Objects, Recollection};
use crate::plan::NamedNamespace;
use crate::seen::{Scope, Seen};

/// The namespaces of a host, opened.
pub(crate) struct Namespaces {
    pub(crate) open: BTreeMap<Netns, Namespace>,
    pub(crate) watch: Watch,
}

impl Namespaces {
    /// The host's own, and none that it made.
    pub(crate) fn of(host: Namespace) -> Self {
        Self { open: BTreeMap::from([(Netns::Host, host)]), watch: Watch::default() }
    }

    /// Tells `watch` from now on of every act in any of them.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.open.values_mut().for_each(|namespace| namespace.watch(&watch));
        self.watch = watch;
    }

    /// Opens the namespace that `ip netns` calls `name`.
    pub(crate) fn named(&self, name: &NetnsName) -> Result<Namespace> {
        Namespace::enter(netns::open(name)?, Netns::Named(name.clone()), &self.watch)
    }

    /// The one that plans call `netns`, opened if need be; `None` where there is none that carries our mark.
    pub(crate) fn one(&mut self, owner: Owner, netns: &Netns) -> Option<&mut Namespace> {
        if let Netns::Named(name) = netns
            && !self.open.get(netns).is_some_and(|namespace| namespace.is_still(name))
        {
            self.open.remove(netns);
            let ours = self.named(name).ok().filter(|namespace| namespace.owner() == Some(owner))?;
            self.open.insert(netns.clone(), ours);
        }
        self.open.get_mut(netns)
    }

    /// Opens those that are there and carry our mark, as far as they are not open yet: all of them, or those of `wanted`.
    /// Returns those of `wanted` that are somebody else's.
    pub(crate) fn refresh(
        &mut self,
        owner: Owner,
        wanted: &Objects,
        scope: Scope,
    ) -> Result<BTreeSet<NetnsName>> {
        let present = match scope {
            Scope::All => {
                // A name may be gone, or stand for a new namespace by now.
                self.open.retain(|netns, namespace| match netns {
                    Netns::Host => true,
                    Netns::Named(name) => namespace.is_still(name),
                });
                netns::list()?
            }
            Scope::Keys => {
                for name in wanted.namespaces.keys() {
                    let netns = Netns::Named(name.clone());
                    if self.open.get(&netns).is_some_and(|namespace| !namespace.is_still(name)) {
                        self.open.remove(&netns);
                    }
                }
                wanted.namespaces.keys().filter(|name| netns::is_mounted(name)).cloned().collect()
            }
        };
        let mut foreign = BTreeSet::new();
        for name in present {
            let netns = Netns::Named(name.clone());
            if self.open.contains_key(&netns) {
                continue;
            }
            match self.named(&name) {
                Ok(namespace) if namespace.owner() == Some(owner) => {
                    self.open.insert(netns, namespace);
                }
                _ if wanted.namespaces.contains_key(&name) => {
                    foreign.insert(name);
                }
                _ => {}
            }
        }
        Ok(foreign)
    }
}

/// What was found on a host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    found: BTreeMap<Netns, Found>,
    foreign_namespaces: BTreeSet<NetnsName>,
    others: BTreeMap<NetnsName, Vec<String>>,
    pub(crate) files: Seen<File>,
    nothing: Found,
    /// Whether only that was read which others of the acknowledged changes may have changed.
    pub(crate) again: bool,
    /// Whether it is what [`Memory`] remembers now.
    pub(crate) recalled: bool,
}

impl Observation {
    /// Reads everything that is ours, and what of others' holds a key of `named`; or nothing but what has a key of `named`.
    /// `desired` says which namespaces stay. What is remembered of everything need not be read again where it is the same.
    pub(crate) fn read(
        namespaces: &mut Namespaces,
        owner: Owner,
        directory: &Path,
        named: &Objects,
        desired: &Objects,
        scope: Scope,
        memory: Option<&mut Memory>,
    ) -> Result<Self> {
        let foreign_namespaces = namespaces.refresh(owner, named, scope)?;
        let recalled = memory.is_some();
        let (recollections, files) = match memory {
            Some(Memory { namespaces, files, .. }) => (Some(namespaces), Some(files)),
            None => (None, None),
        };
        let many = files.as_ref().is_some_and(|files| files.len() > MANY);
        let read_files = || match (scope, files) {
            (Scope::All, Some(files)) => files.read(directory, owner, named),
            (Scope::All, None) => {
                file::observe(directory, owner, &named.files, &mut Transcript::default()).map(Seen::of)
            }
            (Scope::Keys, _) => file::observe_keys(directory, owner, &named.files).map(Seen::of),
        };
        let read_namespaces = || Self::read_namespaces(namespaces, named, desired, scope, recollections);
        let (files, seen) = beside(many, read_files, read_namespaces);
        Ok(Self { files: files?, foreign_namespaces, recalled, ..seen? })
    }

    fn read_namespaces(
        namespaces: &mut Namespaces,
        named: &Objects,
        desired: &Objects,
        scope: Scope,
        mut recollections: Option<&mut BTreeMap<Netns, Recollection>>,
    ) -> Result<Self> {
        let mut found = BTreeMap::new();
        let empty = NamespaceObjects::default();
        let mut gone = false;
        if let Some(recollections) = &mut recollections {
            let before = recollections.len();
            recollections.retain(|netns, _| namespaces.open.contains_key(netns));
            gone = recollections.len() < before;
        }
        for (netns, namespace) in &mut namespaces.open {
            let named = match netns {
                Netns::Host => Some(&named.host),
                Netns::Named(name) => named.namespaces.get(name),
            };
            if let Some(named) = named.or((scope == Scope::All).then_some(&empty)) {
                let here = match &mut recollections {
                    Some(known) => Found::recall(namespace, named, known.entry(netns.clone()).or_default())?,
                    None => Found::read(namespace, named, scope)?,
                };
                found.insert(netns.clone(), here);
            }
        }
        // A pair has ends in two namespaces: when links of one are others now, so may be those of another.
        if gone || found.values().any(|found| !found.links.is_settled()) {
            found.values_mut().for_each(|found| found.links.settle(false));
        }
        name_the_other_ends(namespaces, &mut found);
        let mut others = BTreeMap::new();
        for (netns, namespace) in &mut namespaces.open {
            // It matters only where the namespace would go.
            if let (Netns::Named(name), Some(found)) = (netns.clone(), found.get_mut(netns))
                && !desired.namespaces.contains_key(&name)
            {
                if scope == Scope::Keys {
                    // With a namespace goes all that is in it: it is read whole.
                    *found = Found::read(namespace, &empty, Scope::All)?;
                }
                others.insert(name, residents(namespace, found)?);
            }
        }
        Ok(Self { found, others, ..Self::default() })
    }

    /// Reads again what changes that were acknowledged may have changed besides, in the namespaces that `ripples` names.
    /// Those that were made are open.
    pub(crate) fn read_again(
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
            found.insert(netns.clone(), Found::read_again(namespace, named, scope, *ripple)?);
        }
        name_the_other_ends(namespaces, &mut found);
        Ok(Self { found, again: true, ..Self::default() })
    }

    /// What is ours.
    pub(crate) fn into_ours(self) -> Objects {
        let mut objects = Objects { files: self.files.into_ours(), ..Objects::default() };
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
        for name in &self.foreign_namespaces {
            let what = format!("a namespace {name} that guestnet did not make for this host");
            observed.foreign.insert(name.clone(), Foreign { what, satisfies: false });
        }
        observed
    }

    /// Every namespace in which something is or shall be, and may be different from what it shall be.
    pub(crate) fn everywhere(&self, wanted: &Objects) -> BTreeSet<Netns> {
        if self.again {
            return self.found.keys().cloned().collect();
        }
        let wanted = wanted.namespaces.keys().filter(|name| !self.foreign_namespaces.contains(*name));
        let known = self.found.keys().cloned().chain([Netns::Host]);
        known.chain(wanted.cloned().map(Netns::Named)).collect()
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

    /// What lives in a namespace of ours without being ours, so that the namespace cannot be deleted.
    pub(crate) fn others_in(&self, name: &NetnsName) -> &[String] {
        self.others.get(name).map_or(&[], Vec::as_slice)
    }
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

/// The links and tables in a namespace that are not ours.
fn residents(namespace: &mut Namespace, found: &Found) -> Result<Vec<String>> {
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

/// Finds the other ends of veth pairs that span namespaces, which no namespace alone can name: of two ends, each
/// gives the other's index.
fn name_the_other_ends(namespaces: &Namespaces, found: &mut BTreeMap<Netns, Found>) {
    let mut ends: BTreeMap<(u32, u32), Vec<(&Netns, &LinkName)>> = BTreeMap::new();
    for (netns, namespace) in &namespaces.open {
        for (name, end) in namespace.veths().iter().filter(|(_, end)| end.elsewhere.is_some()) {
            ends.entry((end.index, end.peer_index)).or_default().push((netns, name));
        }
    }
    for (netns, namespace) in &namespaces.open {
        let Some(found) = found.get_mut(netns).filter(|found| !found.links.is_settled()) else { continue };
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
                (Some(_), Some(_)) => continue,
            };
            let unnamed = |link: &&mut Link| link.kind == LinkKind::Other("veth".into());
            if let Some(link) = found.links.ours_mut().get_mut(name).filter(unnamed) {
                link.kind = kind;
            }
        }
    }
}
