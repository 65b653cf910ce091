//! A host: opened once, then planned, applied, observed and verified as often as wanted.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guestnet_core::owner::Owner;
use guestnet_core::{
    Act, Error as CoreError, LinkName, Namespace, Netns, NetnsName, Protocol, Watch, life, netns, sysctl,
};

use crate::alone::PATIENCE;
use crate::apply::{self, Outcome};
use crate::lower::Lowered;
use crate::namespaces::Namespaces;
use crate::objects::Objects;
use crate::part::LastKept;
use crate::plan::Plan;
use crate::report::{Error, Failure, PhaseTime, Refusal, Report, State, Tally, microseconds};
use crate::snapshot::{Cache, Request, Scope, Snapshot, Update};
use crate::spec::{CheckedSpec, HostSpec};

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
    /// Whether it has come since the last apply: those in whose place it may have come have left something.
    pub(crate) is_new: bool,
    cache: Cache,
    pub(crate) last_kept: LastKept,
    /// Links that the next change may delete and make again, whoever uses them.
    pub(crate) may_remake: BTreeSet<LinkName>,
}

/// What a host shall come to.
pub(crate) struct Goal<'a> {
    /// Who says so, if it is a spec.
    pub(crate) spec: Option<&'a HostSpec>,
    /// Whose guests are told of: also of a spec that is taken away.
    pub(crate) guests: Option<&'a HostSpec>,
    /// What shall be, of all that is read.
    pub(crate) wanted: &'a Lowered,
    /// What is read where the scope is keys: theirs.
    pub(crate) named: &'a Objects,
    pub(crate) scope: Scope,
}

impl<'a> Goal<'a> {
    /// The host is `wanted` and nothing else.
    pub(crate) fn all(wanted: &'a Lowered) -> Self {
        Self { spec: None, guests: None, wanted, named: &wanted.objects, scope: Scope::All }
    }

    /// The same, which `spec` says.
    pub(crate) fn by(self, spec: &'a HostSpec) -> Self {
        Self { spec: Some(spec), guests: Some(spec), ..self }
    }

    /// The same, to which the part `spec` is added, or from which it is taken.
    pub(crate) fn part(self, spec: &'a HostSpec, adds: bool) -> Self {
        if adds { self.by(spec) } else { self.without(spec) }
    }

    /// The same, which takes the guests of `spec` away.
    pub(crate) fn without(self, spec: &'a HostSpec) -> Self {
        Self { guests: Some(spec), ..self }
    }

