//! Carrying a plan out, pass by pass and phase by phase ([`Pass`], [`Phase`]).
//!
//! What opens when it is missing, by kind, and why no moment of a plan is more open than the host was before or will be:
//!
//! | kind | opens when it is missing | held by |
//! |---|---|---|
//! | namespace | nothing: what is in it goes with it | |
//! | link | nothing | a guest's goes before all that protects it |
//! | table: filter | all that it drops | replaced within one transaction; elements of what goes stay until it is gone ([`Kind::between`]) |
//! | table: translation | private addresses leave | the same; not held where `nat.mode` becomes `notrack`: a packet that is between two hooks at that moment leaves as it is |
//! | sysctl | what it turns off | set before links are up, restored when they are gone |
//! | state | nothing: policies ask for it | |
//! | policy | packets leave in clear | the next one is there before the last one goes |
//! | address | nothing | |
//! | route | what a blackhole stops | the next one is there before the last one goes |
//! | threshold of policies' hash tables | nothing: another search finds the same | |
//! | proxied neighbour | nothing | made last, removed first |
//! | permanent neighbour | nothing: packets wait for an answer | |
//! | file | nothing | |
//! | connection of an address that is taken from a guest | the lists of whoever has it next, as long as it is *there* | ended with the last step of the change that takes it ([`connections`]) |

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guestnet_core::conntrack::Addresses;
use guestnet_core::owner::Owner;
use guestnet_core::{
    Context, Deed, Error, FilePath, KernelError, LinkName, Namespace, Netns, Outbox, Pass, Phase, Protocol,
    Result, Step, file, netns, sysctl, tap,
};

use crate::connections;
use crate::namespaces::Namespaces;
use crate::objects::ObjectChange;
use crate::plan::{Plan, PlannedChange, What};

/// What carrying a plan out came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many changes were sent.
    pub(crate) done: usize,
    /// What was refused, with the change that asked for it.
    pub(crate) failures: Vec<(String, Error)>,
    /// The files that were written or removed.
    pub(crate) files: Vec<FilePath>,
    /// How long each phase took.
    pub(crate) times: Vec<(Phase, Duration)>,
    /// Warnings about what was done.
    pub(crate) warnings: Vec<String>,
}

impl Outcome {
    /// Nothing was done, since this failed.
    pub(crate) fn of_failure(object: &str, error: Error) -> Self {
        let failures = vec![(object.to_owned(), error)];
        Self { failures, ..Self::default() }
    }
}

/// Carries `plan` out. Stops after the first phase in which something was refused. From the moment that links go up all
/// that protects them is in force, so what is left is sent together, namespace by namespace.
pub(crate) fn carry_out(plan: &Plan, namespaces: &mut Namespaces, owner: Owner, directory: &Path) -> Outcome {
    let mut run = Run {
        plan,
        namespaces,
        owner,
        directory,
        descriptors: None,
        acted: false,
        outcome: Outcome::default(),
    };
    for (pass, errands) in errands(plan) {
        let mut phases = Phase::ALL;
        if pass != Pass::Make {
            phases.reverse();
        }
        for phases in phases.chunk_by(|a, b| *a.min(b) >= Phase::Up && *a.max(b) <= Phase::Neighbours) {
            let began = Instant::now();
            run.acted = false;
            run.phases(&errands, pass, phases);
            if run.acted {
                run.outcome.times.extend(phases.first().map(|phase| (*phase, began.elapsed())));
            }
            if !run.outcome.failures.is_empty() {
                return run.outcome;
            }
        }
    }
    run.outcome
}

/// Changes of one namespace in one pass.
struct Errand<'a> {
    netns: &'a Netns,
    changes: Vec<Due<'a>>,
}

/// A change that is due, and its place in the plan.
struct Due<'a> {
    place: usize,
    what: Cow<'a, What>,
    /// Whether it is done with this.
    is_last: bool,
}

/// The errands of each pass, in the order of the plan.
fn errands(plan: &Plan) -> BTreeMap<Pass, Vec<Errand<'_>>> {
    let mut errands: BTreeMap<Pass, Vec<Errand<'_>>> = BTreeMap::new();
    for (place, change) in plan.changes.iter().enumerate() {
        let steps = change.steps();
        let last = steps.len().saturating_sub(1);
        for (n, (pass, what)) in steps.into_iter().enumerate() {
            let errands = errands.entry(pass).or_default();
            let due = Due { place, what, is_last: n == last };
            match errands.last_mut().filter(|errand| *errand.netns == change.netns) {
                Some(errand) => errand.changes.push(due),
                None => errands.push(Errand { netns: &change.netns, changes: vec![due] }),
            }
        }
    }
    errands
}

struct Run<'a> {
    plan: &'a Plan,
    namespaces: &'a mut Namespaces,
    owner: Owner,
    directory: &'a Path,
    /// Of the namespaces that the plan speaks of, once all are there.
    descriptors: Option<Arc<BTreeMap<Netns, RawFd>>>,
    /// Whether the phase had anything to do.
    acted: bool,
    outcome: Outcome,
}

