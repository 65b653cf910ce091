//! From a spec to objects. Pure: no I/O, no clock, no randomness; the same spec gives the same objects on any machine.

mod bridge;
mod closed;
mod firewall;
mod guest;
mod namespace;
mod settled;
mod threshold;
mod tunnel;

pub(crate) use bridge::keep_shared_bridges;
pub(crate) use namespace::Ends;

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::{Error, File, Kind, Link, Netns, Object, Path, Problems, Set};
use guestnet_nat::NatSpec;
use guestnet_xfrm::TunnelSpec;
use guestnet_xfrm::tunnel::Keyed;

use crate::objects::{NamespaceObjects, Objects};
use crate::spec::HostSpec;

/// The objects of a spec, and where in the spec each comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lowered {
    pub(crate) objects: Objects,
    /// By namespace, kind and key; see [`place`]. Noted only when they are asked for, which is when something is wrong.
    paths: Option<BTreeMap<String, Path>>,
    /// What is translated in each namespace: one table for all the guests in it.
    nat: BTreeMap<Netns, NatSpec>,
    /// The namespaces that have been made routers.
    routers: BTreeSet<Netns>,
    /// The tunnels, which may have been rekeyed since the spec was written.
    specs: BTreeMap<Netns, Vec<TunnelSpec>>,
    /// Where two parts of the spec ask for different objects under one key.
    problems: Problems,
}

/// What identifies an object on the host: its kind and key, and its namespace if that is not the host's.
pub(crate) fn place(netns: &Netns, name: &str) -> String {
    match netns {
        Netns::Host => name.to_owned(),
        Netns::Named(namespace) => format!("{name} in namespace {namespace}"),
    }
}

impl From<Objects> for Lowered {
    /// Objects that no spec asked for.
    fn from(objects: Objects) -> Self {
        Self { objects, ..Self::default() }
    }
}

impl Lowered {
    /// The place in the spec that asked for `object`, named as by [`place`].
    pub(crate) fn path_of(&self, object: &str) -> Option<String> {
        self.paths.as_ref()?.get(object).map(ToString::to_string)
    }

    /// The path of the spec, written where paths are asked for.
    fn root(&self) -> Path {
        if self.paths.is_some() { Path::root() } else { Path::unwritten() }
    }

    /// Adds an object that the spec asks for at `path`. The same may be asked for several times (sysctls).
    fn add<T: Kind>(
        &mut self,
        netns: &Netns,
        object: T,
        path: &Path,
        set: fn(&mut NamespaceObjects) -> &mut Set<T>,
    ) {
        let name = || place(netns, &format!("{} {}", T::KIND, object.key()));
        let named = self.paths.as_ref().map(|_| name());
        match set(self.objects.in_namespace(netns)).insert_new(object) {
            Ok(()) => {
                if let (Some(paths), Some(name)) = (&mut self.paths, named) {
                    paths.insert(name, path.clone());
                }
            }
            Err((object, other)) if *other != object => {
                let elsewhere = self.paths.as_ref().and_then(|paths| paths.get(&named?));
                let elsewhere = elsewhere.cloned().unwrap_or_default();
                let words = format!("asks for {} {object}, but at {elsewhere} there is {other}", T::KIND);
                if !self.problems.iter().any(|known| known.message == words) {
                    self.problems.at(path, words);
                }
            }
            Err(_) => {}
        }
    }

    fn add_file(&mut self, file: File, path: &Path) {
        let name = || format!("{} {}", File::KIND, file.path);
        if let Some(other) = self.objects.files.get(&file.path) {
            let elsewhere = self.paths.as_ref().and_then(|paths| paths.get(&name()));
            let elsewhere = elsewhere.cloned().unwrap_or_default();
            self.problems.at(path, format!("asks for file {file}, but at {elsewhere} there is {other}"));
            return;
        }
        if let Some(paths) = &mut self.paths {
            paths.insert(name(), path.clone());
        }
        self.objects.files.insert(file);
    }
}

impl HostSpec {
    /// The objects that the spec asks for.
    pub(crate) fn lower(&self) -> Result<Lowered, Error> {
        let keyed = self.keyed();
        let problems = self.checked_with(&keyed);
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let lowered = self.put_together(&keyed, None)?;
        // What two parts of it disagree about is said with both places.
        if lowered.problems.is_empty() { Ok(lowered) } else { self.lower_with_paths() }
    }

    /// The same, and where in the spec each comes from.
    pub(crate) fn lower_with_paths(&self) -> Result<Lowered, Error> {
        let lowered = self.put_together(&self.keyed(), Some(BTreeMap::new()))?;
        if lowered.problems.is_empty() { Ok(lowered) } else { Err(lowered.problems.into()) }
    }

    fn put_together(
        &self,
        mut keyed: &[Keyed<'_>],
        paths: Option<BTreeMap<String, Path>>,
    ) -> Result<Lowered, Error> {
        let mut lowered = Lowered { paths, ..Lowered::default() };
        lowered.objects_given(&self.objects);
        let root = lowered.root();
        for (n, bridge) in self.bridges.iter().enumerate() {
            lowered.bridge(bridge, &root.field("bridges").index(n))?;
        }
        for (n, guest) in self.guests.iter().enumerate() {
            let tunnels = keyed.split_off(..guest.tunnels.len()).unwrap_or_default();
            lowered.guest(self, guest, tunnels, &root.field("guests").index(n))?;
        }
        for (netns, nat) in std::mem::take(&mut lowered.nat) {
            for sysctl in nat.sysctls() {
                lowered.add(&netns, sysctl, &root.field("nat"), |o| &mut o.sysctls);
            }
            for table in nat.lower() {
                lowered.add(&netns, table, &root.field("nat"), |o| &mut o.tables);
            }
        }
        lowered.firewall(self)?;
        lowered.complete_pairs();
        lowered.thresholds();
        lowered.closed(self)?;
        Ok(lowered)
    }

    /// All the objects that the spec asks for, for those who want to read them.
    ///
    /// # Errors
    /// [`Error::Spec`] when the spec is wrong.
    pub fn objects(&self) -> Result<Objects, Error> {
        Ok(self.lower()?.objects)
    }
}

impl Lowered {
    fn objects_given(&mut self, given: &Objects) {
        self.objects = given.clone();
        let Some(paths) = &mut self.paths else { return };
        let root = Path::root().field("objects");
        for (netns, objects) in given.iter() {
            let here = match &netns {
                Netns::Host => root.field("host"),
                Netns::Named(name) => root.field("namespaces").field(name.as_str()),
            };
            let places = objects.places(&here).into_iter();
            paths.extend(places.map(|(name, path)| (place(&netns, &name), path)));
        }
        for (n, file) in given.files.with_positions() {
            paths.insert(format!("{} {}", File::KIND, file.path), root.field("files").index(n));
        }
    }

    /// Adds the other ends of veth pairs that only one end was given of.
    fn complete_pairs(&mut self) {
        let mut others: Vec<(Netns, Link)> = Vec::new();
        for (netns, objects) in self.objects.iter() {
            others.extend(objects.links.iter().filter_map(|link| link.other_end(&netns)));
        }
        for (netns, end) in others {
            let links = &mut self.objects.in_namespace(&netns).links;
            if !links.contains(&end.name) {
                links.insert(end);
            }
        }
    }
}
