//! The registry of kinds: what a namespace can have, and the one line that a new kind needs here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use guestnet_core::diff::{Conflict, diff};
use guestnet_core::netns::Epoch;
use guestnet_core::{
    Address, Change, Context, File, Kind, Link, LinkName, Namespace, Netns, NetnsName, Object, Observed,
    Outbox, Pass, Path, Phase, Problems, Result, Ripple, Route, Set, Sysctl, Transcript,
};
use guestnet_ndp::{PermanentNeighbour, ProxyNeighbour};
use guestnet_nft::Table;
use guestnet_xfrm::{HashThreshold, Policy, Secrets, State};
use serde::{Deserialize, Serialize};

use self::check::CheckIn;
use self::doomed::Doomed;
use crate::snapshot::{Scope, Snapshot};

mod check;
mod doomed;

/// All that a host has, or shall have, by namespace; files stand beside the namespaces.
///
/// What [`crate::Host::observe`] returns and what a spec lowers to are this one type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// In the host's own namespace.
    #[serde(skip_serializing_if = "NamespaceObjects::is_empty")]
    pub host: NamespaceObjects,
    /// In the namespaces that guestnet makes, by name. That a name is here makes the namespace.
    #[serde(deserialize_with = "crate::spec::json::each_once", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, NamespaceObjects>")]
    pub namespaces: BTreeMap<NetnsName, NamespaceObjects>,
    /// Files for daemons.
    #[serde(skip_serializing_if = "Set::is_empty")]
    pub files: Set<File>,
}

impl Objects {
    /// The objects in `netns`, an empty set of them if there were none.
    pub fn in_namespace(&mut self, netns: &Netns) -> &mut NamespaceObjects {
        match netns {
            Netns::Host => &mut self.host,
            Netns::Named(name) => self.namespaces.entry(name.clone()).or_default(),
        }
    }

    /// The objects in `netns`, if it is one of these namespaces.
    pub fn of(&self, netns: &Netns) -> Option<&NamespaceObjects> {
        match netns {
            Netns::Host => Some(&self.host),
            Netns::Named(name) => self.namespaces.get(name),
        }
    }

    /// Each namespace with its objects, the host's own first.
    pub fn iter(&self) -> impl Iterator<Item = (Netns, &NamespaceObjects)> {
        let named = self.namespaces.iter().map(|(name, objects)| (Netns::Named(name.clone()), objects));
        std::iter::once((Netns::Host, &self.host)).chain(named)
    }

    /// Reads the keys that stand in files, and finds those that are named.
    pub(crate) fn load_secrets(&mut self, secrets: &Secrets, path: &Path, problems: &mut Problems) {
        let named = self.namespaces.iter_mut();
        let named = named.map(|(name, objects)| (path.field("namespaces").field(name.as_str()), objects));
        for (path, objects) in std::iter::once((path.field("host"), &mut self.host)).chain(named) {
            for (n, state) in objects.states.with_positions_mut() {
                if let Err(error) = state.key.load(secrets) {
                    problems.at(&path.field("states").index(n).field("key"), error.to_string());
                }
            }
        }
    }

    /// A copy in which each object has its place in its list as its origin.
    pub(crate) fn numbered(&self) -> Self {
        let named = self.namespaces.iter().map(|(name, objects)| (name.clone(), objects.numbered()));
        Self { host: self.host.numbered(), namespaces: named.collect(), files: self.files.numbered() }
    }

    /// Notes what is wrong with each object.
    pub(crate) fn check(&self, path: &Path, problems: &mut Problems) {
        for (netns, objects) in self.iter() {
            let here = match &netns {
                Netns::Host => path.field("host"),
                Netns::Named(name) => path.field("namespaces").field(name.as_str()),
            };
            objects.check(&netns, &here, problems);
        }
    }

