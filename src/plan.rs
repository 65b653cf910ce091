//! A plan: the changes that make the host as the spec wants it, to be read before it is applied.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use guestnet_core::diff::{Conflict, diff};
use guestnet_core::{Change, File, Kind, Netns, NetnsName, Object, Pass, Ripple, Set, Sysctl, visible};

use crate::connections;
use crate::objects::{Compared, NamespaceObjects, ObjectChange, Objects, changes};
use crate::snapshot::{Snapshot, Update};

/// A namespace as an object: that it is there is all there is to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedNamespace(pub(crate) NetnsName);

impl Object for NamedNamespace {
    type Key = NetnsName;
    const KIND: &'static str = "namespace";
    fn key(&self) -> NetnsName {
        self.0.clone()
    }
}

impl fmt::Display for NamedNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What makes the host as it shall be. `Display` prints a line for each change: `+` is made, `~` is changed, `-` is
/// removed; `!` is somebody else's and in the way, `=` is left although it is ours; `?` is a warning: it may be meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub(crate) changes: Vec<PlannedChange>,
    pub(crate) conflicts: Vec<(Netns, Conflict)>,
    pub(crate) in_use: Vec<String>,
    pub(crate) left: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Tunnels that refuse what comes; see [`crate::tunnels`].
    pub(crate) refusing: Vec<String>,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedChange {
    pub(crate) netns: Netns,
    pub(crate) what: What,
    /// When it is carried out.
    pub(crate) pass: Pass,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Namespace(Change<NamedNamespace>),
    Object(ObjectChange),
    File(Change<File>),
}

impl PlannedChange {
    /// `+`, `~` or `-`.
    pub fn sign(&self) -> char {
        match &self.what {
            What::Namespace(change) => change.sign(),
            What::Object(change) => change.sign(),
            What::File(change) => change.sign(),
        }
    }

    /// The change in words, without sign and namespace.
    pub fn text(&self) -> String {
        match &self.what {
            What::Namespace(change) => change.text(),
            What::Object(change) => connections::told(change),
            What::File(change) => change.text(),
        }
    }

    /// The namespace of the object.
    pub fn namespace(&self) -> &Netns {
        &self.netns
    }

    /// The kind of the object: `route`, `file`.
    pub fn kind(&self) -> &'static str {
        match &self.what {
            What::Namespace(_) => NamedNamespace::KIND,
            What::Object(change) => change.kind(),
            What::File(_) => File::KIND,
        }
    }

    /// Kind and key: what identifies the object in its namespace.
    pub fn name(&self) -> String {
        match &self.what {
            What::Namespace(change) => format!("{} {}", NamedNamespace::KIND, change.key()),
            What::Object(change) => change.name(),
            What::File(change) => format!("{} {}", File::KIND, change.key()),
        }
    }

    /// What it asks of the system, for errors.
    pub(crate) fn request(&self) -> String {
        let request = match &self.what {
            What::Namespace(change) => return change.request(),
            What::Object(change) => change.request(),
            What::File(change) => return change.request(),
        };
        match &self.netns {
            Netns::Host => request,
            Netns::Named(name) => format!("{request} in namespace {name}"),
        }
    }

    /// The change, or the two steps that it takes, each with its pass.
    pub(crate) fn steps(&self) -> Vec<(Pass, Cow<'_, What>)> {
        let in_two = match &self.what {
            What::Object(object) => object.in_two(),
            _ => None,
        };
        let Some([first, last]) = in_two else { return vec![(self.pass, Cow::Borrowed(&self.what))] };
        vec![(Pass::Make, Cow::Owned(What::Object(first))), (Pass::Remove, Cow::Owned(What::Object(last)))]
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.sign() == '-'
    }

    /// Whether it gives a sysctl of an interface the value that is wanted.
    fn sets_sysctl_of_link(&self) -> bool {
        let What::Object(ObjectChange::Sysctl(change)) = &self.what else { return false };
        !self.is_deletion() && change.object().lives_on().is_some()
    }
}

/// The pass of a change that stands in nothing's way.
fn pass<T>(change: &Change<T>) -> Pass {
    if matches!(change, Change::Delete(_)) { Pass::Remove } else { Pass::Make }
}

/// How many of `sysctls` are those of interfaces.
fn of_links(sysctls: &Set<Sysctl>) -> usize {
    sysctls.iter().filter(|sysctl| sysctl.lives_on().is_some()).count()
}

