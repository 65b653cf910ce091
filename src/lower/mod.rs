//! From a spec to objects. Pure: no I/O, no clock, no randomness; the same spec gives the same objects on any machine.

mod bridge;
mod closed;
mod firewall;
mod guest;
mod namespace;
mod places;
mod settings;
mod settled;
mod spot;
mod threshold;
mod tunnel;

pub(crate) use bridge::keep_shared_bridges;
pub(crate) use namespace::host4;
pub(crate) use spot::Spot;

use std::collections::BTreeMap;

use guestnet_core::{Error, File, Kind, Link, Netns, Object, Problems, Set, Sysctl};
use guestnet_nat::NatSpec;
use guestnet_xfrm::{State, TunnelSpec};

use self::spot::Spots;
use crate::objects::{NamespaceObjects, Objects};
use crate::resolve::Resolved;
use crate::spec::HostSpec;

/// The objects of a spec, and where in the spec each comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lowered {
    pub(crate) objects: Objects,
    /// What the origins of the objects mean.
    spots: Spots,
    /// What is translated in each namespace: one table for all the guests in it.
    nat: BTreeMap<Netns, NatSpec>,
    /// How often each namespace was asked to be a router.
    routers: BTreeMap<Netns, usize>,
    /// How often the sysctls of the host were asked for again.
    again: BTreeMap<String, usize>,
    /// The tunnels, which may have been rekeyed since the spec was written.
    tunnels: BTreeMap<Netns, Vec<LoweredTunnel>>,
    /// Where two parts of the spec ask for different objects under one key.
    problems: Problems,
}

/// A tunnel of the spec.
#[derive(Clone, Debug)]
struct LoweredTunnel {
    spec: TunnelSpec,
    /// The states that it comes to, in the generation of the spec.
    states: Vec<<State as Object>::Key>,
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
    /// Adds an object that the spec asks for at `path`. The same may be asked for several times (sysctls).
    fn add<T: Kind>(
        &mut self,
        netns: &Netns,
        object: T,
        path: &Spot,
        set: fn(&mut NamespaceObjects) -> &mut Set<T>,
    ) {
        let origin = self.spots.origin(path);
        match set(self.objects.in_namespace(netns)).insert_from(origin, object) {
            Err((object, other)) if *other == object => {
                if T::KIND == Sysctl::KIND && *netns == Netns::Host {
                    *self.again.entry(object.key().to_string()).or_default() += 1;
                }
            }
            Err((object, other)) => {
                let (key, other) = (object.key(), other.to_string());
                let first = set(self.objects.in_namespace(netns)).origin(&key);
                let elsewhere = first.and_then(|first| self.path(netns, T::KIND, first)).unwrap_or_default();
                let words = format!("asks for {} {object}, but at {elsewhere} there is {other}", T::KIND);
                if !self.problems.iter().any(|known| known.message == words) {
                    self.problems.at(&path.path(), words);
                }
            }
            Ok(_) => {}
        }
    }

    /// Notes why what stands at `path` cannot be lowered, if it cannot.
    fn note(&mut self, done: Result<(), Error>, path: &Spot) {
        if let Err(error) = done {
            self.problems.at(&path.path(), error.to_string());
        }
    }

    /// How often `sysctl` of the host was asked for.
    pub(crate) fn asked(&self, sysctl: &Sysctl) -> usize {
        let key = sysctl.key().to_string();
        let routers =
            self.routers.get(&Netns::Host).filter(|_| namespace::FORWARDING.contains(&key.as_str()));
        routers.copied().unwrap_or_else(|| 1 + self.again.get(&key).copied().unwrap_or_default())
    }

    fn add_file(&mut self, file: File, path: &Spot) {
        let origin = self.spots.origin(path);
        if let Err((file, other)) = self.objects.files.insert_from(origin, file) {
            let other = other.to_string();
            let first = self.objects.files.origin(&file.key());
            let elsewhere = first.and_then(|first| self.path_of_file(first)).unwrap_or_default();
            self.problems
                .at(&path.path(), format!("asks for file {file}, but at {elsewhere} there is {other}"));
        }
    }
}

impl HostSpec {
    /// The objects that the spec asks for.
    pub(crate) fn lower(&self) -> Result<Lowered, Error> {
        self.resolve()?.lower()
    }

    /// All the objects that the spec asks for, for those who want to read them.
    ///
    /// # Errors
    /// [`Error::Spec`] when the spec is wrong.
    pub fn objects(&self) -> Result<Objects, Error> {
        Ok(self.lower()?.objects)
    }
}

impl Resolved<'_> {
    /// The objects that the spec asks for.
    pub(crate) fn lower(&self) -> Result<Lowered, Error> {
        let problems = self.checked();
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let lowered = self.put_together()?;
        // What two parts of it disagree about.
        if lowered.problems.is_empty() { Ok(lowered) } else { Err(lowered.problems.into()) }
    }

    fn put_together(&self) -> Result<Lowered, Error> {
        let mut lowered = Lowered { objects: self.objects.numbered(), ..Lowered::default() };
        let root = Spot::root();
        for (n, bridge) in self.bridges.iter().enumerate() {
            let path = root.field("bridges").index(n);
            let done = lowered.bridge(bridge, &path);
            lowered.note(done, &path);
        }
        for (n, guest) in self.guests.iter().enumerate() {
            let path = root.field("guests").index(n);
            let done = lowered.guest(self, guest, &path);
            lowered.note(done, &path);
        }
        for (netns, nat) in std::mem::take(&mut lowered.nat) {
            for sysctl in nat.sysctls() {
                if netns == Netns::Host {
                    // Each pair asks for it.
                    lowered.again.insert(sysctl.key().to_string(), nat.pairs.len().saturating_sub(1));
                }
                lowered.add(&netns, sysctl, &root.field("nat"), |o| &mut o.sysctls);
            }
            for table in nat.lower() {
                lowered.add(&netns, table, &root.field("nat"), |o| &mut o.tables);
            }
        }
        lowered.firewall(self);
        lowered.complete_pairs();
        lowered.thresholds();
        lowered.closed(self)?;
        Ok(lowered)
    }
}

impl Lowered {
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
