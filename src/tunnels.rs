//! What the tunnels of a host are doing: what they carry, what they refuse, and when they want new keys.

mod refusing;
mod trouble;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::SystemTime;

use guestnet_core::Netns;
use guestnet_xfrm::rekey::{Due, RekeyLimits, due};
use guestnet_xfrm::{Counters, Direction, Encap, Limits, Policy, Spi, State, StateDirection};
use serde::{Deserialize, Serialize};

use crate::document::DocumentKind;
use crate::host::Host;
use crate::objects::{NamespaceObjects, Objects};
use crate::report::Error;
use crate::spec::VERSION;
pub(crate) use trouble::troubles_in;

/// The tunnels of a host, as they were found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tunnels {
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// `tunnels`.
    #[schemars(extend("const" = "tunnels"))]
    pub kind: DocumentKind,
    /// When they were read, in seconds since 1970.
    pub at: u64,
    /// Each of them, by namespace.
    pub tunnels: Vec<TunnelStatus>,
}

/// One tunnel: the states and policies of a namespace that have the same two ends and the same reqid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TunnelStatus {
    /// The namespace; `null`: the host's own.
    pub namespace: Option<String>,
    /// The outer address of this end.
    pub local: IpAddr,
    /// The outer address of the other end.
    pub remote: IpAddr,
    /// By what number its states and policies find each other.
    pub reqid: u32,
    /// How many policies lead to it.
    pub policies: usize,
    /// Its states, those that encrypt first, the oldest first.
    pub states: Vec<StateStatus>,
    /// What its counters tell of packets that do not get through, a line each; empty: nothing.
    pub warnings: Vec<String>,
}

/// One state of a tunnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StateStatus {
    /// Whether it decrypts or encrypts.
    pub direction: StateDirection,
    /// Its SPI.
    pub spi: Spi,
    /// The generation of its keys.
    pub generation: u32,
    /// Whether policies lead packets to it. One that encrypts and is not used waits for its turn, or has served.
    pub in_use: bool,
    /// Since when it is there, in seconds.
    pub age: u64,
    /// How long ago it was used, in seconds; `null`: never. Kernels before 6.2 tell the first use, not the last.
    pub idle: Option<u64>,
    /// What it has carried and refused.
    pub counters: Counters,
    /// The sequence number of its newest packet.
    pub sequence: u64,
    /// Whether sequence numbers have 64 bits; if not, it ends after 2^32 packets.
    pub esn: bool,
    /// When it is due for rekeying: by the limits that were asked about, its own soft ones, or its sequence numbers.
    pub rekey: Due,
    /// The UDP header before its ESP, if any.
    pub encap: Option<Encap>,
}

impl Tunnels {
    /// The tunnels among `objects`, which were observed, at the time `now` in seconds since 1970.
    pub fn of(objects: &Objects, limits: &RekeyLimits, now: u64) -> Self {
        let tunnels = objects.iter();
        let tunnels = tunnels.flat_map(|(netns, objects)| Self::in_namespace(&netns, objects, limits, now));
        Self { version: VERSION, kind: DocumentKind::Tunnels, at: now, tunnels: tunnels.collect() }
    }

    /// The tunnels of one namespace.
    fn in_namespace(
        netns: &Netns,
        objects: &NamespaceObjects,
        limits: &RekeyLimits,
        now: u64,
    ) -> Vec<TunnelStatus> {
        let namespace = match netns {
            Netns::Host => None,
            Netns::Named(name) => Some(name.to_string()),
        };
        let found = by_ends(objects).into_iter();
        found.map(|(ends, parts)| parts.status(ends, namespace.clone(), limits, now)).collect()
    }
}

impl Host {
    /// What the tunnels of the host are doing, and when each of their states is due by `limits`.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn tunnels(&mut self, limits: &RekeyLimits) -> Result<Tunnels, Error> {
        Ok(Tunnels::of(&self.observe()?, limits, now()))
    }
}

/// The time of the kernel's states, in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// This end, the other end, reqid.
pub(crate) type Ends = (IpAddr, IpAddr, u32);

#[derive(Default)]
pub(crate) struct Parts<'a> {
    policies: Vec<&'a Policy>,
    states: Vec<(StateDirection, &'a State)>,
}

/// What belongs together. Which end is this one, policies say; of states without any, their own direction if the kernel
/// knows it, or else they are taken to encrypt.
pub(crate) fn by_ends(objects: &NamespaceObjects) -> BTreeMap<Ends, Parts<'_>> {
    let mut tunnels: BTreeMap<Ends, Parts<'_>> = BTreeMap::new();
    for policy in &objects.policies {
        if let Some(template) = policy.templates.first() {
            let (local, remote) = match policy.direction {
                Direction::Out => (template.src, template.dst),
                Direction::In | Direction::Fwd => (template.dst, template.src),
            };
            tunnels.entry((local, remote, template.reqid)).or_default().policies.push(policy);
        }
    }
    for state in &objects.states {
        let (out, inbound) = ((state.src, state.dst, state.reqid), (state.dst, state.src, state.reqid));
        let decrypts = tunnels.contains_key(&inbound) || state.direction == Some(StateDirection::In);
        let (ends, direction) =
            if decrypts { (inbound, StateDirection::In) } else { (out, StateDirection::Out) };
        tunnels.entry(ends).or_default().states.push((direction, state));
    }
    tunnels
}

