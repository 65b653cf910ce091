//! Tunnels: one end's description of one, from which its states and policies follow, and so do the other end's.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::algorithm::{Algorithm, Icv};
use crate::derive::Inner;
use crate::encap::Udp;
use crate::lifetime::Lifetimes;
use crate::selector::is_ipv4;
use crate::source::{KeySource, SecretSource};
use crate::spi::Spi;

mod builder;
mod check;
mod keyed;
mod lower;
mod marks;
mod path;

pub use builder::Tunnel;
pub use check::check_tunnels;
pub use keyed::Keyed;
pub use marks::Marks;
pub use path::LEAST_IPV6;

/// One end of an ESP tunnel.
///
/// ```
/// let spec: guestnet_xfrm::TunnelSpec = serde_json::from_str(r#"{
///     "local": "2001:db8::1",
///     "remote": "2001:db8:1::1",
///     "pairs": [
///         {"local": "192.168.0.85/32", "remote": "192.168.0.127/32"},
///         {"local": "fd00:1::/64", "remote": "fd00:2::/64"}
///     ],
///     "secret": {"file": "/etc/guestnet/peer.secret"}
/// }"#)?;
/// assert_eq!(spec.mirrored().local, spec.remote);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TunnelSpec {
    /// The outer address of this end.
    pub local: IpAddr,
    /// The outer address of the other end, of the same family.
    pub remote: IpAddr,
    /// Between which addresses the tunnel carries packets, of either family.
    pub pairs: Vec<Pair>,
    /// How the families share states. Both ends have to agree.
    #[serde(default)]
    pub shape: Shape,
    /// What keys and SPIs are derived from; the same at both ends. Either this or `states`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
    /// Keys and SPIs that are given. Either this or `secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states: Option<GivenStates>,
    /// Accept one key under several states, as other tools make them. It risks a nonce that is used twice, which
    /// breaks encryption and authentication of both (RFC 4106 section 2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub allow_shared_key: bool,
    /// What is encrypted with. Both ends have to agree.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The length of the integrity check value, in bits. Both ends have to agree.
    #[serde(default)]
    pub icv: Icv,
    /// Extended sequence numbers (RFC 4304): without them a state ends after 2^32 packets. Both ends have to agree.
    #[serde(default = "yes")]
    pub esn: bool,
    /// How many packets behind the newest one may arrive and still be taken: 0 (no check) to 4096.
    #[serde(default = "window")]
    pub replay_window: u32,
    /// When a state has served.
    #[serde(default, skip_serializing_if = "Lifetimes::are_none")]
    pub lifetimes: Lifetimes,
    /// By what number states and policies find each other; left out: one of guestnet's own
    /// ([`guestnet_core::owner::REQIDS`]) that follows from the outer addresses and `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reqid: Option<u32>,
    /// Tells several tunnels between the same two addresses apart. Both ends have to agree.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub id: u32,
    /// Counts up with every change of derived keys. Both ends have to agree.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub generation: u32,
    /// The priority of the policies; the lowest is taken.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub priority: u32,
    /// Which policies take one state only.
    #[serde(default)]
    pub pin_spi: PinSpi,
    /// The MTU of the path between the outer addresses, in bytes: from 1280 on over IPv6, from 576 on over IPv4. Left
    /// out: that of the link on which packets leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<u32>,
    /// Lower the TCP MSS of connections that pass through the namespace to what their routes' MTUs leave, for guests
    /// that do not hear of ICMP errors (RFC 4459 section 3.2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub clamp_mss: bool,
    /// ESP in UDP (RFC 3948), for hosts behind NAT; left out: plain ESP. Both ends have to agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Udp>,
    /// Marks of its packets.
    #[serde(default, skip_serializing_if = "Marks::are_none")]
    pub marks: Marks,
    /// The id of the xfrm interface (`ip link add … type xfrm if_id …`) through which packets are routed into the
    /// tunnel; left out: none, policies take them wherever they are routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_id: Option<NonZeroU32>,
}

/// Two prefixes between which a tunnel carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The addresses at this end.
    #[schemars(with = "guestnet_core::schema::IpPrefix")]
    pub local: IpNet,
    /// The addresses at the other end, of the same family.
    #[schemars(with = "guestnet_core::schema::IpPrefix")]
    pub remote: IpNet,
    /// Among them are addresses of the hosts themselves, not of guests behind them: `in` policies too, beside `fwd`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub host: bool,
}

/// How the families of inner packets share states.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One state a direction for both (`XFRM_STATE_AF_UNSPEC`).
    #[default]
    Shared,
    /// A state a direction for each family that there is.
    PerFamily,
}

/// Which policies name the SPI of a state beside the reqid, and so take that state only.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PinSpi {
    /// Those of the way out: replacing such a policy switches to another state, at once and for all packets. What
    /// comes in may use any state of the tunnel, so that old ones can drain.
    #[default]
    Out,
    /// All, as other tools make them. Packets of any other state of the tunnel are dropped.
    All,
}

