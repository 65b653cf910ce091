//! A host: opened once, then planned, applied, observed and verified as often as wanted.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guestnet_core::owner::Owner;
use guestnet_core::{Act, Error as CoreError, Namespace, Netns, NetnsName, Protocol, Watch, netns, sysctl};

use crate::again;
use crate::alone::PATIENCE;
use crate::apply::{self, Outcome};
use crate::lower::Lowered;
use crate::memory::Memory;
use crate::objects::Objects;
use crate::observe::{Namespaces, Observation};
use crate::plan::Plan;
use crate::report::{Error, Failure, PhaseTime, Refusal, Report, State, microseconds};
use crate::seen::Scope;
use crate::spec::HostSpec;

/// Where files for daemons go unless the caller says otherwise.
pub const DIRECTORY: &str = "/run/guestnet";

/// How often what was applied is observed and what still differs is applied again. Some objects change others: a
/// link that goes down loses its addresses, `conf/all/forwarding` sets every interface's.
const ROUNDS: usize = 4;

/// A host whose guests' network guestnet keeps. Blocking, `Send`; when a call returns, the caller's thread is in the namespace
/// where it was. It keeps up to four descriptors open for each namespace of a guest: a program that has hundreds of those
/// raises its soft limit (`RLIMIT_NOFILE`), as the command does.
///
/// A host that stays open remembers what it was asked for and what it found, keys included: the same spec again costs
/// little more than the kernel's answers, which are asked for each time. That takes some KiB a guest.
pub struct Host {
    pub(crate) namespaces: Namespaces,
    pub(crate) owner: Owner,
    directory: PathBuf,
    pub(crate) patience: Duration,
    memory: Memory,
}

/// What a host shall come to.
pub(crate) struct Goal<'a> {
    /// Who says so, if it was a spec.
    pub(crate) spec: Option<&'a HostSpec>,
    /// What shall be, of all that is read.
    pub(crate) wanted: &'a Lowered,
    /// What is read where the scope is keys: theirs.
    pub(crate) named: &'a Objects,
    pub(crate) scope: Scope,
}

impl<'a> Goal<'a> {
    /// The host is `wanted` and nothing else.
    pub(crate) fn all(spec: Option<&'a HostSpec>, wanted: &'a Lowered) -> Self {
        Self { spec, wanted, named: &wanted.objects, scope: Scope::All }
    }
}

impl Host {
    /// The host whose network the calling thread is in.
    ///
    /// # Errors
    /// When the kernel is too old (before 5.14) or `/proc` is not mounted.
    pub fn open() -> Result<Self, Error> {
        Self::from_fd(netns::current()?)
    }

    /// The host whose network is the namespace that `ip netns` calls `name`. Its files go to a directory of their own,
    /// `/run/guestnet/netns/NAME`.
    ///
    /// # Errors
    /// When there is none or the caller may not enter it.
    pub fn in_namespace(name: &NetnsName) -> Result<Self, Error> {
        let directory = Path::new(DIRECTORY).join("netns").join(name.as_str());
        Ok(Self::from_fd(netns::open(name)?)?.files_in(directory))
    }