    /// Adds what `other` has; of two objects with one key the other's stays.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.host.merge(other.host.clone());
        for (name, objects) in &other.namespaces {
            self.namespaces.entry(name.clone()).or_default().merge(objects.clone());
        }
        self.files.extend(other.files.iter().cloned());
    }

    /// Takes away what has the key of something in `gone`, and namespaces that `gone` has and that are left with nothing.
    pub(crate) fn forget(&mut self, gone: &Self) {
        self.host.forget(&gone.host);
        for (name, gone) in &gone.namespaces {
            if let Some(objects) = self.namespaces.get_mut(name) {
                objects.forget(gone);
                if objects.is_empty() {
                    self.namespaces.remove(name);
                }
            }
        }
        self.files.retain(|file| !gone.files.contains(&file.key()));
    }

    /// Notes where `part` wants something else under a key that is taken here.
    pub(crate) fn contradicted_by(&self, part: &Self, path: &Path, problems: &mut Problems) {
        for (netns, part) in part.iter() {
            let Some(here) = self.of(&netns) else { continue };
            let path = match &netns {
                Netns::Host => path.field("host"),
                Netns::Named(name) => path.field("namespaces").field(name.as_str()),
            };
            here.contradicted_by(part, &path, problems);
        }
        for (n, file) in part.files.with_positions() {
            if let Some(there) = self.files.get(&file.key()).filter(|there| *there != file) {
                problems
                    .at(&path.field("files").index(n), format!("is {file} here, but the host has {there}"));
            }
        }
    }

    /// Whether something that these have, and those `before` have not, is there already, and so is somebody else's.
    pub(crate) fn is_taken(&self, before: &Self, there: &Snapshot) -> bool {
        let nothing = NamespaceObjects::default();
        let mut namespaces = self.iter().filter(|(netns, _)| *netns == Netns::Host || there.has(netns));
        let taken = |(netns, objects): (Netns, &NamespaceObjects)| {
            before.of(&netns).is_none()
                || objects.is_taken(before.of(&netns).unwrap_or(&nothing), there.in_namespace(&netns))
        };
        let mut files = self.files.iter().map(Object::key);
        namespaces.any(taken) || files.any(|file| !before.files.contains(&file) && there.has_file(&file))
    }

    /// The same as a spec: without what the kernel gives to every new link, and without objects that no spec can want.
    pub(crate) fn in_short(mut self) -> Self {
        let all = std::iter::once(&mut self.host).chain(self.namespaces.values_mut());
        for objects in all {
            objects.links = std::mem::take(&mut objects.links).into_iter().map(Link::in_short).collect();
            objects.addresses.retain(Address::can_be_wanted);
            objects.routes.retain(Route::can_be_wanted);
        }
        self
    }

    /// How many objects there are, files included.
    pub fn len(&self) -> usize {
        self.files.len() + self.iter().map(|(_, objects)| objects.len()).sum::<usize>()
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.namespaces.is_empty()
    }
}