    /// What is read to see how far the host is from it.
    pub(crate) fn request(&self) -> Request<'a> {
        Request { named: self.named, desired: &self.wanted.objects, scope: self.scope }
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
        let mut host = Self::from_fd(netns::open(name)?)?.files_in(directory);
        host.namespaces.name = Some(name.clone());
        Ok(host)
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
        Ok(Self::with(Namespaces::of(namespace), owner))
    }

    pub(crate) fn with(namespaces: Namespaces, owner: Owner) -> Self {
        Self {
            namespaces,
            owner,
            directory: PathBuf::from(DIRECTORY),
            patience: PATIENCE,
            is_new: false,
            cache: Cache::default(),
            last_kept: None,
            may_remake: BTreeSet::new(),
        }
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

    /// Whose the objects are that this host makes: it stands in their marks.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The directory below which the files for daemons are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is ours on the host, in the form of a spec. Changed by hand, a route may have a type of service or a source
    /// prefix, and an address a peer: no spec can say so, and they are left out; [`verify`](Self::verify) names them.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn observe(&mut self) -> Result<Objects, Error> {
        let nothing = Objects::default();
        Ok(netns::roaming(|| self.read(Request::all(&nothing)))?.into_ours().in_short())
    }

    /// The namespaces that are open: after an observation, all that are ours.
    pub(crate) fn open_namespaces(&mut self) -> impl Iterator<Item = (&Netns, &mut Namespace)> {
        self.namespaces.open.iter_mut()
    }

    /// Takes over what `spec` comes to: to plan, verify or apply it, it need not be checked and lowered again. Asks nothing
    /// of the host.
    pub fn prepare(&mut self, spec: &CheckedSpec) {
        self.cache.prepare(spec);
    }

    /// The changes that would make the host as `spec` wants it. Changes nothing.
    ///
    /// # Errors
    /// When the spec is wrong (with all its problems) or the host cannot be read.
    pub fn plan(&mut self, spec: &HostSpec) -> Result<Plan, Error> {
        let wanted = self.cache.lower(spec)?;
        let found = netns::roaming(|| self.recall(&wanted))?;
        let mut plan = Plan::between(wanted.settled(&found)?.as_ref(), &found);
        self.cache.note_in_sync(&plan);
        netns::roaming(|| self.note(&mut plan, spec, &wanted.objects, &found))?;
        Ok(plan)
    }

    /// Notes in `plan`, which makes of what was `found` what `spec` comes to (`wanted`), what is to be known before it is carried out:
    /// whom it takes links from, what is warned of, what would be seen by nobody, whose it takes over.
    pub(crate) fn note(
        &mut self,
        plan: &mut Plan,
        spec: &HostSpec,
        wanted: &Objects,
        found: &Snapshot,
    ) -> Result<(), Error> {
        self.note_in_use(plan)?;
        plan.warnings = self.warnings(Some(spec), wanted, plan, found)?;
        plan.warnings.extend(self.hidden(plan));
        plan.warnings.extend(
            self.namespaces.inherited(self.owner).map(|(netns, of)| {
                format!("namespace {netns} is {}: an apply takes it over", of.described())
            }),
        );
        Ok(())
    }

    /// Whether the host is as `spec` wants it, and its tunnels take what the other ends send: the plan, which
    /// [holds](Plan::holds) if it is so.
    ///
    /// Tunnels are looked at a second time, for two seconds at most, where packets have been refused: see
    /// [`crate::tunnels`].
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn verify(&mut self, spec: &HostSpec) -> Result<Plan, Error> {
        let mut plan = self.plan(spec)?;
        let wanted = self.cache.lower(spec)?;
        let refusing = netns::roaming(|| self.refusing(&wanted.objects))?;
        plan.refusing = refusing.iter().map(ToString::to_string).collect();
        Ok(plan)
    }

    /// Makes the host as `spec` wants it. What is ours and not in the spec is removed; what is not ours is neither
    /// changed nor removed. Does nothing on a host that is as wanted.
    ///
    /// # Errors
    /// [`Error::Core`] with nothing changed; [`Error::Apply`] when something was refused under way, after which
    /// what had been done was undone.
    pub fn apply(&mut self, spec: &HostSpec) -> Result<Report, Error> {
        let wanted = self.cache.lower(spec)?;
        self.alone(|host| {
            let began = Instant::now();
            let found = host.recall(&wanted)?;
            let plan = Plan::between(wanted.settled(&found)?.as_ref(), &found);
            host.cache.note_in_sync(&plan);
            let report = host.keeping_whole(spec, &wanted, |host| {
                host.converge_by(&Goal::all(&wanted).by(spec), plan, &found, began)
            })?;
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
        let nothing = Arc::new(Lowered::default());
        self.alone(|host| {
            let goal = Goal::all(&nothing);
            let found = host.read(goal.request())?;
            host.keeping_whole(&HostSpec::default(), &nothing, |host| host.converge(&goal, found))
        })
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

    pub(crate) fn read(&mut self, request: Request<'_>) -> Result<Snapshot, CoreError> {
        Snapshot::read(&mut self.namespaces, self.owner, &self.directory, request)
    }

    /// Reads everything; answers of the kernel that are the same as the last time, for the same objects, are not read anew.
    fn recall(&mut self, wanted: &Arc<Lowered>) -> Result<Snapshot, CoreError> {
        let Self { namespaces, owner, directory, cache, .. } = self;
        cache.turn_to(wanted);
        Snapshot::recall(namespaces, *owner, directory, &wanted.objects, cache)
    }

    /// Plans and applies until nothing is left to do. For those who hold the lock.
    /// `found` is what was read of the host just now.
    pub(crate) fn converge(&mut self, goal: &Goal<'_>, found: Snapshot) -> Result<Report, Error> {
        let began = Instant::now();
        let plan = Plan::between(goal.wanted.settled(&found)?.as_ref(), &found);
        self.converge_by(goal, plan, &found, began)
    }

    /// As [`Self::converge`], by the `plan` for what was `found`.
    fn converge_by(
        &mut self,
        goal: &Goal<'_>,
        plan: Plan,
        found: &Snapshot,
        began: Instant,
    ) -> Result<Report, Error> {
        if !plan.conflicts.is_empty() {
            return Err(CoreError::Foreign(plan.conflicts()).into());
        }
        self.refuse_in_use(&plan)?;
        if let Some(hidden) = self.hidden(&plan) {
            return Err(CoreError::Unsupported(hidden).into());
        }
        let warnings = self.warnings(goal.spec, &goal.wanted.objects, &plan, found)?;
        let taken_over = self.namespaces.take_over(self.owner)?;
        let mut report = Report {
            changes: taken_over.len(),
            taken_over,
            left: plan.left.clone(),
            warnings,
            ..Report::default()
        };
        match plan.is_empty() {
            true => self.tidy(goal, false)?,
            false => {
                let mut tally = Tally::of(goal.guests);
                let done = self.rounds(goal, plan, &mut report, &mut tally);
                done.map_err(|failed| self.undo(found, failed, goal))?;
                report.guests = tally.report();
            }
        }
        report.microseconds = microseconds(began.elapsed());
        Ok(report)
    }

    /// Why the namespaces that `plan` makes would be seen by nobody else, if they would not; those that it removes would stay
    /// with others.
    fn hidden(&self, plan: &Plan) -> Option<String> {
        let host = self.namespaces.open.get(&Netns::Host);
        let here = plan.has_namespaces() && !self.namespaces.is_played();
        here.then(|| netns::hidden(host))?.map(|hidden| hidden.to_string())
    }

    /// Carries `plan` out, and what is left to do after it: some objects change others, as a link that goes down loses
    /// addresses and routes.
    fn rounds(
        &mut self,
        goal: &Goal<'_>,
        mut plan: Plan,
        report: &mut Report,
        tally: &mut Tally,
    ) -> Result<(), Failed> {
        let wanted = &goal.wanted.objects;
        let mut gone = false;
        for _ in 0..ROUNDS {
            gone |= plan.takes_links_away();
            let outcome = apply::carry_out(&plan, &mut self.namespaces, self.owner, &self.directory);
            report.changes += outcome.done;
            report.files.extend(outcome.files.iter().cloned());
            report.warnings.extend(outcome.warnings.iter().cloned());
            report.phases.extend(outcome.times.iter().map(|(phase, time)| PhaseTime::new(*phase, *time)));
            if !outcome.failures.is_empty() {
                return Err(Failed::Refused(outcome));
            }
            tally.note(&plan);
            let ripples = plan.ripples(wanted);
            if ripples.is_empty() {
                return Ok(self.tidy(goal, gone)?);
            }
            let update = Update::read(&mut self.namespaces, goal.named, goal.scope, &ripples)?;
            plan = Plan::remaining(wanted, &update);
            if !plan.conflicts.is_empty() {
                return Err(CoreError::Foreign(plan.conflicts()).into());
            }
            if plan.is_empty() {
                return Ok(self.tidy(goal, gone)?);
            }
        }
        let found = self.read(goal.request())?;
        let plan = Plan::between(goal.wanted.settled(&found)?.as_ref(), &found);
        if plan.is_empty() { Ok(self.tidy(goal, gone)?) } else { Err(Failed::Unstable(lines(&plan))) }
    }

    /// Forgets the sysctls of links that are gone: now, or before a kill.
    fn tidy(&mut self, goal: &Goal<'_>, gone: bool) -> Result<(), CoreError> {
        // The next who sees the whole forgets what a part has left behind.
        if goal.scope == Scope::All {
            let stale = self.namespaces.open.values_mut().filter(|here| gone || here.ledger_is_stale());
            stale.into_iter().try_for_each(sysctl::tidy)?;
            netns::sweep(self.owner)?;
            // A namespace that somebody deleted has left its ledger.
            if std::mem::take(&mut self.is_new) || gone {
                let open = self.namespaces.open.values().map(|namespace| Owner(namespace.cookie()));
                life::sweep(&open.collect());
            }
        }
        Ok(())
    }

    /// Makes the host as it was `before`, and says how far that went.
    fn undo(&mut self, before: &Snapshot, failed: Failed, goal: &Goal<'_>) -> Error {
        let outcome = match failed {
            Failed::Refused(outcome) => outcome,
            Failed::Error(error) => Outcome::of_failure("host", error),
            Failed::Unstable(lines) => {
                let failure = Failure { refusals: Vec::new(), state: State::Unstable(lines) };
                return Error::Apply(Box::new(failure));
            }
        };
        let before = &before.ours();
        let places = goal.wanted.places();
        let mut refusals: Vec<Refusal> = outcome
            .failures
            .into_iter()
            .map(|(object, error)| Refusal { path: places.path_of(&object), object, error })
            .collect();
        // A table is many messages, and may be refused for each of its rules.
        refusals.dedup_by(|a, b| a.object == b.object && a.error.to_string() == b.error.to_string());
        let (mut reverted, mut is_mended) = (0, false);
        let mut left = vec!["the host could not be read".to_owned()];
        for _ in 0..ROUNDS {
            // What was made is found under the keys that were wanted.
            let named = if goal.scope == Scope::All { before } else { goal.named };
            let Ok(found) = self.read(Request { named, desired: before, scope: goal.scope }) else { break };
            let plan = Plan::between(before, &found);
            left = lines(&plan);
            if left.is_empty() {
                is_mended = found.ours() != *before;
                // The host is as before; a line of a ledger about a link that is gone does no harm.
                let open = self.namespaces.open.iter_mut();
                let mut touched = open.filter(|(netns, _)| goal.named.of(netns).is_some());
                let _ =
                    touched.try_for_each(|(_, here)| here.refresh_links().and_then(|()| sysctl::tidy(here)));
                break;
            }
            reverted += apply::carry_out(&plan, &mut self.namespaces, self.owner, &self.directory).done;
        }
        let state = match left.is_empty() {
            true if is_mended => State::Mended(reverted),
            true => State::Undone(reverted),
            false => State::PartlyUndone(left),
        };
        Error::Apply(Box::new(Failure { refusals, state }))
    }
}

/// Why what was begun could not be finished.
enum Failed {
    /// Changes were refused.
    Refused(Outcome),
    /// The host could not be read or spoken to, or others have come in the way.
    Error(CoreError),
    /// Everything was accepted, and these lines still differ.
    Unstable(Vec<String>),
}

impl From<CoreError> for Failed {
    fn from(error: CoreError) -> Self {
        Self::Error(error)
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    if plan.is_empty() { Vec::new() } else { plan.to_string().lines().map(str::to_owned).collect() }
}
