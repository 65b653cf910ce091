//! What is said for a host as a whole: by the last apply, and by the parts that were added since.

use std::fmt::Display;

use guestnet_core::{Path, Problems};
use guestnet_firewall::{Group, GroupName};
use serde::{Deserialize, Serialize};

use crate::objects::Objects;
use crate::spec::{Bridge, Firewall, Guest, HostSpec, Nat};

/// The settings of a host, in two layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wide {
    /// As the last apply said them. They stay until another one says something else.
    pub(super) base: HostSpec,
    /// What parts brought. It goes with what needed it.
    pub(super) extra: HostSpec,
}

impl Wide {
    /// Those of an apply of `spec`.
    pub(super) fn of(spec: &HostSpec) -> Self {
        Self { base: without_guests(spec), extra: HostSpec::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.base == HostSpec::default() && self.extra == HostSpec::default()
    }

    /// Both layers, as a host without guests.
    pub(super) fn together(&self) -> HostSpec {
        let Self { base, extra } = self;
        let mut all = base.clone();
        all.uplink = all.uplink.or_else(|| extra.uplink.clone());
        if all.nat == Nat::default() {
            all.nat = extra.nat.clone();
        }
        all.bridges.extend_from_slice(&extra.bridges);
        all.firewall = match (all.firewall, &extra.firewall) {
            (Some(mut firewall), Some(more)) => {
                firewall.groups.extend_from_slice(&more.groups);
                firewall.tiers.extend_from_slice(&more.tiers);
                Some(firewall)
            }
            (one, other) => one.or_else(|| other.clone()),
        };
        all.objects.merge(&extra.objects);
        all
    }

    /// With what `part` says of the host besides, on a host that has guests or not.
    ///
    /// # Errors
    /// Where it says something else than the host does: the paths, and both values.
    pub(super) fn with(&self, part: &HostSpec, has_guests: bool) -> Result<Self, Problems> {
        let host = self.together();
        let mut with = self.clone();
        let extra = &mut with.extra;
        let root = Path::root();
        let mut problems = Problems::new();
        match (&part.uplink, &host.uplink) {
            (Some(here), Some(there)) if here != there => {
                problems.contradict(&root.field("uplink"), here, there)
            }
            (Some(here), None) => extra.uplink = Some(here.clone()),
            _ => {}
        }
        if part.nat != Nat::default() && part.nat != host.nat {
            if has_guests || host.nat != Nat::default() {
                problems.contradict(&root.field("nat"), json(&part.nat), json(&host.nat));
            } else {
                extra.nat = part.nat.clone();
            }
        }
        for (n, bridge) in part.bridges.iter().enumerate() {
            match host.bridges.iter().find(|known| known.name == bridge.name) {
                Some(known) if known == bridge || is_a_name(bridge) => {}
                Some(known) => {
                    problems.contradict(&root.field("bridges").index(n), json(bridge), json(known));
                }
                None => extra.bridges.push(bridge.clone()),
            }
        }
        self.base.objects.contradicted_by(&part.objects, &root.field("objects"), &mut problems);
        extra.objects.merge(&part.objects);
        if let Some(firewall) = &part.firewall {
            let path = root.field("firewall");
            match &host.firewall {
                Some(there) => {
                    let more = firewall.beside(there, &path, &mut problems);
                    if more != Firewall::default() {
                        let known = extra.firewall.get_or_insert_default();
                        known.groups.extend(more.groups);
                        known.tiers.extend(more.tiers);
                    }
                }
                None if has_guests => {
                    problems.contradict(&path, json(firewall), "none, with guests that are not filtered")
                }
                None => extra.firewall = Some(firewall.clone()),
            }
        }
        if problems.is_empty() { Ok(with) } else { Err(problems) }
    }

    /// Whether nothing of it goes with the guests `gone` of `part`, while others stay: `ports` says how many are left in a
    /// bridge.
    pub(super) fn outlives(&self, part: &HostSpec, gone: &[Guest], ports: impl Fn(&Bridge) -> usize) -> bool {
        let named = |bridge: &&Bridge| part.bridges.iter().any(|gone| gone.name == bridge.name);
        let groups = self.extra.firewall.iter().flat_map(|firewall| &firewall.groups);
        let has = |objects: &Objects| {
            let mut rest = objects.clone();
            rest.forget(&part.objects);
            rest != *objects
        };
        let keeps_objects = part.objects.is_empty() || !has(&self.base.objects) && !has(&self.extra.objects);
        keeps_objects
            && self.extra.bridges.iter().filter(named).all(|bridge| ports(bridge) > 0)
            && !groups.into_iter().any(|group| gone.iter().any(|guest| guest.speaks_of(&group.name)))
    }

    /// Without what `part` names, and without what none of the guests that `stay` needs.
    pub(super) fn without(&self, part: &HostSpec, stay: &[Guest]) -> Self {
        let mut without = self.clone();
        let extra = &mut without.extra;
        without.base.objects.forget(&part.objects);
        extra.objects.forget(&part.objects);
        let named = |bridge: &Bridge| part.bridges.iter().any(|gone| gone.name == bridge.name);
        let has_ports = |bridge: &Bridge| stay.iter().any(|guest| guest.is_in(bridge));
        extra.bridges.retain(|bridge| !named(bridge) || has_ports(bridge));
        if stay.is_empty() {
            (extra.uplink, extra.nat, extra.firewall) = (None, Nat::default(), None);
        }
        if let Some(firewall) = &mut extra.firewall
            && without.base.firewall.is_some()
        {
            // What somebody's list is about is needed too.
            let needed = |group: &GroupName, lists: &[Group]| {
                stay.iter().any(|guest| guest.speaks_of(group))
                    || lists.iter().any(|list| list.speaks_of(group))
            };
            loop {
                let lists = firewall.groups.clone();
                firewall.groups.retain(|group| {
                    let others: Vec<Group> =
                        lists.iter().filter(|list| list.name != group.name).cloned().collect();
                    needed(&group.name, &others)
                });
                if firewall.groups.len() == lists.len() {
                    break;
                }
            }
            let known: Vec<&GroupName> = (firewall.groups.iter())
                .chain(without.base.firewall.iter().flat_map(|firewall| &firewall.groups))
                .map(|group| &group.name)
                .collect();
            firewall.tiers.retain(|tier| known.contains(&&tier.from) && known.contains(&&tier.to));
            if *firewall == Firewall::default() {
                extra.firewall = None;
            }
        }
        without
    }
}

/// What `spec` says of the host as a whole.
fn without_guests(spec: &HostSpec) -> HostSpec {
    let HostSpec { version, uplink, nat, bridges, firewall, guests: _, objects } = spec;
    HostSpec {
        version: *version,
        uplink: uplink.clone(),
        nat: nat.clone(),
        bridges: bridges.clone(),
        firewall: firewall.clone(),
        guests: Vec::new(),
        objects: objects.clone(),
    }
}

/// Whether it says nothing but which bridge is meant.
fn is_a_name(bridge: &Bridge) -> bool {
    *bridge == Bridge::new(bridge.name.clone())
        || *bridge == Bridge { existing: true, ..Bridge::new(bridge.name.clone()) }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| e.to_string())
}