impl Plan {
    /// Whether the host is as wanted.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.conflicts.is_empty()
    }

    /// The changes, in the order of namespaces and kinds.
    pub fn changes(&self) -> &[PlannedChange] {
        &self.changes
    }

    /// What others have where ours should be, a line each. With one of these a plan cannot be applied.
    pub fn conflicts(&self) -> Vec<String> {
        let line = |(netns, c): &(Netns, Conflict)| match netns {
            Netns::Host => format!("{}: there is {}", c.wanted, c.found),
            Netns::Named(name) => format!("{} in namespace {name}: there is {}", c.wanted, c.found),
        };
        self.conflicts.iter().map(line).collect()
    }

    /// Links that somebody uses and that cannot become as wanted in place, a line each. An apply deletes and makes them again
    /// only when it is allowed to by name ([`Host::may_remake`](crate::Host::may_remake)).
    pub fn in_use(&self) -> &[String] {
        &self.in_use
    }

    /// What of the spec may not be meant, or is so on the host and no apply mends, a line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Tunnels that refuse what the other end sends, a line each: what [`Host::verify`](crate::Host::verify) has seen
    /// although the host is as wanted. A plan that was made to be applied has none.
    pub fn refusing(&self) -> &[String] {
        &self.refusing
    }

    /// Whether all is well: nothing would be changed, nothing is in the way, and no tunnel was seen to refuse packets.
    pub fn holds(&self) -> bool {
        self.is_empty() && self.refusing.is_empty()
    }

    /// What `wanted` comes to on a host that has nothing yet. Asks no kernel, so it is the same on every machine.
    pub fn from_nothing(wanted: &Objects) -> Self {
        Self::between(wanted, &Snapshot::default())
    }

    /// The difference between what is wanted and what was found.
    pub(crate) fn between(wanted: &Objects, found: &Snapshot) -> Self {
        let mut plan = Self::default();
        let empty = NamespaceObjects::default();
        let namespaces: Set<NamedNamespace> = wanted.namespaces.keys().cloned().map(NamedNamespace).collect();
        let (mut of_namespaces, conflicts) = diff(&namespaces, &found.namespaces());
        plan.conflicts.extend(conflicts.into_iter().map(|c| (Netns::Host, c)));
        of_namespaces.retain(|change| match change {
            Change::Delete(gone) => !plan.keeps(gone, found),
            _ => true,
        });
        let deleted = |change: &Change<NamedNamespace>| match change {
            Change::Delete(gone) => Some(gone.0.clone()),
            _ => None,
        };
        let gone: BTreeSet<NetnsName> = of_namespaces.iter().filter_map(deleted).collect();
        for change in &of_namespaces {
            let netns = Netns::Named(change.key());
            plan.changes.push(PlannedChange {
                netns,
                pass: pass(change),
                what: What::Namespace(change.clone()),
            });
        }
        for netns in found.everywhere(wanted) {
            // With a namespace goes all that is in it.
            if !matches!(&netns, Netns::Named(name) if gone.contains(name)) {
                let found = found.in_namespace(&netns).compared();
                plan.between_here(wanted.of(&netns).unwrap_or(&empty), &found, &netns);
            }
        }
        if let Some(files) = found.files() {
            let (changes, conflicts) = diff(&wanted.files, files);
            plan.changes.extend(changes.into_iter().map(|change| PlannedChange {
                netns: Netns::Host,
                pass: pass(&change),
                what: What::File(change),
            }));
            plan.conflicts.extend(conflicts.into_iter().map(|c| (Netns::Host, c)));
        }
        plan
    }

    /// What is left to do of what was read again.
    pub(crate) fn remaining(wanted: &Objects, update: &Update) -> Self {
        let mut plan = Self::default();
        let empty = NamespaceObjects::default();
        for (netns, found) in &update.found {
            plan.between_here(wanted.of(netns).unwrap_or(&empty), &found.compared(), netns);
        }
        plan
    }

    /// Adds the difference in one namespace.
    fn between_here(&mut self, wanted: &NamespaceObjects, found: &Compared<'_>, netns: &Netns) {
        let (changes, conflicts) = changes(wanted, found);
        let change = |(pass, c)| PlannedChange { netns: netns.clone(), what: What::Object(c), pass };
        self.changes.reserve(changes.len());
        self.changes.extend(changes.into_iter().map(change));
        self.conflicts.extend(conflicts.into_iter().map(|c| (netns.clone(), c)));
    }

    /// Whether it makes or removes namespaces.
    pub(crate) fn has_namespaces(&self) -> bool {
        self.changes.iter().any(|change| matches!(change.what, What::Namespace(_)))
    }

    pub(crate) fn takes_links_away(&self) -> bool {
        let of_link = |change: &PlannedChange| matches!(&change.what, What::Object(ObjectChange::Link(_)));
        self.changes.iter().any(|change| change.is_deletion() && of_link(change))
    }

    /// The kinds of objects that there is something to do about, by namespace.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&Netns, &'static str)> {
        self.changes.iter().filter_map(|change| match &change.what {
            What::Object(object) => Some((&change.netns, object.kind())),
            What::File(_) => Some((&change.netns, File::KIND)),
            What::Namespace(_) => None,
        })
    }

    /// The changes, those of one namespace together as far as they stand together: its making and its files do not.
    pub(crate) fn by_namespace(&self) -> impl Iterator<Item = (&Netns, &[PlannedChange])> {
        let runs = self.changes.chunk_by(|a, b| a.netns == b.netns);
        runs.filter_map(|run| Some((&run.first()?.netns, run)))
    }

    /// What has to be looked at again when all of this was acknowledged, by namespace; `wanted` is what shall be.
    pub(crate) fn ripples(&self, wanted: &Objects) -> BTreeMap<Netns, Ripple> {
        let of = |change: &PlannedChange| match &change.what {
            What::Object(object) => object.ripple(),
            // The other ends of its pairs go with it.
            What::Namespace(Change::Delete(_)) => Ripple::Anything,
            What::Namespace(_) | What::File(_) => Ripple::None,
        };
        // Of each namespace also how many sysctls of links are set: all changes are looked through once, not once for each.
        let mut ripples: BTreeMap<&Netns, (Ripple, usize)> = BTreeMap::new();
        for (netns, changes) in self.by_namespace() {
            let (ripple, set) = ripples.entry(netns).or_insert((Ripple::None, 0));
            *ripple = changes.iter().map(of).fold(*ripple, Ripple::max);
            *set += changes.iter().filter(|change| change.sets_sysctl_of_link()).count();
        }
        // A pair has ends in two namespaces.
        let everywhere = ripples.values().any(|(ripple, _)| *ripple == Ripple::Anything);
        let again = |(netns, (ripple, set)): (&Netns, (Ripple, usize))| {
            let ripple = if everywhere { Ripple::Anything } else { ripple };
            let is_due = match ripple {
                Ripple::None => false,
                // Those of interfaces are set after those of all; what was not set now may have been overrun.
                Ripple::Settings => wanted.of(netns).is_some_and(|wanted| set < of_links(&wanted.sysctls)),
                Ripple::Anything => true,
            };
            is_due.then(|| (netns.clone(), ripple))
        };
        ripples.into_iter().filter_map(again).collect()
    }

    /// Whether a namespace that is no longer wanted has to stay, because others live in it.
    fn keeps(&mut self, gone: &NamedNamespace, found: &Snapshot) -> bool {
        let others = found.others_in(&gone.0);
        if others.is_empty() {
            return false;
        }
        self.left.push(format!("namespace {gone}: it holds what is not guestnet's: {}", others.join(", ")));
        true
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |netns: &Netns| netns.to_string();
        let width = self.changes.iter().map(|c| place(&c.netns).len()).max().unwrap_or(0);
        for change in &self.changes {
            let text = change.text();
            writeln!(f, "{} {:width$}  {}", change.sign(), place(&change.netns), visible(&text))?;
        }
        for conflict in self.conflicts() {
            writeln!(f, "! {}", visible(&conflict))?;
        }
        for in_use in &self.in_use {
            writeln!(f, "! {}", visible(in_use))?;
        }
        for left in &self.left {
            writeln!(f, "= {}", visible(left))?;
        }
        for warning in &self.warnings {
            writeln!(f, "? {}", visible(warning))?;
        }
        for tunnel in &self.refusing {
            writeln!(f, "! {}", visible(tunnel))?;
        }
        let count = |sign| self.changes.iter().filter(|c| c.sign() == sign).count();
        match (self.is_empty(), self.refusing.len()) {
            (true, 0) => return f.write_str("nothing to do"),
            (true, 1) => return f.write_str("nothing to change, and 1 tunnel refuses packets"),
            (true, n) => return write!(f, "nothing to change, and {n} tunnels refuse packets"),
            (false, _) => {}
        }
        write!(f, "{} to make, {} to change, {} to remove", count('+'), count('~'), count('-'))?;
        if self.conflicts.is_empty() { Ok(()) } else { write!(f, ", {} in the way", self.conflicts.len()) }
    }
}