impl Run<'_> {
    fn phases(&mut self, errands: &[Errand<'_>], pass: Pass, phases: &[Phase]) {
        for errand in errands {
            match phases {
                [Phase::Namespaces] => errand.changes.iter().for_each(|due| self.namespace(due)),
                [Phase::Files] => errand.changes.iter().for_each(|due| self.file(due)),
                _ => {
                    if let Err(error) = self.objects(errand, pass, phases) {
                        let place = format!("phase {:?} in namespace {}", phases.first(), errand.netns);
                        self.outcome.failures.push((place, error));
                    }
                }
            }
        }
    }

    fn namespace(&mut self, due: &Due<'_>) {
        let What::Namespace(of) = &*due.what else { return };
        let change = &self.plan.changes[due.place];
        let name = of.key();
        let result = if change.is_deletion() {
            self.namespaces.open.remove(&change.netns).map_or(Ok(()), |gone| {
                gone.tell(Deed::DeleteNamespace(&name));
                sysctl::forget(gone.cookie());
                netns::delete(&name)
            })
        } else {
            netns::create(&name, self.owner, &self.namespaces.watch).map(|made| {
                self.namespaces.open.insert(change.netns.clone(), made);
                self.descriptors = None;
            })
        };
        self.note(change, result);
    }

    fn file(&mut self, due: &Due<'_>) {
        let What::File(of) = &*due.what else { return };
        let change = &self.plan.changes[due.place];
        let path = file::place(self.directory, &of.key());
        let deed = if change.is_deletion() { Deed::RemoveFile(&path) } else { Deed::WriteFile(&path) };
        self.namespaces.watch.tell(&Netns::Host, deed);
        let result = file::carry_out(self.directory, self.owner, of);
        if result.is_ok() {
            self.outcome.files.push(of.key());
        }
        self.note(change, result);
    }

    fn note(&mut self, change: &PlannedChange, result: Result<()>) {
        self.acted = true;
        match result {
            Ok(()) => self.outcome.done += 1,
            Err(error) => self.outcome.failures.push((place(change), error)),
        }
    }

    /// Encodes and sends what an errand has to do in `phases`.
    fn objects(&mut self, errand: &Errand<'_>, pass: Pass, phases: &[Phase]) -> Result<()> {
        let netns = errand.netns;
        let objects = || {
            errand.changes.iter().filter_map(|due| match &*due.what {
                What::Object(object) => Some((due.place, object)),
                _ => None,
            })
        };
        if !objects().any(|(_, object)| object.phases().iter().any(|phase| phases.contains(phase))) {
            return Ok(());
        }
        let context = self.context(netns)?;
        let plan = self.plan;
        let mut steps = Vec::new();
        for phase in phases {
            let mut outbox = Outbox::new();
            for (n, object) in objects().filter(|(_, object)| object.phases().contains(phase)) {
                outbox.begin(n);
                match object.encode(*phase, &context, &mut outbox) {
                    // What it lived on is gone, and it with that.
                    Err(_) if object.sign() == '-' => {}
                    Err(error) => self.outcome.failures.push((place(&plan.changes[n]), error)),
                    Ok(()) => {}
                }
            }
            steps.extend(outbox.into_steps().into_iter().map(|(n, step)| (*phase, n, step)));
        }
        drop(context);
        if !self.outcome.failures.is_empty() {
            return Ok(());
        }
        self.acted |= !steps.is_empty();
        // A change counts once, also where it takes no step of its own, as one end makes both of a pair, or two.
        let begins = |(n, object): &(usize, &ObjectChange)| {
            object.phases().first().is_some_and(|phase| phases.contains(phase))
                && plan.changes[*n].pass == pass
        };
        self.outcome.done += objects().filter(begins).count();
        let released = self.released(errand, phases);
        // Now, so that a run that is killed and repeated ends them, and again when none can be made any more.
        let _ = self.end(netns, &released);
        self.send(netns, steps)?;
        if self.outcome.failures.is_empty()
            && let Err(error) = self.end(netns, &released)
        {
            self.outcome.warnings.push(connections::live_on(netns, &released, &error).to_string());
        }
        let links: Vec<&LinkName> = objects().filter_map(|(_, object)| object.link()).collect();
        if phases == [Phase::Settings] {
            let namespace = self.open(netns)?;
            links.iter().for_each(|link| namespace.forget_settings(Some(link)));
        }
        if phases == [Phase::Links] {
            let namespace = self.open(netns)?;
            match pass {
                Pass::MakeRoom | Pass::Remove => namespace.forget_links(links),
                // One by one: asked for by its name, a link that has lost its carrier (a tap does, when its descriptor is
                // closed) has that settled at once (on Linux 6.18; on 6.1 not each), while it is still down. Else the kernel
                // does so once it is up, for 100 links a second, and walks along all IPv6 routes for each.
                Pass::Make => drop(namespace.refresh_links_of(links)?),
            }
        }
        Ok(())
    }

    /// The addresses whose connections end with what an errand has to do in `phases`. They cannot be brought back, so that they end
    /// with the last step of a change: what is refused is refused before.
    fn released(&self, errand: &Errand<'_>, phases: &[Phase]) -> Addresses {
        let mut all = Addresses::default();
        if phases == [Phase::Filters] {
            for due in errand.changes.iter().filter(|due| due.is_last) {
                // The whole change: what its first step has made is no news to the last.
                if let What::Object(change) = &self.plan.changes[due.place].what {
                    all.extend(&connections::released(change));
                }
            }
        }
        all
    }

    fn end(&mut self, netns: &Netns, addresses: &Addresses) -> Result<()> {
        if addresses.is_empty() { Ok(()) } else { connections::end(self.open(netns)?, addresses) }
    }

    fn context(&mut self, netns: &Netns) -> Result<Context> {
        let namespaces = match &self.descriptors {
            Some(known) => Arc::clone(known),
            None => {
                let open = &self.namespaces.open;
                let known = self.plan.by_namespace();
                let known =
                    known.filter_map(|(netns, _)| Some((netns.clone(), open.get(netns)?.as_raw_fd())));
                let known: Arc<BTreeMap<Netns, RawFd>> = Arc::new(known.collect());
                Arc::clone(self.descriptors.insert(known))
            }
        };
        Ok(Context { netns: netns.clone(), links: self.open(netns)?.link_indexes(), namespaces })
    }

    fn open(&mut self, netns: &Netns) -> Result<&mut Namespace> {
        let missing = || Error::malformed(format!("namespace {netns}"), "it is not there");
        self.namespaces.open.get_mut(netns).ok_or_else(missing)
    }

    /// Sends steps, as many together as belong to one protocol. Taps come first: their messages may follow at once.
    fn send(&mut self, netns: &Netns, steps: Vec<(Phase, usize, Step)>) -> Result<()> {
        let (mut taps, mut settings, mut messages) =
            (Vec::new(), Vec::new(), BTreeMap::<Protocol, Vec<_>>::new());
        for (phase, n, step) in steps {
            match step {
                Step::Send(protocol, message) => {
                    let messages = messages.entry(protocol).or_default();
                    // Links go as a group: what was just asked for need not be asked for again.
                    let is_group = message.kind() == libc::RTM_DELLINK;
                    if !is_group || messages.last().is_none_or(|(_, last)| *last != message) {
                        messages.push(((phase, n), message));
                    }
                }
                Step::MakeTap(..) => taps.push((n, step)),
                Step::SetSysctl(..) | Step::RestoreSysctl(..) | Step::SetOfLink(..) => {
                    settings.push((n, step));
                }
            }
        }
        let plan = self.plan;
        for (n, step) in taps {
            if let Step::MakeTap(name, options) = &step
                && let Err(error) = tap::make(self.open(netns)?, name, options)
            {
                self.outcome.failures.push((place(&plan.changes[n]), error));
            }
        }
        let (of, settings): (Vec<usize>, Vec<Step>) = settings.into_iter().unzip();
        if !settings.is_empty() {
            let results = sysctl::carry_out(self.open(netns)?, &settings)?;
            for (n, error) in of.into_iter().zip(results).filter_map(|(n, result)| Some((n, result.err()?))) {
                self.outcome.failures.push((place(&plan.changes[n]), error));
            }
        }
        for (protocol, messages) in messages {
            let (of, mut messages): (Vec<(Phase, usize)>, Vec<_>) = messages.into_iter().unzip();
            let mut refused = self.open(netns)?.exchange(protocol, &mut messages)?;
            refused.retain(|(i, refusal)| !(plan.changes[of[*i].1].is_deletion() && is_gone(refusal.errno)));
            // What was refused in later phases may only follow from the first.
            let first = refused.iter().map(|(i, _)| of[*i].0).next();
            for (i, refusal) in refused.into_iter().filter(|(i, _)| Some(of[*i].0) == first) {
                let change = &plan.changes[of[i].1];
                let error = KernelError {
                    what: change.request(),
                    errno: refusal.errno,
                    words: refusal.words,
                    attribute: refusal.attribute,
                };
                self.outcome.failures.push((place(change), error.into()));
            }
        }
        Ok(())
    }
}

/// Whether the kernel says that what should be removed is not there: then it went with something else.
fn is_gone(errno: i32) -> bool {
    [libc::ENOENT, libc::ENODEV, libc::ESRCH, libc::EADDRNOTAVAIL].contains(&errno)
}

/// What the change is about, on the host as a whole.
fn place(change: &PlannedChange) -> String {
    crate::lower::place(&change.netns, &change.name())
}
