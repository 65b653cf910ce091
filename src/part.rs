//! A part of a host: added to what is there, or taken away from it.
//!
//! To add a part is to apply the whole with it, to remove one is to apply the whole without it. The whole is known from
//! what is kept of the last one ([`kept`]).

mod by_keys;
mod kept;
mod keyless;
mod shelf;
mod tally;
mod unknown;
mod wide;

use std::collections::BTreeSet;
use std::sync::Arc;

use guestnet_core::{Error as CoreError, Netns, netns, sysctl};

use self::by_keys::ByKeys;
pub(crate) use self::kept::Kept;
#[cfg(feature = "fuzz")]
pub use self::kept::read_kept;
use self::kept::{Change, Damaged, Found};
use self::keyless::Keyless;
pub(crate) use self::shelf::Stamp;
use self::tally::Tally;
use crate::host::{Goal, Host};
use crate::lower::Lowered;
use crate::objects::Objects;
use crate::plan::Plan;
use crate::report::{Error, Report, State};
use crate::snapshot::{Request, Scope, Snapshot};
use crate::spec::{Bridge, Guest, GuestName, HostSpec};

/// What a part comes to.
enum Amended {
    /// Some guests change, and nothing else does.
    Guests(Box<ByKeys>, Change),
    /// The whole that the host shall be, and what is kept of it.
    Whole(Box<Whole>),
}

struct Whole {
    spec: HostSpec,
    lowered: Lowered,
    change: Change,
}

/// The whole that was applied the last time, as far as `Host` knows what is kept of it.
pub(crate) type LastKept = Option<(Arc<Lowered>, Option<Stamp>)>;

impl Host {
    /// Makes the host as [`Self::apply`] would with `spec` added to the spec of the whole: one more guest, or one that has
    /// changed. A guest of the same name becomes as this spec says.
    ///
    /// Settings of the host as a whole (`uplink`, `nat`, `bridges`, `firewall`) that the part leaves out are those that the
    /// host has, and so are a bridge or a group of which it says nothing but the name. It may bring bridges, groups and
    /// objects of its own.
    ///
    /// # Errors
    /// As [`Self::apply`]; [`CoreError::Spec`] with both values, and nothing changed, where the part says something else
    /// of the host than the host has; [`CoreError::Unsupported`] where the host has a firewall and what it was applied
    /// with is not known any more ([`Self::apply`] of the whole makes it known).
    pub fn add(&mut self, spec: &HostSpec) -> Result<Report, Error> {
        self.alone(|host| {
            if let Some(mut kept) = host.kept(Kept::give_up)? {
                match host.with_part(&kept, spec)? {
                    Ok(amended) => return host.make(&mut kept, amended, spec, true),
                    Err(Damaged) => Kept::give_up(host.owner)?,
                }
            }
            host.add_to_unknown(spec)
        })
    }

    /// The changes that [`Self::add`] would make. Changes nothing.
    ///
    /// # Errors
    /// As [`Self::plan`] and [`Self::add`].
    pub fn plan_add(&mut self, spec: &HostSpec) -> Result<Plan, Error> {
        netns::roaming(|| {
            if let Some(kept) = self.kept(|_| Ok(()))?
                && let Ok(amended) = self.with_part(&kept, spec)?
            {
                let (lowered, found) = match amended {
                    Amended::Guests(by_keys, _) => (by_keys.wanted, by_keys.found),
                    Amended::Whole(mut whole) => {
                        let found = self.read_for(&mut whole)?;
                        (whole.lowered, found)
                    }
                };
                let mut plan = Plan::between(lowered.settled(&found)?.as_ref(), &found);
                self.note(&mut plan, spec, &lowered.objects, &found)?;
                return Ok(plan);
            }
            self.plan_add_to_unknown(spec)
        })
    }

