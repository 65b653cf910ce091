//! A tunnel with the keys and SPIs of its states: those that are given, or those that follow from its secret, derived
//! once for all who need them.

use super::lower::Way;
use super::{GivenDirection, GivenState, GivenStates, TunnelSpec};
use crate::derive::{Inner, Prk, Purpose};
use crate::secret::Fingerprint;
use crate::source::{KeySource, Source};
use crate::spi::Spi;

/// A tunnel whose keys and SPIs are known, as far as they can be.
pub struct Keyed<'a> {
    pub(crate) tunnel: &'a TunnelSpec,
    /// [`TunnelSpec::reqid`], which may be a hash.
    pub(crate) reqid: u32,
    /// In the order of the tunnel's states. What is not given, or follows from a secret that was not read, is missing.
    pub(super) states: Vec<KeyedState>,
}

/// The key and the SPI of one state.
pub(super) struct KeyedState {
    pub(super) way: Way,
    pub(super) inner: Inner,
    pub(super) spi: Spi,
    pub(super) key: KeySource,
}

impl TunnelSpec {
    /// The tunnel with its keys. Deriving them is most of what it costs to check a tunnel or to lower it.
    pub fn keyed(&self) -> Keyed<'_> {
        let prk = self.secret.as_ref().and_then(Source::given).map(Prk::of);
        let state = |(way, inner)| {
            let (spi, key) = match (self.given(way, inner), &prk) {
                (Some(given), _) => (given.spi, given.key.clone()),
                (None, Some(prk)) if self.states.is_none() => {
                    let purpose = self.purpose(way, inner);
                    let spi = purpose.spi(prk);
                    (spi, purpose.key(prk, spi, self.algorithm).into())
                }
                _ => return None,
            };
            Some(KeyedState { way, inner, spi, key })
        };
        Keyed { states: self.ways().filter_map(state).collect(), ..self.unkeyed() }
    }

    /// The same tunnel where its secret is not known: its states are kept, by the keys that the kernel has. What they are called
    /// follows from `n`, and means nothing: the states and policies that are there have to take the place of those that
    /// it lowers to. A kernel is never told a key that is kept, so none can come to be without its secret.
    #[must_use]
    pub fn keyless(&self, n: u32) -> Self {
        let mut next = Spi::LOWEST.get().wrapping_add(n.wrapping_mul(4));
        let mut state = |inner| {
            self.inners().contains(&inner).then(|| {
                next = next.wrapping_add(1);
                let spi = Spi::new(next).unwrap_or(Spi::LOWEST);
                GivenState { spi, key: Source::Kept(Fingerprint::of_number(next)) }
            })
        };
        let mut direction = || GivenDirection {
            both: state(Inner::Both),
            ipv4: state(Inner::Ipv4),
            ipv6: state(Inner::Ipv6),
        };
        let states = GivenStates { outbound: direction(), inbound: direction() };
        Self { secret: None, states: Some(states), ..self.clone() }
    }

    /// The tunnel without keys, for those who only look.
    pub(crate) fn unkeyed(&self) -> Keyed<'_> {
        Keyed { tunnel: self, reqid: self.reqid(), states: Vec::new() }
    }

    /// What it has a state for, in the order of states.
    pub(super) fn ways(&self) -> impl Iterator<Item = (Way, Inner)> {
        let inners = self.inners();
        [Way::Out, Way::In]
            .into_iter()
            .flat_map(move |way| inners.clone().into_iter().map(move |inner| (way, inner)))
    }

    fn given(&self, way: Way, inner: Inner) -> Option<&GivenState> {
        let states = self.states.as_ref()?;
        let direction = if way == Way::Out { &states.outbound } else { &states.inbound };
        direction.get(inner)
    }

    fn purpose(&self, way: Way, inner: Inner) -> Purpose {
        // Not the outer addresses: behind NAT the ends see different ones.
        let (src, dst) = match way {
            Way::Out => (self.known_as(), self.remote),
            Way::In => (self.remote, self.known_as()),
        };
        Purpose { src, dst, inner, tunnel: self.id, generation: self.generation }
    }
}