/// Generates, for the kinds that it is given, everything that must treat all of them alike.
macro_rules! kinds {
    ($($(#[$doc:meta])* $field:ident: $type:ident,)*) => {
        /// The objects of one namespace, a set for each kind.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct NamespaceObjects {
            $(
                $(#[$doc])*
                #[serde(skip_serializing_if = "Set::is_empty")]
                pub $field: Set<$type>,
            )*
        }

        impl NamespaceObjects {
            /// Whether there is nothing.
            pub fn is_empty(&self) -> bool {
                $(self.$field.is_empty())&&*
            }

            /// How many objects there are.
            pub fn len(&self) -> usize {
                [$(self.$field.len()),*].into_iter().sum()
            }

            /// Adds what `other` has; of two objects with one key the other's stays.
            pub fn merge(&mut self, other: Self) {
                $(self.$field.merge(other.$field);)*
            }

            /// Takes away what has the key of something in `gone`.
            fn forget(&mut self, gone: &Self) {
                $(self.$field.retain(|object| !gone.$field.contains(&object.key()));)*
            }

            /// Notes where `part` wants something else under a key that is taken here.
            fn contradicted_by(&self, part: &Self, path: &Path, problems: &mut Problems) {
                $(for (n, here) in part.$field.with_positions() {
                    if let Some(there) = self.$field.get(&here.key()).filter(|there| !here.accepts(there)) {
                        let words = format!("is {here} here, but the host has {there}");
                        problems.at(&path.field(stringify!($field)).index(n), words);
                    }
                })*
            }

            /// Whether something that these have, and those `before` have not, is there already. What is shared may be.
            fn is_taken(&self, before: &Self, there: &Found) -> bool {
                $(let is_new = |key: &<$type as Object>::Key| !before.$field.contains(key) && there.$field.ours.contains(key);
                if ![Sysctl::KIND, Table::KIND].contains(&$type::KIND) && self.$field.iter().any(|o| is_new(&o.key())) {
                    return true;
                })*
                false
            }

            /// The links that its objects live on without being among them.
            fn others_links(&self) -> BTreeSet<LinkName> {
                let mut links: BTreeSet<LinkName> = self.links.iter().filter_map(|link| link.bridge.clone()).collect();
                $(links.extend(self.$field.iter().filter_map(Kind::lives_on).filter(|l| !self.links.contains(l)).cloned());)*
                links
            }

            /// Takes away what `gone` has, but for what others may share.
            pub(crate) fn subtract(&mut self, gone: &Self) {
                $(self.$field.subtract(&gone.$field);)*
            }

            /// Adds what `there` has, which is on the host, to what guests share with it.
            pub(crate) fn join(&mut self, there: &Found) -> std::result::Result<(), Vec<String>> {
                let mut problems = Vec::new();
                $(problems.extend(self.$field.join(&there.$field.ours).err().into_iter().flatten());)*
                if problems.is_empty() { Ok(()) } else { Err(problems) }
            }

            /// Notes what is wrong with each object.
            fn check(&self, netns: &Netns, path: &Path, problems: &mut Problems) {
                $(for (n, object) in self.$field.with_positions() {
                    object.check_in(netns, &path.field(stringify!($field)).index(n), problems);
                })*
            }

            /// Tells `each` of the objects that have an origin: kind, name (as of [`ObjectChange::name`]) and origin.
            pub(crate) fn with_origins(&self, mut each: impl FnMut(&'static str, String, u32)) {
                $(for (origin, object) in self.$field.with_origins() {
                    if let Some(origin) = origin {
                        each($type::KIND, format!("{} {}", $type::KIND, object.key()), origin);
                    }
                })*
            }

            /// The field that has the objects of `kind`.
            pub(crate) fn field_of(kind: &str) -> &'static str {
                $(if kind == $type::KIND {
                    return stringify!($field);
                })*
                ""
            }

            fn numbered(&self) -> Self {
                Self { $($field: self.$field.numbered(),)* }
            }
        }

        /// The kinds, by number.
        enum Number { $($type,)* }

        /// Everything that was read in one namespace.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Found {
            $(pub(crate) $field: Arc<Observed<$type>>,)*
            /// The kinds that are known to be as wanted.
            in_sync: Kinds,
        }

        impl Found {
            /// Reads the namespace. Links come first: the others name them.
            pub(crate) fn read(namespace: &mut Namespace, wanted: &NamespaceObjects, scope: Scope) -> Result<Self> {
                if scope == Scope::Keys {
                    namespace.refresh_links_of(&wanted.others_links())?;
                }
                Ok(Self { $($field: read(namespace, &wanted.$field, scope)?,)* in_sync: Kinds::default() })
            }

            /// As if `ours` had been read, and nothing of others'.
            pub(crate) fn of(ours: &NamespaceObjects) -> Self {
                Self {
                    $($field: Arc::new(Observed { ours: ours.$field.clone(), ..Observed::default() }),)*
                    in_sync: Kinds::default(),
                }
            }

            /// What is ours of it.
            pub(crate) fn into_ours(self) -> NamespaceObjects {
                NamespaceObjects { $($field: Arc::unwrap_or_clone(self.$field).ours,)* }
            }

            /// What has to be compared with what is wanted.
            pub(crate) fn compared(&self) -> Compared<'_> {
                Compared { $($field: (!self.in_sync.has(Number::$type)).then_some(&*self.$field),)* }
            }
        }

        /// Those kinds in one namespace that were read again.
        #[derive(Debug, Default)]
        pub(crate) struct Reread {
            $(pub(crate) $field: Option<Arc<Observed<$type>>>,)*
        }

        impl Reread {
            /// Reads again what changes that were acknowledged may have changed besides.
            pub(crate) fn read(
                namespace: &mut Namespace,
                wanted: &NamespaceObjects,
                scope: Scope,
                ripple: Ripple,
            ) -> Result<Self> {
                if wanted.sysctls.len() > MANY {
                    // One dump says them all.
                    namespace.refresh_links()?;
                }
                Ok(Self { $($field: match reaches::<$type>(ripple) {
                    true => Some(read(namespace, &wanted.$field, scope)?),
                    false => None,
                },)* })
            }

            /// What has to be compared with what is wanted.
            pub(crate) fn compared(&self) -> Compared<'_> {
                Compared { $($field: self.$field.as_deref(),)* }
            }
        }

        /// What was found of each kind; `None` where there is nothing to compare.
        pub(crate) struct Compared<'a> {
            $(pub(crate) $field: Option<&'a Observed<$type>>,)*
        }

        /// What was read in one namespace, and the answers that said so.
        #[derive(Debug, Default)]
        pub(crate) struct Recorded {
            epoch: Option<Epoch>,
            found: Found,
            $($field: Option<Transcript>,)*
        }

        impl Recorded {
            /// Reads all that is ours in the namespace; what the kernel answers as it did is not read anew. Returns whether
            /// that is so of the links.
            pub(crate) fn recall(
                &mut self,
                namespace: &mut Namespace,
                wanted: &NamespaceObjects,
            ) -> Result<bool> {
                // A failure leaves nothing that could be taken for what was read.
                let mut last = std::mem::take(self);
                let mut links_same = false;
                $(
                    // By the names and settings of links the rest is read.
                    let transcript = last.$field.take().filter(|_| last.epoch == Some(namespace.epoch()));
                    let same = match transcript {
                        Some(transcript) => is_unchanged::<$type>(namespace, &transcript)?.then_some(transcript),
                        None => None,
                    };
                    if matches!(Number::$type, Number::Link) {
                        links_same = same.is_some();
                    }
                    if same.is_none() {
                        let read = |namespace: &mut Namespace| read(namespace, &wanted.$field, Scope::All);
                        let (found, transcript) = namespace.attend(read)?;
                        last.found.$field = found;
                        last.found.in_sync.remove(Number::$type);
                        last.$field = Some(transcript);
                    } else {
                        last.$field = same;
                    }
                )*
                // The generation of the states decides which policies are wanted.
                if !last.found.states.ours.is_empty() {
                    last.found.in_sync.remove(Number::Policy);
                }
                last.epoch = Some(namespace.epoch());
                *self = last;
                Ok(links_same)
            }

            pub(crate) fn found(&self) -> Found {
                self.found.clone()
            }

            /// Takes over links whose other ends were found.
            pub(crate) fn learn_links(&mut self, found: &mut Found) {
                found.in_sync.remove(Number::Link);
                self.found.in_sync.remove(Number::Link);
                self.found.links = Arc::clone(&found.links);
            }

            /// Notes of each kind whether it is as wanted.
            pub(crate) fn note_in_sync(&mut self, in_sync: impl Fn(&str) -> bool) {
                $(self.found.in_sync.set(Number::$type, in_sync($type::KIND));)*
            }
        }

        /// A change of an object of any kind in a namespace.
        /// Kinds differ much in size, and a change is moved several times on its way to the kernel.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum ObjectChange {
            $($type(Box<Change<$type>>),)*
        }

        impl ObjectChange {
            pub(crate) fn sign(&self) -> char {
                match self { $(Self::$type(change) => change.sign(),)* }
            }

            pub(crate) fn text(&self) -> String {
                match self { $(Self::$type(change) => change.text(),)* }
            }

            pub(crate) fn request(&self) -> String {
                match self { $(Self::$type(change) => change.request(),)* }
            }

            /// Kind and key, which identify the object in its namespace.
            pub(crate) fn name(&self) -> String {
                match self { $(Self::$type(change) => format!("{} {}", $type::KIND, change.key()),)* }
            }

            pub(crate) fn kind(&self) -> &'static str {
                match self { $(Self::$type(_) => $type::KIND,)* }
            }

            pub(crate) fn ripple(&self) -> Ripple {
                match self { $(Self::$type(change) => $type::ripple(change),)* }
            }

            pub(crate) fn phases(&self) -> &'static [Phase] {
                match self { $(Self::$type(_) => $type::PHASES,)* }
            }

            /// The two steps of a replacement that takes two ([`Kind::between`]).
            pub(crate) fn in_two(&self) -> Option<[Self; 2]> {
                match self { $(Self::$type(change) => {
                    let Change::Replace { old, new } = &**change else { return None };
                    let between = $type::between(old, new)?;
                    let first = Change::Replace { old: old.clone(), new: between.clone() };
                    let last = Change::Replace { old: between, new: new.clone() };
                    Some([first, last].map(|step| Self::$type(Box::new(step))))
                })* }
            }

            /// The link that it is about, or that takes it with it.
            pub(crate) fn lives_on(&self) -> Option<&LinkName> {
                match self { $(Self::$type(change) => change.object().lives_on(),)* }
            }

            pub(crate) fn encode(&self, phase: Phase, context: &Context, out: &mut Outbox) -> Result<()> {
                match self { $(Self::$type(change) => $type::encode(change, phase, context, out),)* }
            }

            pub(crate) fn to_json(&self) -> serde_json::Result<(serde_json::Value, Option<serde_json::Value>)> {
                Ok(match self { $(
                    Self::$type(change) => match &**change {
                        Change::Create(o) | Change::Delete(o) => (serde_json::to_value(o)?, None),
                        Change::Replace { old, new } => {
                            (serde_json::to_value(new)?, Some(serde_json::to_value(old)?))
                        }
                    },
                )* })
            }
        }

        /// An object of any kind, in the form that it has in a spec.
        #[derive(schemars::JsonSchema)]
        #[schemars(untagged, deny_unknown_fields)]
        #[expect(dead_code, reason = "for schemas")]
        #[allow(clippy::large_enum_variant)]
        pub(crate) enum AnyObject {
            $($(#[$doc])* $type($type),)*
            /// Files.
            File(File),
            /// A namespace: that it is there is all there is to it.
            Namespace { name: String },
        }

        /// The changes that make `found` into `wanted`, each with its pass, and what stands in their way.
        pub(crate) fn changes(
            wanted: &NamespaceObjects,
            found: &Compared<'_>,
        ) -> (Vec<(Pass, ObjectChange)>, Vec<Conflict>) {
            let mut all = Vec::new();
            let mut conflicts = Vec::new();
            let doomed = Doomed::of(&wanted.links, found.links);
            // Of most kinds a namespace has nothing.
            $(if let Some(found) = found.$field
                && !(wanted.$field.is_empty() && found.ours.is_empty())
            {
                let (mut changes, in_the_way) = diff(&wanted.$field, doomed.without(found).as_ref());
                changes.retain(|change| !doomed.spares(change));
                all.reserve(changes.len());
                in_passes(changes, |pass, step| all.push((pass, ObjectChange::$type(Box::new(step)))));
                conflicts.extend(in_the_way);
            })*
            (all, conflicts)
        }
    };
}

