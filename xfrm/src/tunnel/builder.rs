//! Both ends of a tunnel from one description, in Rust.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;

use super::{GivenDirection, GivenState, GivenStates, Marks, Pair, PinSpi, Shape, TunnelSpec};
use crate::algorithm::{Algorithm, Icv};
use crate::derive::Inner;
use crate::encap::Udp;
use crate::lifetime::Lifetimes;
use crate::source::{KeySource, SecretSource};
use crate::spi::Spi;

/// A tunnel between two hosts.
///
/// ```
/// use guestnet_xfrm::{PairSecret, Tunnel};
/// let secret: PairSecret = "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd".parse()?;
/// let (here, there) = Tunnel::between("2001:db8::1".parse()?, "2001:db8:1::1".parse()?)
///     .carry("192.168.0.85/32".parse()?, "192.168.0.127/32".parse()?)
///     .carry("fd00:1::/64".parse()?, "fd00:2::/64".parse()?)
///     .secret(secret)
///     .ends();
/// let (states, policies) = here.lower()?;
/// assert_eq!((states.len(), policies.len()), (2, 4));
/// assert_eq!(there.local, "2001:db8:1::1".parse::<std::net::IpAddr>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Tunnel(TunnelSpec);

impl Tunnel {
    /// Between the outer addresses `a` and `b`.
    pub fn between(a: IpAddr, b: IpAddr) -> Self {
        Self(TunnelSpec::new(a, b))
    }

    /// Carries packets between `at_a` and `at_b`, of guests behind the hosts.
    pub fn carry(mut self, at_a: IpNet, at_b: IpNet) -> Self {
        self.0.pairs.push(Pair { local: at_a, remote: at_b, host: false });
        self
    }

    /// Carries packets between `at_a` and `at_b`, among which are addresses of the hosts themselves.
    pub fn carry_hosts(mut self, at_a: IpNet, at_b: IpNet) -> Self {
        self.0.pairs.push(Pair { local: at_a, remote: at_b, host: true });
        self
    }

    /// Derives keys and SPIs from `secret`.
    pub fn secret(mut self, secret: impl Into<SecretSource>) -> Self {
        self.0.secret = Some(secret.into());
        self
    }

    /// Gives the states of both directions for the packets of `inner`.
    pub fn states(
        mut self,
        inner: Inner,
        a_to_b: (Spi, impl Into<KeySource>),
        b_to_a: (Spi, impl Into<KeySource>),
    ) -> Self {
        let empty =
            || GivenStates { outbound: GivenDirection::default(), inbound: GivenDirection::default() };
        let states = self.0.states.get_or_insert_with(empty);
        states.outbound.set(inner, GivenState { spi: a_to_b.0, key: a_to_b.1.into() });
        states.inbound.set(inner, GivenState { spi: b_to_a.0, key: b_to_a.1.into() });
        self
    }

    /// Accepts one key under several states; see [`TunnelSpec::allow_shared_key`].
    pub fn allow_shared_key(mut self) -> Self {
        self.0.allow_shared_key = true;
        self
    }

    /// How the families share states.
    pub fn shape(mut self, shape: Shape) -> Self {
        self.0.shape = shape;
        self
    }

    /// What is encrypted with.
    pub fn algorithm(mut self, algorithm: Algorithm, icv: Icv) -> Self {
        (self.0.algorithm, self.0.icv) = (algorithm, icv);
        self
    }

    /// Whether sequence numbers are extended, and how large the replay window is, in packets.
    pub fn replay(mut self, esn: bool, window: u32) -> Self {
        (self.0.esn, self.0.replay_window) = (esn, window);
        self
    }

    /// When a state has served.
    pub fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.0.lifetimes = lifetimes;
        self
    }

    /// By what number states and policies find each other.
    pub fn reqid(mut self, reqid: u32) -> Self {
        self.0.reqid = Some(reqid);
        self
    }

    /// Tells it from other tunnels between the same addresses.
    pub fn id(mut self, id: u32) -> Self {
        self.0.id = id;
        self
    }

    /// Which derived keys it uses.
    pub fn generation(mut self, generation: u32) -> Self {
        self.0.generation = generation;
        self
    }

    /// The priority of its policies.
    pub fn priority(mut self, priority: u32) -> Self {
        self.0.priority = priority;
        self
    }

    /// Which policies take one state only.
    pub fn pin_spi(mut self, pin: PinSpi) -> Self {
        self.0.pin_spi = pin;
        self
    }

    /// The MTU of the path between the two, in bytes.
    pub fn path_mtu(mut self, mtu: u32) -> Self {
        self.0.path_mtu = Some(mtu);
        self
    }

    /// ESP in UDP, as `a` sees it.
    pub fn udp(mut self, udp: Udp) -> Self {
        self.0.udp = Some(udp);
        self
    }

    /// Marks of its packets, at both ends.
    pub fn marks(mut self, marks: Marks) -> Self {
        self.0.marks = marks;
        self
    }

    /// The id of the xfrm interface, at both ends.
    pub fn if_id(mut self, id: NonZeroU32) -> Self {
        self.0.if_id = Some(id);
        self
    }

    /// The descriptions for `a` and for `b`.
    pub fn ends(self) -> (TunnelSpec, TunnelSpec) {
        let mirrored = self.0.mirrored();
        (self.0, mirrored)
    }
}
