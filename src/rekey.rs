//! Rekeying the tunnels of a host: [`Host::rekey`] does one act of it, for any number of tunnels.
//!
//! The documents and the state machine are those of [`guestnet_xfrm::rekey`], where it is told how they work.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use guestnet_core::{
    Change, Context, Error as CoreError, Kind, Namespace, Netns, Outbox, Phase, Problems, Protocol, Set,
};
use guestnet_xfrm::tunnel::Keyed;
use guestnet_xfrm::{Policy, Secrets, State};

pub use guestnet_xfrm::rekey::*;

use crate::host::Host;
use crate::report::Error;
use crate::spec::{parse, reqids};

impl parse::Document for Step {
    fn load_secrets_with(&mut self, secrets: &Secrets) -> Problems {
        let mut problems = Problems::new();
        if let Err((path, error)) = self.load(secrets) {
            problems.at(&path.field("secret"), error.to_string());
        }
        problems
    }

    fn checked(&self) -> Problems {
        let mut problems = Problems::new();
        self.check(&self.keyed(), reqids, &mut problems);
        problems
    }
}

/// Reads a step from JSON, and the secrets that it names: as files, or as what is in `secrets`.
///
/// # Errors
/// [`CoreError::Spec`] with every problem of the text, each with its path; none of them repeats a secret.
pub fn step_from_json(text: &str, secrets: &Secrets) -> Result<Step, CoreError> {
    parse::from_json(text, secrets)
}

impl Host {
    /// Does one act of rekeying for the tunnels of `step`, and confirms it: how each of them stands now, or why the act
    /// was refused of it. What was done before is confirmed again.
    ///
    /// Needs no other memory than the kernel's: see [`guestnet_xfrm::rekey`].
    ///
    /// # Errors
    /// [`CoreError::Spec`] when the step is wrong; whatever keeps the host from being read or spoken to at all.
    pub fn rekey(&mut self, step: &Step) -> Result<Confirmation, Error> {
        // To derive keys is most of the work: done once, for the check as well.
        let keyed = step.keyed();
        let mut problems = Problems::new();
        step.check(&keyed, reqids, &mut problems);
        if !problems.is_empty() {
            return Err(CoreError::from(problems).into());
        }
        match step.act {
            Act::Observe => self.act(step, &keyed),
            _ => self.alone(|host| host.act(step, &keyed)),
        }
    }

    fn act(&mut self, step: &Step, keyed: &[Keyed<'_>]) -> Result<Confirmation, Error> {
        let mut by_namespace: BTreeMap<Netns, Vec<usize>> = BTreeMap::new();
        for (n, order) in step.tunnels.iter().enumerate() {
            by_namespace.entry(order.netns()).or_default().push(n);
        }
        let mut standings: BTreeMap<usize, Standing> = BTreeMap::new();
        for (netns, tunnels) in by_namespace {
            let answers = match self.namespaces.one(self.owner, &netns) {
                Some(namespace) => Round::in_namespace(namespace, step, keyed, &tunnels)?,
                None => {
                    let words = format!("the host has no namespace {netns}; apply its spec first");
                    vec![Err(Refused::new(Reason::Unknown, words)); tunnels.len()]
                }
            };
            for (n, answer) in tunnels.into_iter().zip(answers) {
                let order = &step.tunnels[n];
                let standing = match answer {
                    Ok((end, refused)) => end.standing(order, refused),
                    Err(refused) => Found::default().end(&order.tunnel).standing(order, Some(refused)),
                };
                standings.insert(n, standing);
            }
        }
        Ok(Confirmation { version: VERSION, act: step.act, tunnels: standings.into_values().collect() })
    }
}

/// What there is of a tunnel after an act, and why the act was refused of it, if it was.
type Answer = Result<(End, Option<Refused>), Refused>;

/// An act in one namespace, for the tunnels that it is about.
struct Round<'a> {
    namespace: &'a mut Namespace,
    /// What becomes of each tunnel, or why nothing does.
    advances: Vec<Result<Advance, Refused>>,
}

