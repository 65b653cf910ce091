//! What a control plane sends to a host, and what it gets back.

use std::fmt;
use std::net::IpAddr;

use guestnet_core::{Netns, NetnsName};
use serde::{Deserialize, Serialize};

use crate::secret::Fingerprint;
use crate::spi::Spi;
use crate::tunnel::TunnelSpec;

/// The version of both documents. It changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// How long old states drain where a step does not say it, in seconds.
pub const DEFAULT_DRAIN: u32 = 5;

/// One act of the rekeying of any number of tunnels, for one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The version of this form: 1.
    pub version: u32,
    /// What is to be done.
    pub act: Act,
    /// For `drain`: how many seconds the old states stay. 0 removes them at once, and with them the packets that are
    /// on their way.
    #[serde(default = "default_drain")]
    pub drain_seconds: u32,
    /// The tunnels. Each is dealt with by itself: what is refused of one does not concern the others.
    pub tunnels: Vec<Order>,
}

fn default_drain() -> u32 {
    DEFAULT_DRAIN
}

/// What can be done for a tunnel, in this order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Nothing: say how it stands. Needs no secret.
    Observe,
    /// Decrypt the new generation too.
    Inbound,
    /// Encrypt with the new generation. Needs the peer's standing after `inbound`.
    Outbound,
    /// Let older generations end. Needs the peer's standing after `outbound`.
    Drain,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Drain => "drain",
        })
    }
}

/// A tunnel, and to which generation it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The namespace of the tunnel's guest; left out: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NetnsName>,
    /// The tunnel as the host's spec has it, with the generation that it goes to.
    pub tunnel: TunnelSpec,
    /// How the other end stood after the act before this one: an element of its [`Confirmation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Standing>,
}

/// What became of a [`Step`]: an answer for each tunnel, in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The version of this form: 1.
    pub version: u32,
    /// What was to be done.
    pub act: Act,
    /// How each tunnel stands now.
    pub tunnels: Vec<Standing>,
}

impl Confirmation {
    /// Whether nothing was refused.
    pub fn is_whole(&self) -> bool {
        self.tunnels.iter().all(|standing| standing.refused.is_none())
    }
}

/// How a tunnel stands at one end. Holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The namespace of the tunnel's guest; left out: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NetnsName>,
    /// The outer address of this end.
    pub local: IpAddr,
    /// The outer address of the other end.
    pub remote: IpAddr,
    /// Which of several tunnels between the two.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub id: u32,
    /// The generation that was asked for.
    pub generation: u32,
    /// Why the act was refused; left out: it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The states that decrypt, oldest first.
    pub inbound: Vec<Held>,
    /// The states that encrypt, oldest first.
    pub outbound: Vec<Held>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Standing {
    /// The newest generation of which there is a state.
    pub fn newest(&self) -> Option<u32> {
        self.inbound.iter().chain(&self.outbound).map(|held| held.generation).max()
    }
}

/// A state that an end has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Which generation it is of.
    pub generation: u32,
    /// Its SPI.
    pub spi: Spi,
    /// The fingerprint of its key.
    pub fingerprint: Fingerprint,
    /// Whether policies send packets by it. Of states that decrypt always `false`: it is the other end that uses them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub used: bool,
    /// When the kernel will remove it, in seconds since 1970; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// Why an act was refused. Nothing of that tunnel was changed, unless the reason is `kernel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The kind of reason, for programs.
    pub reason: Reason,
    /// The reason in words.
    pub message: String,
}

impl Refused {
    /// A refusal for `reason`, in words.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The kinds of reasons for which an act is refused, and what to do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An act before this one is not done, here or there: do that one, and repeat this.
    TooEarly,
    /// The tunnel has gone on to a newer generation: forget the step.
    Superseded,
    /// The generation was in use and its states are gone, so that its keys would count from the start again: take a
    /// new generation.
    Spent,
    /// The other end has other keys or SPIs of this generation: the two ends do not mean the same secret or tunnel.
    Differs,
    /// An SPI or a policy's place is somebody else's: take another generation.
    Taken,
    /// The host has nothing of this tunnel: apply its spec.
    Unknown,
    /// The kernel refused: its words. Repeat the act.
    Kernel,
}

impl Order {
    /// An order for `tunnel`, in the host's own namespace.
    pub fn new(tunnel: TunnelSpec) -> Self {
        Self { namespace: None, tunnel, peer: None }
    }

    /// Where the tunnel is.
    pub fn netns(&self) -> Netns {
        self.namespace.clone().map_or(Netns::Host, Netns::Named)
    }
}

impl Step {
    /// A step that does `act` for `tunnels`.
    pub fn new(act: Act, tunnels: Vec<Order>) -> Self {
        Self { version: VERSION, act, drain_seconds: DEFAULT_DRAIN, tunnels }
    }
}