kinds! {
    /// Interfaces.
    links: Link,
    /// nf_tables tables.
    tables: Table,
    /// Sysctls.
    sysctls: Sysctl,
    /// IPsec states.
    states: State,
    /// How the kernel finds policies.
    thresholds: HashThreshold,
    /// IPsec policies.
    policies: Policy,
    /// Addresses of interfaces.
    addresses: Address,
    /// Routes.
    routes: Route,
    /// Proxied neighbours.
    neighbours: ProxyNeighbour,
    /// Neighbours that are not asked for.
    permanent_neighbours: PermanentNeighbour,
}

impl ObjectChange {
    /// The name of the link, if it is one that is changed.
    pub(crate) fn link(&self) -> Option<&LinkName> {
        match self {
            Self::Link(change) => Some(&change.object().name),
            _ => None,
        }
    }
}

impl Found {
    /// Whether making this into `wanted` would take things along that were not read: what lives on a link that has to be
    /// made anew, what else is in a table.
    pub(crate) fn needs_the_whole(&self, wanted: &NamespaceObjects) -> bool {
        let anew = |link: &Link| wanted.links.get(&link.name).is_some_and(|new| !Link::can_become(link, new));
        let remade =
            |table: &Table| wanted.tables.get(&table.key()).is_some_and(|new| !new.same_structure(table));
        // Policies without their states: the tunnel was rekeyed, and has its states under other keys by now.
        let rekeyed = wanted.states.iter().any(|state| !self.states.ours.contains(&state.key()))
            && wanted.policies.iter().any(|policy| self.policies.ours.contains(&policy.key()));
        self.links.ours.iter().any(anew) || self.tables.ours.iter().any(remade) || rekeyed
    }
}