impl<'a> Round<'a> {
    fn in_namespace(
        namespace: &'a mut Namespace,
        step: &Step,
        keyed: &[Keyed<'_>],
        tunnels: &[usize],
    ) -> Result<Vec<Answer>, CoreError> {
        let orders = || tunnels.iter().map(|n| &step.tunnels[*n]);
        // What of others' is in the way is read only where it is known what for.
        let nexts = tunnels.iter().map(|n| Next::of(step.act, &keyed[*n]));
        let nexts: Vec<Next> = nexts.collect::<Result<_, _>>()?;
        let states: Set<State> = nexts.iter().flat_map(Next::states).cloned().collect();
        let policies: Set<Policy> = nexts.iter().flat_map(Next::policies).cloned().collect();
        let found = Found::new(State::observe(namespace, &states)?, Policy::observe(namespace, &policies)?);
        let now = now();
        let advance = |(order, next)| found.advance(step.act, order, next, now, step.drain_seconds);
        let advances = orders().zip(&nexts).map(advance).collect();
        let mut round = Round { namespace, advances };
        // A policy names a state only once the state is there.
        let refused = round.send(|advance| &advance.states)?;
        round.refuse(refused);
        let refused = round.send(|advance| &advance.policies)?;
        round.refuse(refused);
        let answer = |(advance, order): (Result<Advance, Refused>, &Order)| match advance {
            Ok(advance) => Ok((advance.after, None)),
            Err(refused) => Ok((found.end(&order.tunnel), Some(refused))),
        };
        let mut answers: Vec<Answer> = round.advances.into_iter().zip(orders()).map(answer).collect();
        let by_kernel =
            |answer: &Answer| matches!(answer, Ok((_, Some(refused))) if refused.reason == Reason::Kernel);
        if answers.iter().any(by_kernel) {
            // What was done before the refusal is there.
            let found = Found::new(
                State::observe(round.namespace, &Set::new())?,
                Policy::observe(round.namespace, &Set::new())?,
            );
            for (order, answer) in orders().zip(&mut answers) {
                if let Ok((end, Some(_))) = answer {
                    *end = found.end(&order.tunnel);
                }
            }
        }
        Ok(answers)
    }

    /// Sends some of the changes of all tunnels together; what the kernel refused, by the number of the tunnel.
    fn send<K: Kind>(
        &mut self,
        changes: fn(&Advance) -> &Vec<Change<K>>,
    ) -> Result<Vec<(usize, String)>, CoreError> {
        let mut outbox = Outbox::new();
        for (n, advance) in self.advances.iter().enumerate() {
            for change in advance.iter().flat_map(changes) {
                outbox.begin(n);
                K::encode(change, Phase::Tunnels, &Context::default(), &mut outbox)?;
            }
        }
        let (of, mut messages): (Vec<usize>, Vec<_>) = outbox
            .into_steps()
            .into_iter()
            .filter_map(|(n, step)| match step {
                guestnet_core::Step::Send(Protocol::Xfrm, message) => Some((n, message)),
                _ => None,
            })
            .unzip();
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let refusals = self.namespace.exchange(Protocol::Xfrm, &mut messages)?;
        let words = |refusal: guestnet_core::netlink::Refusal| {
            let errno = std::io::Error::from_raw_os_error(refusal.errno);
            refusal.words.map_or(errno.to_string(), |words| format!("{words} ({errno})"))
        };
        Ok(refusals.into_iter().map(|(i, refusal)| (of[i], words(refusal))).collect())
    }

    fn refuse(&mut self, refused: Vec<(usize, String)>) {
        for (n, words) in refused {
            self.advances[n] = Err(Refused::new(Reason::Kernel, format!("the kernel refused: {words}")));
        }
    }
}

/// The time of the kernel's states, in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