    /// The host whose network is the namespace behind `fd`.
    ///
    /// # Errors
    /// When `fd` is no network namespace or the caller may not enter it.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let mut namespace = Namespace::enter(fd, Netns::Host, &Watch::default())?;
        // Opened now and not at the first call, which may be waited for. What is missing is said when it is needed.
        netns::roaming(|| [Protocol::Netfilter, Protocol::Xfrm].map(|protocol| namespace.speaks(protocol)));
        let owner = Owner(namespace.cookie());
        let namespaces = Namespaces::of(namespace);
        Ok(Self {
            namespaces,
            owner,
            directory: PathBuf::from(DIRECTORY),
            patience: PATIENCE,
            memory: Memory::default(),
        })
    }

    /// Puts the files for daemons below `directory`.
    #[must_use]
    pub fn files_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Waits at most `patience` for another apply on the same host; 30 s unless this is called.
    #[must_use]
    pub fn wait_at_most(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Calls `watcher` with each act on the system, just before it is carried out: each datagram that is sent, each tap,
    /// sysctl, namespace and file that is written, and each question to the kernel. What is written beside the ledger of
    /// sysctls, which is guestnet's own, is not among them.
    ///
    /// The watcher runs on the threads that act, one call at a time. It must not use this host. What it is given may
    /// hold keys (see [`Act`]).
    ///
    /// ```no_run
    /// # use guestnet::Host;
    /// let mut host = Host::open()?;
    /// host.watch(|act| eprintln!("{act}"));
    /// # Ok::<(), guestnet::Error>(())
    /// ```
    pub fn watch(&mut self, watcher: impl FnMut(&Act<'_>) + Send + 'static) {
        self.namespaces.watch(Watch::new(watcher));
    }

    /// The directory below which the files for daemons are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is ours on the host.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn observe(&mut self) -> Result<Objects, Error> {
        let nothing = Objects::default();
        Ok(netns::roaming(|| self.read(&nothing, &nothing, Scope::All))?.into_ours())
    }

    /// The namespaces that are open: after an observation, all that are ours.
    pub(crate) fn open_namespaces(&mut self) -> impl Iterator<Item = (&Netns, &mut Namespace)> {
        self.namespaces.open.iter_mut()
    }

    /// The changes that would make the host as `spec` wants it. Changes nothing.
    ///
    /// # Errors
    /// When the spec is wrong (with all its problems) or the host cannot be read.
    pub fn plan(&mut self, spec: &HostSpec) -> Result<Plan, Error> {
        let wanted = self.memory.lower(spec)?;
        let found = netns::roaming(|| self.recall(&wanted))?;
        let mut plan = Plan::between(wanted.settled(&found)?.as_ref(), &found);
        self.memory.settle(&plan);
        plan.warnings = spec.warnings_with(&wanted.objects);
        plan.warnings.extend(again::warnings(&plan, &found));
        Ok(plan)
    }

    /// Whether the host is as `spec` wants it: the plan, which is empty if it is. The same as [`Self::plan`]; the name
    /// says what for.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn verify(&mut self, spec: &HostSpec) -> Result<Plan, Error> {
        self.plan(spec)
    }

    /// Makes the host as `spec` wants it. What is ours and not in the spec is removed; what is not ours is neither
    /// changed nor removed. Does nothing on a host that is as wanted.
    ///
    /// # Errors
    /// [`Error::Core`] with nothing changed; [`Error::Apply`] when something was refused under way, after which
    /// what had been done was undone.
    pub fn apply(&mut self, spec: &HostSpec) -> Result<Report, Error> {
        let wanted = self.memory.lower(spec)?;
        self.alone(|host| {
            let found = host.recall(&wanted)?;
            let report = host.converge(&Goal::all(Some(spec), &wanted), Some(found))?;
            if report.changes > 0 {
                host.find_policies_fast(&wanted.objects);
            }
            Ok(report)
        })
    }

    /// Removes everything that is ours.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn remove_all(&mut self) -> Result<Report, Error> {
        self.alone(|host| host.converge(&Goal::all(None, &Lowered::default()), None))
    }

    /// Makes the kernel's hash of policies as large as a burst of them wants it. That it stays small costs some
    /// microseconds a packet and is no failure.
    fn find_policies_fast(&mut self, wanted: &Objects) {
        const BURST: usize = 256;
        for (netns, _) in wanted.iter().filter(|(_, objects)| objects.policies.len() > BURST) {
            if let Some(namespace) = self.namespaces.open.get_mut(&netns) {
                let _ = guestnet_xfrm::Spd::grow(namespace);
            }
        }
    }

    /// The namespace that plans call `netns`, if it was there when the host was read.
    pub(crate) fn namespace(&self, netns: &Netns) -> Option<&Namespace> {
        self.namespaces.open.get(netns)
    }

    pub(crate) fn read(
        &mut self,
        named: &Objects,
        desired: &Objects,
        scope: Scope,
    ) -> Result<Observation, CoreError> {
        Observation::read(&mut self.namespaces, self.owner, &self.directory, named, desired, scope, None)
    }

    /// Reads everything; what is as it was the last time for the same objects need not be understood again.
    fn recall(&mut self, wanted: &Arc<Lowered>) -> Result<Observation, CoreError> {
        let objects = &wanted.objects;
        let Self { namespaces, owner, directory, memory, .. } = self;
        memory.turn_to(wanted);
        Observation::read(namespaces, *owner, directory, objects, objects, Scope::All, Some(memory))
    }

    /// Plans and applies until nothing is left to do. For those who hold the lock.
    /// `found` is what was read of the host just now.
    pub(crate) fn converge(&mut self, goal: &Goal<'_>, found: Option<Observation>) -> Result<Report, Error> {
        let mut before = None;
        match (self.rounds(goal, found, &mut before), before) {
            // Something has been done before, so that this leaves nothing half done either.
            (Err(Error::Core(error)), Some(before)) => {
                Err(self.undo(&before, Outcome::of_failure("host", error), goal))
            }
            (result, _) => result,
        }
    }

    /// `before` becomes what was there before the first change.
    fn rounds(
        &mut self,
        goal: &Goal<'_>,
        mut found: Option<Observation>,
        before: &mut Option<Observation>,
    ) -> Result<Report, Error> {
        let began = Instant::now();
        let mut report = Report::default();
        let mut ripples = None;
        let mut gone = false;
        for _ in 0..ROUNDS {
            let found = match (found.take(), &ripples) {
                (Some(found), _) => found,
                (None, None) => self.read(goal.named, &goal.wanted.objects, goal.scope)?,
                (None, Some(ripples)) => {
                    Observation::read_again(&mut self.namespaces, goal.named, goal.scope, ripples)?
                }
            };
            let plan = Plan::between(goal.wanted.settled(&found)?.as_ref(), &found);
            if found.recalled {
                self.memory.settle(&plan);
            }
            if !plan.conflicts.is_empty() {
                return Err(CoreError::Foreign(plan.conflicts()).into());
            }
            if !found.again {
                report.left.clone_from(&plan.left);
            }
            if plan.is_empty() {
                return self.done(goal, gone, report, began);
            }
            gone |= plan.takes_links_away();
            let before = &*before.get_or_insert(found);
            let outcome = apply::carry_out(&plan, &mut self.namespaces, self.owner, &self.directory);
            report.changes += outcome.done;
            report.files.extend(outcome.files.iter().cloned());
            report.phases.extend(outcome.times.iter().map(|(phase, time)| PhaseTime::new(*phase, *time)));
            if !outcome.failures.is_empty() {
                return Err(self.undo(before, outcome, goal));
            }
            let ripples = &*ripples.insert(plan.ripples(&goal.wanted.objects));
            if ripples.is_empty() {
                return self.done(goal, gone, report, began);
            }
        }
        let found = self.read(goal.named, &goal.wanted.objects, goal.scope)?;
        let plan = Plan::between(goal.wanted.settled(&found)?.as_ref(), &found);
        if plan.is_empty() {
            return self.done(goal, gone, report, began);
        }
        Err(Error::Apply(Box::new(Failure { refusals: Vec::new(), state: State::Unstable(lines(&plan)) })))
    }

    /// `gone` says whether links went.
    fn done(
        &mut self,
        goal: &Goal<'_>,
        gone: bool,
        mut report: Report,
        began: Instant,
    ) -> Result<Report, Error> {
        self.tidy(goal, gone)?;
        report.microseconds = microseconds(began.elapsed());
        Ok(report)
    }

    /// Forgets the sysctls of links that are gone: now, or before a kill.
    fn tidy(&mut self, goal: &Goal<'_>, gone: bool) -> Result<(), CoreError> {
        // The next who sees the whole forgets what a part has left behind.
        if goal.scope == Scope::All {
            let stale = self.namespaces.open.values_mut().filter(|here| gone || here.ledger_is_stale());
            stale.into_iter().try_for_each(sysctl::tidy)?;
        }
        Ok(())
    }

    /// Makes the host as it was `before`, and says how far that went.
    fn undo(&mut self, before: &Observation, outcome: Outcome, goal: &Goal<'_>) -> Error {
        let before = &before.ours();
        let places = goal.spec.and_then(|spec| spec.lower_with_paths().ok()).unwrap_or_default();
        let refusals = outcome
            .failures
            .into_iter()
            .map(|(object, error)| Refusal { path: places.path_of(&object), object, error })
            .collect();
        let mut reverted = 0;
        let mut left = vec!["the host could not be read".to_owned()];
        for _ in 0..ROUNDS {
            // What was made is found under the keys that were wanted.
            let named = if goal.scope == Scope::All { before } else { goal.named };
            let Ok(found) = self.read(named, before, goal.scope) else { break };
            let plan = Plan::between(before, &found);
            left = lines(&plan);
            if left.is_empty() {
                // What stays in a ledger of a link that is gone does no harm.
                let _ = self.tidy(goal, true);
                break;
            }
            reverted += apply::carry_out(&plan, &mut self.namespaces, self.owner, &self.directory).done;
        }
        let state = if left.is_empty() { State::Undone(reverted) } else { State::PartlyUndone(left) };
        Error::Apply(Box::new(Failure { refusals, state }))
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    if plan.is_empty() { Vec::new() } else { plan.to_string().lines().map(str::to_owned).collect() }
}