    /// Makes the host as [`Self::apply`] would with the guests that `spec` names, and its objects, taken out of the spec of
    /// the whole. What such a guest had is known, also where `spec` says something else of it; of guests that were never
    /// there nothing is done.
    ///
    /// Settings of the host stay if it was applied with them. What parts have brought goes with the last guest, a bridge
    /// when `spec` names it and no other guest is in it, a group when nobody is in it or has an entry about it.
    ///
    /// # Errors
    /// As [`Self::apply`]; [`CoreError::Unsupported`], with nothing changed, where the host has a firewall and what it was
    /// applied with is not known any more.
    pub fn remove(&mut self, spec: &HostSpec) -> Result<Report, Error> {
        self.alone(|host| {
            if let Some(mut kept) = host.kept(Kept::give_up)? {
                match host.without_part(&kept, spec)? {
                    Ok(Some(amended)) => return host.make(&mut kept, amended, spec, false),
                    Ok(None) => return Ok(Report::default()),
                    Err(Damaged) => Kept::give_up(host.owner)?,
                }
            }
            host.remove_from_unknown(spec)
        })
    }

    /// What is kept of the host; `None` where it has objects that are not known from it, which `unknown` is told.
    fn kept(
        &mut self,
        unknown: impl FnOnce(guestnet_core::owner::Owner) -> Result<(), CoreError>,
    ) -> Result<Option<Kept>, CoreError> {
        match Kept::read(self.owner) {
            Found::Whole(kept) => Ok(Some(*kept)),
            Found::Part => Ok(None),
            Found::Nothing => {
                let nothing = Objects::default();
                if self.read(Request::all(&nothing))?.into_ours().is_empty() {
                    return Ok(Some(Kept::new(self.owner)));
                }
                unknown(self.owner)?;
                Ok(None)
            }
        }
    }

    /// What the host comes to with `part`.
    fn with_part(&mut self, kept: &Kept, part: &HostSpec) -> Result<Result<Amended, Damaged>, Error> {
        let wide = kept.wide.with(part, kept.guests() > 0).map_err(CoreError::from)?;
        let names = names(part);
        if wide == kept.wide && kept.guests() > 0 {
            let Ok(old) = kept.named(names.iter().copied()) else { return Ok(Err(Damaged)) };
            if let Some(by_keys) = self.by_keys(kept, old.into_values().collect(), &part.guests)? {
                let change = kept.to_part(&wide, &part.guests, std::iter::empty(), by_keys.tally.clone());
                return Ok(change.map(|change| Amended::Guests(Box::new(by_keys), change)));
            }
        }
        let Ok(others) = kept.others(&names) else { return Ok(Err(Damaged)) };
        // The part comes first, so that what is wrong with it stands where it says.
        let guests = part.guests.iter().cloned().chain(Keyless::guests(others)).collect();
        let spec = HostSpec { guests, ..wide.together() };
        let lowered = spec.lower()?;
        let tally = Tally::of(&spec, &lowered);
        let change = kept.to_part(&wide, &part.guests, std::iter::empty(), tally);
        Ok(change.map(|change| Amended::Whole(Box::new(Whole { spec, lowered, change }))))
    }

    /// What the host comes to without `part`; nothing where that is what it is.
    fn without_part(
        &mut self,
        kept: &Kept,
        part: &HostSpec,
    ) -> Result<Result<Option<Amended>, Damaged>, Error> {
        let names = names(part);
        let Ok(old) = kept.named(names.iter().copied()) else { return Ok(Err(Damaged)) };
        let old: Vec<Guest> = old.into_values().collect();
        let ports = |bridge: &Bridge| {
            let of = old.iter().flat_map(|guest| &guest.interfaces);
            let gone = of.filter(|interface| interface.bridge.as_ref() == Some(&bridge.name)).count();
            kept.tally().ports.get(&bridge.name).copied().unwrap_or_default().saturating_sub(gone)
        };
        let outlives = kept.guests() > old.len() && kept.wide.outlives(part, &old, ports);
        if outlives && kept.is_settled() && old.is_empty() {
            return Ok(Ok(None));
        }
        if outlives && let Some(by_keys) = self.by_keys(kept, old, &[])? {
            let change = kept.to_part(&kept.wide, &[], names.into_iter(), by_keys.tally.clone());
            return Ok(change.map(|change| Some(Amended::Guests(Box::new(by_keys), change))));
        }
        let Ok(others) = kept.others(&names) else { return Ok(Err(Damaged)) };
        let wide = kept.wide.without(part, &others);
        let spec = HostSpec { guests: Keyless::guests(others).collect(), ..wide.together() };
        let lowered = spec.lower()?;
        let Ok(change) = kept.to_part(&wide, &[], names.into_iter(), Tally::of(&spec, &lowered)) else {
            return Ok(Err(Damaged));
        };
        let is_changed = kept.is_changed_by(&change);
        Ok(Ok(is_changed.then(|| Amended::Whole(Box::new(Whole { spec, lowered, change })))))
    }