/// With more sysctls than this, the links are read for them.
const MANY: usize = 64;

/// Each change with its pass. A replacement that the kernel cannot make in place is a deletion and a creation.
fn in_passes<T: Kind>(changes: Vec<Change<T>>, mut step: impl FnMut(Pass, Change<T>)) {
    let goes = |change: &Change<T>| matches!(change, Change::Delete(_));
    let taken: BTreeSet<String> = match changes.iter().any(goes) {
        true => changes.iter().filter(|change| !goes(change)).filter_map(|c| c.object().place()).collect(),
        false => BTreeSet::new(),
    };
    for change in changes {
        match change {
            Change::Replace { old, new } if !T::can_become(&old, &new) => {
                step(Pass::MakeRoom, Change::Delete(old));
                step(Pass::Make, Change::Create(new));
            }
            Change::Delete(old) if !taken.is_empty() && old.place().is_some_and(|p| taken.contains(&p)) => {
                step(Pass::MakeRoom, Change::Delete(old));
            }
            Change::Delete(old) => step(Pass::Remove, Change::Delete(old)),
            whole => step(Pass::Make, whole),
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kinds(u16);

impl Kinds {
    fn has(self, kind: Number) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    fn remove(&mut self, kind: Number) {
        self.set(kind, false);
    }

    fn set(&mut self, kind: Number, there: bool) {
        let bit = 1 << kind as u16;
        self.0 = if there { self.0 | bit } else { self.0 & !bit };
    }
}

fn read<T: Kind>(namespace: &mut Namespace, wanted: &Set<T>, scope: Scope) -> Result<Arc<Observed<T>>> {
    Ok(Arc::new(match scope {
        Scope::All => T::observe(namespace, wanted)?,
        Scope::Keys => T::observe_keys(namespace, wanted)?,
    }))
}

/// Whether `ripple` reaches objects of kind `T`.
fn reaches<T: Kind>(ripple: Ripple) -> bool {
    match ripple {
        Ripple::None => false,
        Ripple::Settings => T::KIND == Sysctl::KIND,
        Ripple::Anything => !T::AS_SENT,
    }
}

/// Whether what `transcript` tells of is so still.
fn is_unchanged<T: Kind>(namespace: &mut Namespace, transcript: &Transcript) -> Result<bool> {
    match transcript.generation {
        Some(generation) => Ok(T::generation(namespace)? == Some(generation)),
        None => namespace.repeats(transcript),
    }
}
