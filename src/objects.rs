//! The registry of kinds: what a namespace can have, and the one line that a new kind needs here.

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::diff::{Conflict, diff};
use guestnet_core::{
    Address, Change, Context, File, Kind, Link, LinkName, Namespace, Netns, NetnsName, Object, Outbox, Path,
    Phase, Problems, Result, Ripple, Route, Set, Sysctl,
};
use guestnet_ndp::ProxyNeighbour;
use guestnet_nft::Table;
use guestnet_xfrm::{HashThreshold, Policy, Secrets, State};
use serde::{Deserialize, Serialize};

use self::check::CheckIn;
use self::doomed::{doomed, without};
use crate::seen::{Place, Remembered, Scope, Seen};

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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
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
                $(self.$field.extend(other.$field);)*
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

            /// The name (as of [`ObjectChange::name`]) of each object, and where it stands below `path`.
            pub(crate) fn places(&self, path: &Path) -> Vec<(String, Path)> {
                let mut places = Vec::with_capacity(self.len());
                $(places.extend(self.$field.with_positions().map(|(n, object)| {
                    let name = format!("{} {}", $type::KIND, object.key());
                    (name, path.field(stringify!($field)).index(n))
                }));)*
                places
            }
        }

        /// What was found in one namespace.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Found {
            $(pub(crate) $field: Seen<$type>,)*
        }

        impl Found {
            /// Reads all that is ours in the namespace, by what is remembered of the last time.
            pub(crate) fn recall(
                namespace: &mut Namespace,
                wanted: &NamespaceObjects,
                memory: &mut Recollection,
            ) -> Result<Self> {
                let mut last = std::mem::take(memory);
                let place = last.place;
                $(
                    // By the names and settings of links the rest is read.
                    let former = last.$field.take();
                    let former = former.filter(|_| place.is_some_and(|place| place.holds_for::<$type>(namespace)));
                    let remembered = Remembered::read(namespace, &wanted.$field, former)?;
                    let $field = remembered.seen();
                    memory.$field = Some(remembered);
                )*
                memory.place = Some(Place::of(namespace));
                Ok(Self { $($field),* })
            }

            /// Reads the namespace. Links come first: the others name them.
            pub(crate) fn read(namespace: &mut Namespace, wanted: &NamespaceObjects, scope: Scope) -> Result<Self> {
                if scope == Scope::Keys {
                    namespace.refresh_links_of(&wanted.others_links())?;
                }
                Ok(Self { $($field: Seen::read(namespace, &wanted.$field, scope)?,)* })
            }

            /// Reads again what changes that were acknowledged may have changed besides.
            pub(crate) fn read_again(
                namespace: &mut Namespace,
                wanted: &NamespaceObjects,
                scope: Scope,
                ripple: Ripple,
            ) -> Result<Self> {
                if wanted.sysctls.len() > MANY {
                    // One dump says them all.
                    namespace.refresh_links()?;
                }
                Ok(Self { $($field: if Seen::<$type>::is_in(ripple) {
                    Seen::read(namespace, &wanted.$field, scope)?
                } else {
                    Seen::settled()
                },)* })
            }

            /// What is ours of it.
            pub(crate) fn into_ours(self) -> NamespaceObjects {
                NamespaceObjects { $($field: self.$field.into_ours(),)* }
            }
        }

        /// What is remembered of one namespace.
        #[derive(Debug, Default)]
        pub(crate) struct Recollection {
            place: Option<Place>,
            $($field: Option<Remembered<$type>>,)*
        }

        impl Recollection {
            /// Notes of each kind whether it is as wanted.
            pub(crate) fn settle(&mut self, settled: impl Fn(&str) -> bool) {
                $(if let Some(remembered) = &mut self.$field {
                    remembered.settle(settled($type::KIND));
                })*
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

        /// The changes that make `found` into `wanted`, and what stands in their way.
        /// What is known to be as wanted is left out.
        pub(crate) fn changes(wanted: &NamespaceObjects, found: &Found) -> (Vec<ObjectChange>, Vec<Conflict>) {
            let mut all = Vec::new();
            let mut conflicts = Vec::new();
            let doomed = doomed(&wanted.links, &found.links);
            // Of most kinds a namespace has nothing.
            $(if !found.$field.is_settled() && !(wanted.$field.is_empty() && found.$field.ours.is_empty()) {
                let (changes, in_the_way) = diff(&wanted.$field, without(&found.$field, &doomed).as_ref());
                all.reserve(changes.len());
                for change in changes {
                    in_steps(change, |step| all.push(ObjectChange::$type(Box::new(step))));
                }
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

/// A replacement that the kernel cannot make in place is a deletion and a creation.
fn in_steps<T: Kind>(change: Change<T>, mut step: impl FnMut(Change<T>)) {
    match change {
        Change::Replace { old, new } if !T::can_become(&old, &new) => {
            step(Change::Delete(old));
            step(Change::Create(new));
        }
        whole => step(whole),
    }
}