/// Problems of a part of a host.
trait Contradict {
    /// Notes that the part says `here` where the host has `there`.
    fn contradict(&mut self, path: &Path, here: impl Display, there: impl Display);
}

impl Contradict for Problems {
    fn contradict(&mut self, path: &Path, here: impl Display, there: impl Display) {
        self.at(path, format!("is {here} here, but the host has {there}"));
    }
}

impl Firewall {
    /// What this one, of a part, has beside `there`, that of the host: groups, and what they may send. All else has to be
    /// the host's, or left out.
    fn beside(&self, there: &Self, path: &Path, problems: &mut Problems) -> Self {
        let mut more = Self::default();
        for (n, group) in self.groups.iter().enumerate() {
            let is_a_name = group.addresses.is_empty() && group.ingress.is_empty() && group.egress.is_empty();
            match there.groups.iter().find(|known| known.name == group.name) {
                Some(known) if known == group || is_a_name => {}
                Some(known) => problems.contradict(&path.field("groups").index(n), json(group), json(known)),
                None => more.groups.push(group.clone()),
            }
        }
        let is_new = |name: &GroupName| more.groups.iter().any(|group| group.name == *name);
        for (n, tier) in self.tiers.iter().enumerate().filter(|(_, tier)| !there.tiers.contains(tier)) {
            if is_new(&tier.from) || is_new(&tier.to) {
                more.tiers.push(tier.clone());
            } else {
                problems.contradict(&path.field("tiers").index(n), json(tier), json(&there.tiers));
            }
        }
        if !self.trusted.is_subset(&there.trusted) {
            problems.contradict(&path.field("trusted"), json(&self.trusted), json(&there.trusted));
        }
        if self.guest_services.iter().any(|entry| !there.guest_services.contains(entry)) {
            let services = path.field("guest_services");
            problems.contradict(&services, json(&self.guest_services), json(&there.guest_services));
        }
        if self.host.is_some() && self.host != there.host {
            problems.contradict(&path.field("host"), json(&self.host), json(&there.host));
        }
        if self.guard.is_some() && self.guard != there.guard {
            problems.contradict(&path.field("guard"), json(&self.guard), json(&there.guard));
        }
        if self.log.is_some() && self.log != there.log {
            problems.contradict(&path.field("log"), json(&self.log), json(&there.log));
        }
        more
    }
}

/// Whether something is about a group.
trait SpeaksOf {
    fn speaks_of(&self, group: &GroupName) -> bool;
}

impl SpeaksOf for Group {
    fn speaks_of(&self, group: &GroupName) -> bool {
        self.ingress.iter().chain(&self.egress).any(|entry| entry.groups.contains(group))
    }
}

impl Guest {
    /// Whether it is in the group, or has an entry about it.
    pub(super) fn speaks_of(&self, group: &GroupName) -> bool {
        let lists = self.interfaces.iter().map(|interface| &interface.access).chain([&self.access]);
        lists.into_iter().any(|access| {
            let mut entries = access.ingress.iter().chain(&access.egress);
            access.groups.contains(group) || entries.any(|entry| entry.groups.contains(group))
        })
    }

    /// Whether an interface of it is a port of the bridge.
    fn is_in(&self, bridge: &Bridge) -> bool {
        self.interfaces.iter().any(|interface| interface.bridge.as_ref() == Some(&bridge.name))
    }
}