    /// `adds` says whether `part` is added; it is taken away otherwise.
    fn make(
        &mut self,
        kept: &mut Kept,
        amended: Amended,
        part: &HostSpec,
        adds: bool,
    ) -> Result<Report, Error> {
        match amended {
            Amended::Whole(mut whole) => {
                let found = self.read_for(&mut whole)?;
                let Whole { lowered, change, .. } = *whole;
                let goal = Goal::all(&lowered).part(part, adds);
                self.keeping(kept, &change, |host| host.converge(&goal, found))
            }
            Amended::Guests(by_keys, change) => {
                let ByKeys { wanted, named, found, .. } = *by_keys;
                let gone = self.indexes(&named, &wanted.objects);
                self.keeping(kept, &change, |host| {
                    let goal =
                        Goal { named: &named, scope: Scope::Keys, ..Goal::all(&wanted).part(part, adds) };
                    let report = host.converge(&goal, found)?;
                    if !gone.is_empty() {
                        let host = host.namespaces.open.get_mut(&Netns::Host);
                        host.map_or(Ok(()), |host| sysctl::forget_links(host, &gone))?;
                    }
                    Ok(report)
                })
            }
        }
    }

    /// The indexes of the links on the host that are named and not wanted.
    fn indexes(&self, named: &Objects, wanted: &Objects) -> Vec<u32> {
        let links =
            self.namespace(&Netns::Host).map(guestnet_core::Namespace::link_indexes).unwrap_or_default();
        let gone = named.host.links.iter().filter(|link| !wanted.host.links.contains(&link.name));
        gone.filter_map(|link| links.get(&link.name).copied()).collect()
    }

    /// Reads the host, and takes over from it what only the kernel knows.
    fn read_for(&mut self, whole: &mut Whole) -> Result<Snapshot, Error> {
        let named = &whole.lowered.objects;
        let found = self.read(Request::all(named))?;
        Keyless::of(&whole.spec).take_over(&mut whole.lowered.objects, &found)?;
        Ok(found)
    }

    /// Does `work`, which makes the host into what `change` is about, and keeps that: from before anything is made until
    /// after it has been undone.
    fn keeping(
        &mut self,
        kept: &mut Kept,
        change: &Change,
        work: impl FnOnce(&mut Self) -> Result<Report, Error>,
    ) -> Result<Report, Error> {
        if !kept.is_changed_by(change) {
            return work(self);
        }
        let before = kept.begin(change)?;
        let result = work(self);
        match &result {
            Ok(_) => kept.settle(change)?,
            Err(error) if error.leaves_the_host_as_before() => kept.back(before)?,
            // It stays noted that the host is between the two.
            Err(_) => {}
        }
        result
    }

    /// Does `work`, which makes the host into `spec` and nothing else, and keeps that.
    pub(crate) fn keeping_whole(
        &mut self,
        spec: &HostSpec,
        wanted: &Arc<Lowered>,
        work: impl FnOnce(&mut Self) -> Result<Report, Error>,
    ) -> Result<Report, Error> {
        if let Some((last, stamp)) = &self.last_kept
            && Arc::ptr_eq(last, wanted)
            && *stamp == Kept::stamp(self.owner)
        {
            return work(self);
        }
        let mut kept = Kept::to_replace(self.owner);
        let change = kept.to_whole(spec, Tally::of(spec, wanted))?;
        let report = self.keeping(&mut kept, &change, work)?;
        self.last_kept = Some((Arc::clone(wanted), Kept::stamp(self.owner)));
        Ok(report)
    }
}

fn names(part: &HostSpec) -> BTreeSet<&GuestName> {
    part.guests.iter().map(|guest| &guest.name).collect()
}

impl Error {
    /// Whether nothing was changed, or all that was has been undone.
    fn leaves_the_host_as_before(&self) -> bool {
        match self {
            Self::Core(_) => true,
            Self::Apply(failure) => matches!(failure.state, State::Undone(_) | State::Mended(_)),
        }
    }
}