/// The states of a tunnel, given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenStates {
    /// Those that encrypt what leaves.
    #[serde(rename = "out")]
    pub outbound: GivenDirection,
    /// Those that decrypt what comes.
    #[serde(rename = "in")]
    pub inbound: GivenDirection,
}

/// The states of one direction: `both` where the families share one, the others where each has its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenDirection {
    /// The state of both families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub both: Option<GivenState>,
    /// The state of IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<GivenState>,
    /// The state of IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<GivenState>,
}

/// What tells a given state from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenState {
    /// Its SPI.
    pub spi: Spi,
    /// Its key.
    pub key: KeySource,
}

impl GivenDirection {
    pub(crate) fn get(&self, inner: Inner) -> Option<&GivenState> {
        match inner {
            Inner::Both => self.both.as_ref(),
            Inner::Ipv4 => self.ipv4.as_ref(),
            Inner::Ipv6 => self.ipv6.as_ref(),
        }
    }

    pub(crate) fn set(&mut self, inner: Inner, state: GivenState) {
        *match inner {
            Inner::Both => &mut self.both,
            Inner::Ipv4 => &mut self.ipv4,
            Inner::Ipv6 => &mut self.ipv6,
        } = Some(state);
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut GivenState> {
        [&mut self.both, &mut self.ipv4, &mut self.ipv6].into_iter().flatten()
    }
}

/// The window that a spec has which does not say one, in packets.
pub const DEFAULT_WINDOW: u32 = 128;

fn window() -> u32 {
    DEFAULT_WINDOW
}

fn yes() -> bool {
    true
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl TunnelSpec {
    /// A tunnel that carries nothing yet, with the defaults.
    pub fn new(local: IpAddr, remote: IpAddr) -> Self {
        Self {
            local,
            remote,
            pairs: Vec::new(),
            shape: Shape::default(),
            secret: None,
            states: None,
            allow_shared_key: false,
            algorithm: Algorithm::default(),
            icv: Icv::default(),
            esn: true,
            replay_window: DEFAULT_WINDOW,
            lifetimes: Lifetimes::default(),
            reqid: None,
            id: 0,
            generation: 0,
            priority: 0,
            pin_spi: PinSpi::default(),
            path_mtu: None,
            clamp_mss: false,
            udp: None,
            marks: Marks::default(),
            if_id: None,
        }
    }

    /// The other end's description of the same tunnel; marks and the id of the interface are the same at both. Of an end
    /// behind NAT the other one knows the public address only.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let mut other = self.clone();
        (other.local, other.remote) = (self.remote, self.known_as());
        other.udp = self.udp.map(Udp::mirrored);
        for pair in &mut other.pairs {
            std::mem::swap(&mut pair.local, &mut pair.remote);
        }
        if let Some(states) = &mut other.states {
            std::mem::swap(&mut states.outbound, &mut states.inbound);
        }
        other
    }

    /// By what number its states and policies find each other; the same at both ends unless one says another.
    pub fn reqid(&self) -> u32 {
        self.reqid.unwrap_or_else(|| {
            let (here, there) = (self.known_as(), self.remote);
            let text = format!("{} {} {}", here.min(there), here.max(there), self.id);
            let hash = Sha256::digest(text.as_bytes());
            // As many bits as the range has: 24.
            guestnet_core::owner::REQIDS.start() | u32::from_be_bytes([0, hash[0], hash[1], hash[2]])
        })
    }

    /// The address by which the other end knows this one.
    pub fn known_as(&self) -> IpAddr {
        self.udp.and_then(|udp| udp.public).unwrap_or(self.local)
    }

    /// Reads the secrets that stand in files, and finds those that are named in `secrets`.
    ///
    /// # Errors
    /// See [`crate::Source::load`]; the first that fails.
    pub fn load(&mut self, secrets: &crate::Secrets) -> guestnet_core::Result<()> {
        if let Some(secret) = &mut self.secret {
            secret.load(secrets)?;
        }
        if let Some(states) = &mut self.states {
            let mut given = states.outbound.each_mut().chain(states.inbound.each_mut());
            given.try_for_each(|state| state.key.load(secrets))?;
        }
        Ok(())
    }

    /// What its states of one direction carry, each.
    pub(crate) fn inners(&self) -> Vec<Inner> {
        if self.shape == Shape::Shared {
            return vec![Inner::Both];
        }
        let has = |ipv4: bool| self.pairs.iter().any(|pair| is_ipv4(&pair.local) == ipv4);
        let families = [(Inner::Ipv4, has(true)), (Inner::Ipv6, has(false))];
        families.into_iter().filter_map(|(inner, has)| has.then_some(inner)).collect()
    }

    /// What the state for packets of the family of `net` carries.
    fn inner_of(&self, net: &IpNet) -> Inner {
        match self.shape {
            Shape::Shared => Inner::Both,
            Shape::PerFamily if is_ipv4(net) => Inner::Ipv4,
            Shape::PerFamily => Inner::Ipv6,
        }
    }
}
