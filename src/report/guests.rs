//! What was done, guest by guest, and what has to be restarted for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use guestnet_core::{LinkName, Netns, NetnsName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, PlannedChange, What};
use crate::resolve::Ends;
use crate::spec::{Guest, HostSpec, InterfaceKind};

/// What was done to one guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestReport {
    /// Its name; of one that is not in the spec any more, the name of its files or of its namespace.
    pub name: String,
    /// What was done to it as a whole.
    pub done: Done,
    /// How many of its objects were made, changed or removed.
    pub changes: usize,
    /// The links on the host's side that were there and had to be made again. Whoever had one open has to open it again.
    #[schemars(with = "Vec<String>")]
    pub links_made_again: Vec<LinkName>,
    /// What has to be restarted. A guest that was made needs nothing restarted: what serves it is yet to be started.
    pub restart: Vec<Restart>,
}

/// What was done to a guest as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It was not there, and is.
    Made,
    /// A part of it without which it is none (its namespace, a link) was gone, and was made again.
    MadeAgain,
    /// Something of it became another.
    Changed,
    /// It was there, and is not.
    Removed,
}

/// Something that has to be restarted, or to open a link again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restart {
    /// What.
    pub program: Program,
    /// By what it is known: the file that dnsmasq reads, the tap that the monitor has open.
    pub of: String,
    /// Why: `the namespace web1 was made again`.
    pub why: String,
}

/// A program beside guestnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// The dnsmasq that serves the guest.
    Dnsmasq,
    /// The monitor of the virtual machine: it has to open its tap again.
    Monitor,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, of, why } = self;
        match program {
            Program::Dnsmasq => write!(f, "restart dnsmasq ({of}): {why}"),
            Program::Monitor => write!(f, "open {of} again, in the monitor: {why}"),
        }
    }
}

/// The name of the file for dnsmasq in the folder of a guest.
const DNSMASQ: &str = "dnsmasq.conf";

/// What happened to a part of a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fate {
    made: bool,
    changed: bool,
    removed: bool,
}

/// A guest of a spec, and what has happened to it.
#[derive(Debug, Default)]
struct Parts {
    /// Whether it has a namespace of its own, and what has happened to that.
    namespace: Option<(NetnsName, Fate)>,
    /// The interfaces on the host's side.
    links: BTreeMap<LinkName, Fate>,
    /// Those of them that a monitor opens.
    taps: BTreeSet<LinkName>,
    /// Its file for dnsmasq, if the spec says that it has one.
    file: Fate,
    /// Whether any of its interfaces is served by dnsmasq.
    served: bool,
    changes: usize,
}

/// Whose an object is.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    guests: Vec<(String, Parts)>,
    /// Their places among `guests`.
    by_name: BTreeMap<String, usize>,
    by_namespace: BTreeMap<NetnsName, usize>,
    /// Of the links in the host's own namespace.
    by_link: BTreeMap<LinkName, usize>,
    /// Those that are not in the spec: their files or namespaces go.
    others: BTreeMap<String, usize>,
}

impl Tally {
    /// Nothing has happened yet to the guests of `spec`.
    pub(crate) fn of(spec: Option<&HostSpec>) -> Self {
        let mut tally = Self::default();
        for guest in spec.iter().flat_map(|spec| &spec.guests) {
            tally.know(guest);
        }
        tally
    }

    fn know(&mut self, guest: &Guest) {
        let place = self.guests.len();
        let netns = guest.netns();
        let mut parts = Parts::default();
        if let Netns::Named(own) = &netns {
            self.by_namespace.insert(own.clone(), place);
            parts.namespace = Some((own.clone(), Fate::default()));
            if let Ok(ends) = Ends::of(guest) {
                self.by_link.insert(ends.host_link, place);
            }
        }
        for interface in &guest.interfaces {
            if netns == Netns::Host {
                self.by_link.insert(interface.name.clone(), place);
            }
            parts.links.insert(interface.name.clone(), Fate::default());
            if matches!(interface.kind, InterfaceKind::Tap(_)) {
                parts.taps.insert(interface.name.clone());
            }
            parts.served |= interface.serve.is_some() && interface.bridge.is_none();
        }
        self.by_name.insert(guest.name.to_string(), place);
        self.guests.push((guest.name.to_string(), parts));
    }

    /// Notes what `plan` does. It is carried out.
    pub(crate) fn note(&mut self, plan: &Plan) {
        for change in &plan.changes {
            match self.whose(change).and_then(|place| self.guests.get_mut(place)) {
                Some((_, parts)) => parts.note(change),
                None if change.is_deletion() => {
                    if let Some(name) = named_by(change) {
                        *self.others.entry(name).or_default() += 1;
                    }
                }
                None => {}
            }
        }
    }

    /// The guest of the spec that an object belongs to. What guests share (tables, forwarding) is nobody's.
    fn whose(&self, change: &PlannedChange) -> Option<usize> {
        match (&change.what, &change.netns) {
            (What::Namespace(of), _) => self.by_namespace.get(&of.key()),
            (What::File(_), _) => self.by_name.get(&named_by(change)?),
            (What::Object(_), Netns::Named(name)) => self.by_namespace.get(name),
            (What::Object(object), Netns::Host) => {
                self.by_link.get(object.link().or_else(|| object.lives_on())?)
            }
        }
        .copied()
    }