impl Parts<'_> {
    /// The newest generation of its states.
    pub(crate) fn generation(&self) -> u32 {
        self.states.iter().map(|(_, state)| state.generation).max().unwrap_or_default()
    }

    fn status(
        mut self,
        ends: Ends,
        namespace: Option<String>,
        limits: &RekeyLimits,
        now: u64,
    ) -> TunnelStatus {
        let (local, remote, reqid) = ends;
        let encrypts = |direction| direction == StateDirection::Out;
        self.states.sort_by_key(|(direction, state)| (!encrypts(*direction), state.counters.added));
        let states = self.states.iter().map(|(direction, state)| StateStatus {
            direction: *direction,
            spi: state.spi,
            generation: state.generation,
            in_use: self.policies.iter().any(|policy| leads_to(policy, *direction, state)),
            age: state.counters.age(now),
            idle: state.counters.used.map(|used| now.saturating_sub(used)),
            counters: state.counters,
            sequence: if encrypts(*direction) { state.sequence.sent } else { state.sequence.received },
            esn: state.esn,
            rekey: due(
                state,
                &RekeyLimits { limits: sooner(limits.limits, state.lifetimes.soft), ..*limits },
                now,
            ),
            encap: state.encap,
        });
        let mut status = TunnelStatus {
            namespace,
            local,
            remote,
            reqid,
            policies: self.policies.len(),
            states: states.collect(),
            warnings: Vec::new(),
        };
        status.warnings = status.troubles().iter().map(ToString::to_string).collect();
        status
    }
}

fn leads_to(policy: &Policy, direction: StateDirection, state: &State) -> bool {
    (policy.direction == Direction::Out) == (direction == StateDirection::Out)
        && policy.templates.iter().any(|template| template.spi.is_none_or(|spi| spi == state.spi))
}

/// Of two limits the one that is reached first.
fn sooner(one: Limits, other: Limits) -> Limits {
    let least = |a: Option<std::num::NonZeroU64>, b| [a, b].into_iter().flatten().min();
    Limits {
        bytes: least(one.bytes, other.bytes),
        packets: least(one.packets, other.packets),
        seconds: least(one.seconds, other.seconds),
    }
}

const HEADER: [&str; 12] =
    ["", "SPI", "GEN", "AGE", "USED", "PACKETS", "BYTES", "SEQUENCE", "LATE", "REPLAYED", "FAILED", "REKEY"];

impl StateStatus {
    fn row(&self) -> [String; 12] {
        let direction = match (self.direction, self.in_use) {
            (StateDirection::Out, true) => "out",
            (StateDirection::Out, false) => "out, idle",
            (StateDirection::In, _) => "in",
        };
        let Counters { packets, bytes, outside_window, replayed, integrity_failed, .. } = self.counters;
        [
            direction.to_owned(),
            self.spi.to_string(),
            self.generation.to_string(),
            time(self.age),
            self.idle.map_or("never".into(), |idle| format!("{} ago", time(idle))),
            packets.to_string(),
            bytes.to_string(),
            self.sequence.to_string(),
            outside_window.to_string(),
            replayed.to_string(),
            integrity_failed.to_string(),
            match self.rekey {
                Due::In(seconds) => format!("in {}", time(seconds)),
                now_or_never => now_or_never.to_string(),
            },
        ]
    }
}

/// `3d4h`, `2h05m`, `3m10s`, `7s`.
fn time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

impl fmt::Display for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tunnels.is_empty() {
            return f.write_str("no tunnels");
        }
        let mut text = String::new();
        for tunnel in &self.tunnels {
            let TunnelStatus { namespace, local, remote, reqid, policies, states, warnings } = tunnel;
            let place = namespace.as_deref().unwrap_or("host");
            writeln!(text, "{place}  {local} - {remote}  reqid {reqid}, policies: {policies}")?;
            let rows: Vec<_> = std::iter::once(HEADER.map(str::to_owned))
                .chain(states.iter().map(StateStatus::row))
                .collect();
            if states.is_empty() {
                writeln!(text, "  no states: nothing gets through")?;
                continue;
            }
            let widths: [usize; 12] =
                std::array::from_fn(|n| rows.iter().map(|row| row[n].len()).max().unwrap_or(0));
            for row in &rows {
                let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
                writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
            }
            for warning in warnings {
                writeln!(text, "  ? {warning}")?;
            }
        }
        f.write_str(text.trim_end())
    }
}
