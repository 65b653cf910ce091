//! Namespaces of a host that are open: its own, and those that it made.

use std::collections::BTreeMap;

use guestnet_core::life::{self, Life, life};
use guestnet_core::owner::Owner;
use guestnet_core::{Namespace, Netns, NetnsName, Result, Watch, netns};

use crate::objects::Objects;
use crate::snapshot::Scope;

/// The namespaces of a host, opened.
pub(crate) struct Namespaces {
    pub(crate) open: BTreeMap<Netns, Namespace>,
    pub(crate) watch: Watch,
    /// As what the host's own was opened, if by name.
    pub(crate) name: Option<NetnsName>,
    /// What stands for the kernel, where it is played.
    #[cfg(feature = "replay")]
    machine: Option<std::sync::Arc<dyn guestnet_core::replay::Machine>>,
}

impl Namespaces {
    /// The host's own, and none that it made.
    pub(crate) fn of(host: Namespace) -> Self {
        Self {
            open: BTreeMap::from([(Netns::Host, host)]),
            watch: Watch::default(),
            name: None,
            #[cfg(feature = "replay")]
            machine: None,
        }
    }

    /// Those of `machine`.
    #[cfg(feature = "replay")]
    pub(crate) fn played(machine: std::sync::Arc<dyn guestnet_core::replay::Machine>) -> Result<Self> {
        let host = Namespace::played(Netns::Host, &machine)?;
        Ok(Self { machine: Some(machine), ..Self::of(host) })
    }

    /// Whether no kernel is behind them.
    pub(crate) fn is_played(&self) -> bool {
        #[cfg(feature = "replay")]
        return self.machine.is_some();
        #[cfg(not(feature = "replay"))]
        false
    }

    /// Tells `recorder` from now on what the kernel answers, first of all whose mark is on those that are open.
    #[cfg(feature = "replay")]
    pub(crate) fn record(&mut self, recorder: guestnet_core::replay::Recorder) -> Result<()> {
        self.watch = self.watch.clone().recorded(recorder);
        let watch = &self.watch;
        self.open.values_mut().try_for_each(|namespace| namespace.record(watch))
    }

    /// The names that there are.
    fn names(&self) -> Result<Vec<NetnsName>> {
        #[cfg(feature = "replay")]
        if let Some(machine) = &self.machine {
            return Ok(machine.names());
        }
        netns::list()
    }

    /// Tells `watch` from now on of every act in any of them.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.open.values_mut().for_each(|namespace| namespace.watch(&watch));
        self.watch = watch;
    }

    /// Opens the namespace that `ip netns` calls `name`.
    pub(crate) fn named(&self, name: &NetnsName) -> Result<Namespace> {
        #[cfg(feature = "replay")]
        if let Some(machine) = &self.machine {
            return Namespace::played(Netns::Named(name.clone()), machine);
        }
        Namespace::enter(netns::open(name)?, Netns::Named(name.clone()), &self.watch)
    }

    /// The one that plans call `netns`, opened if need be; `None` where there is none that carries our mark.
    pub(crate) fn one(&mut self, owner: Owner, netns: &Netns) -> Option<&mut Namespace> {
        if let Netns::Named(name) = netns
            && !self.open.get(netns).is_some_and(|namespace| namespace.is_still(name))
        {
            self.open.remove(netns);
            let ours = self.named(name).ok().filter(|namespace| namespace.owner() == Some(owner))?;
            self.open.insert(netns.clone(), ours);
        }
        self.open.get_mut(netns)
    }

    /// Opens those that are there and carry our mark, as far as they are not open yet: all of them, or those of `wanted`.
    /// Returns those of `wanted` that are somebody else's, in words. What a host that is gone has left counts as ours where it is
    /// wanted, and where that host was called as this one is.
    pub(crate) fn refresh(
        &mut self,
        owner: Owner,
        wanted: &Objects,
        scope: Scope,
    ) -> Result<BTreeMap<NetnsName, String>> {
        let present = match scope {
            Scope::All => {
                // A name may be gone, or stand for a new namespace by now.
                self.open.retain(|netns, namespace| match netns {
                    Netns::Host => true,
                    Netns::Named(name) => namespace.is_still(name),
                });
                self.names()?
            }
            Scope::Keys => {
                for name in wanted.namespaces.keys() {
                    let netns = Netns::Named(name.clone());
                    if self.open.get(&netns).is_some_and(|namespace| !namespace.is_still(name)) {
                        self.open.remove(&netns);
                    }
                }
                wanted.namespaces.keys().filter(|name| netns::is_mounted(name)).cloned().collect()
            }
        };
        let mut foreign = BTreeMap::new();
        let mut inherits = BTreeMap::new();
        for name in present {
            let netns = Netns::Named(name.clone());
            if self.open.contains_key(&netns) {
                continue;
            }
            let is_wanted = wanted.namespaces.contains_key(&name);
            let found = self.named(&name).ok();
            let of = found.as_ref().and_then(Namespace::owner);
            match found {
                Some(namespace)
                    if of == Some(owner)
                        || of.is_some_and(|of| {
                            *inherits.entry((of, is_wanted)).or_insert_with(|| self.inherits(of, is_wanted))
                        }) =>
                {
                    self.open.insert(netns, namespace);
                }
                _ if is_wanted => {
                    let whose = of.map(Owner::described);
                    let whose =
                        whose.unwrap_or_else(|| "that guestnet did not make for this host".to_owned());
                    foreign.insert(name.clone(), format!("a namespace {name} {whose}"));
                }
                _ => {}
            }
        }
        Ok(foreign)
    }

    /// Whether what `of` has made is this host's now.
    fn inherits(&self, of: Owner, is_wanted: bool) -> bool {
        if self.is_played() {
            // Who is gone is seen on the machine.
            return false;
        }
        match &self.name {
            _ if is_wanted => life(of) == Life::Gone,
            Some(name) => life::was(of, name),
            None => false,
        }
    }

    /// Those that are open although another host has made them, which is gone: with its mark.
    pub(crate) fn inherited(&self, owner: Owner) -> impl Iterator<Item = (&Netns, Owner)> {
        let guests = self.open.iter().filter(|(netns, _)| **netns != Netns::Host);
        let others =
            move |(netns, namespace)| Some((netns, Namespace::owner(namespace).filter(|of| *of != owner)?));
        guests.filter_map(others)
    }

    /// Puts the mark of `owner` on them, and says which they are.
    pub(crate) fn take_over(&mut self, owner: Owner) -> Result<Vec<NetnsName>> {
        let mut taken = Vec::new();
        for (netns, namespace) in &mut self.open {
            if let Netns::Named(name) = netns
                && namespace.owner().is_some_and(|of| of != owner)
            {
                namespace.adopt(owner)?;
                taken.push(name.clone());
            }
        }
        Ok(taken)
    }
}