    /// What was done, by the names of guests; nothing of those to whom nothing was.
    pub(crate) fn report(&self) -> Vec<GuestReport> {
        let known = self.guests.iter().filter(|(_, parts)| parts.changes > 0);
        let mut all: Vec<GuestReport> = known.map(|(name, parts)| parts.report(name.clone())).collect();
        all.extend(self.others.iter().map(|(name, changes)| GuestReport {
            name: name.clone(),
            done: Done::Removed,
            changes: *changes,
            links_made_again: Vec::new(),
            restart: Vec::new(),
        }));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// The guest that a namespace or a folder of files is called after.
fn named_by(change: &PlannedChange) -> Option<String> {
    match &change.what {
        What::Namespace(of) => Some(of.key().to_string()),
        What::File(of) => of.key().as_str().split_once('/').map(|(folder, _)| folder.to_owned()),
        What::Object(_) => None,
    }
}

impl Parts {
    fn note(&mut self, change: &PlannedChange) {
        self.changes += 1;
        let fate = match &change.what {
            What::Namespace(_) => self.namespace.as_mut().map(|(_, fate)| fate),
            What::File(of) if of.key().as_str().ends_with(DNSMASQ) => Some(&mut self.file),
            What::File(_) => None,
            What::Object(object) => object.link().and_then(|link| self.links.get_mut(link)),
        };
        if let Some(fate) = fate {
            match change.sign() {
                '+' => fate.made = true,
                '-' => fate.removed = true,
                _ => fate.changed = true,
            }
        }
    }

    fn report(&self, name: String) -> GuestReport {
        // What makes a guest: what of it was there before, what is there now.
        let mut fates: Vec<Fate> = self.namespace.iter().map(|(_, fate)| *fate).collect();
        // With a namespace goes all that is in it.
        let went = fates.iter().any(|fate| fate.removed && !fate.made);
        fates.extend(self.links.values().map(|fate| Fate { removed: fate.removed || went, ..*fate }));
        if self.served {
            fates.push(self.file);
        }
        let was_there = fates.iter().any(|fate| !fate.made || fate.removed);
        let is_there = fates.is_empty() || fates.iter().any(|fate| fate.made || !fate.removed);
        let namespace = self.namespace.as_ref().filter(|(_, fate)| fate.made && was_there);
        let again = |fate: &Fate| {
            let all_links = self.links.values().all(|fate| fate.made);
            // One that is new in the spec comes with another file; of a guest without a file it is not known.
            let file_knew_it = self.served && self.file == Fate::default();
            fate.made && was_there && (fate.removed || namespace.is_some() || file_knew_it || all_links)
        };
        let links: Vec<LinkName> =
            self.links.iter().filter(|(_, fate)| again(fate)).map(|(link, _)| link.clone()).collect();
        let done = match (was_there, is_there) {
            (_, false) => Done::Removed,
            (false, true) => Done::Made,
            (true, true) if namespace.is_some() || !links.is_empty() => Done::MadeAgain,
            (true, true) => Done::Changed,
        };
        let mut restart = Vec::new();
        if matches!(done, Done::MadeAgain | Done::Changed) {
            let why = match (namespace, links.first()) {
                (Some((namespace, _)), _) => Some(format!("the namespace {namespace} was made again")),
                (None, Some(link)) => Some(format!("the link {link} was made again")),
                (None, None) => None,
            };
            let of_file = self.file.changed.then(|| "the file has changed".to_owned());
            if let Some(why) = of_file.or_else(|| why.clone().filter(|_| self.served && !self.file.made)) {
                restart.push(Restart { program: Program::Dnsmasq, of: format!("{name}/{DNSMASQ}"), why });
            }
            restart.extend(links.iter().filter(|link| self.taps.contains(*link)).map(|link| Restart {
                program: Program::Monitor,
                of: link.to_string(),
                why: why.clone().unwrap_or_default(),
            }));
        }
        GuestReport { name, done, changes: self.changes, links_made_again: links, restart }
    }
}

/// How many guests were made, made again, changed and removed: `1 guest made, 2 changed`; nothing where there were none.
pub(super) fn counted(guests: &[GuestReport]) -> String {
    let mut parts = Vec::new();
    for (done, words) in [
        (Done::Made, "made"),
        (Done::MadeAgain, "made again"),
        (Done::Changed, "changed"),
        (Done::Removed, "removed"),
    ] {
        match guests.iter().filter(|guest| guest.done == done).count() {
            0 => {}
            n => parts.push(format!("{n} {words}")),
        }
    }
    parts.join(", ")
}

/// The files that are to be read again, by those who are told to restart.
pub(super) fn files_to_read(guests: &[GuestReport]) -> BTreeSet<&str> {
    let all = guests.iter().flat_map(|guest| &guest.restart);
    all.filter(|restart| restart.program == Program::Dnsmasq).map(|restart| restart.of.as_str()).collect()
}
