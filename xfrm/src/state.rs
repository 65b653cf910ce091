//! States: what a packet is encrypted with (RFC 4301's security associations; the kernel's word is state).

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use guestnet_core::problem::{Path, Problems};
use guestnet_core::{Extras, Mendable, Object};
use serde::{Deserialize, Serialize};

use crate::algorithm::{Algorithm, Icv};
use crate::counters::Counters;
use crate::encap::Encap;
use crate::lifetime::Lifetimes;
use crate::selector::{Mark, Selector, is_ipv4};
use crate::source::KeySource;
use crate::spi::Spi;

mod kernel;

pub(crate) use kernel::{mode, read_mode};

/// An ESP state of one direction: `ip xfrm state add src SRC dst DST proto esp spi SPI …`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The outer source.
    pub src: IpAddr,
    /// The outer destination.
    pub dst: IpAddr,
    /// The number by which the receiver finds the state.
    pub spi: Spi,
    /// The number by which policies find it; 0 is found by none that asks for one.
    #[serde(default)]
    pub reqid: u32,
    /// Which generation of its tunnel's keys it has, counted up by [`crate::rekey`]. The kernel keeps it as the number
    /// of the key exchange that the state came from (`seq`), so that nobody else has to remember it.
    #[serde(default, skip_serializing_if = "is_first")]
    #[schemars(extend("default" = 0))]
    pub generation: u32,
    /// What becomes of the inner packet's IP header.
    #[serde(default, skip_serializing_if = "Mode::is_tunnel")]
    #[schemars(extend("default" = Mode::default()))]
    pub mode: Mode,
    /// What it encrypts with.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The length of the integrity check value, in bits.
    #[serde(default)]
    pub icv: Icv,
    /// The key; never shown.
    pub key: KeySource,
    /// How far behind the newest packet one may come and still be taken, in packets: 0 (no check) to 4096.
    #[serde(default)]
    pub replay_window: u32,
    /// Count packets with 64 bits, not 32 (extended sequence numbers, RFC 4304). Both ends have to agree.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub esn: bool,
    /// The inner packets that it takes; left out: all of both families (`XFRM_STATE_AF_UNSPEC`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// When it has served.
    #[serde(default, skip_serializing_if = "Lifetimes::are_none")]
    pub lifetimes: Lifetimes,
    /// That it is for one direction only, which kernels from 6.10 on check. An outbound one then has no replay window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<StateDirection>,
    /// It is found by packets with this mark only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// The mark that it gives to packets (`output-mark`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_mark: Option<Mark>,
    /// The id of the xfrm interface that it belongs to; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_id: Option<std::num::NonZeroU32>,
    /// The UDP header before its ESP; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encap: Option<Encap>,
    /// How far its packets were counted when it was read. Not part of a spec.
    #[serde(skip)]
    pub sequence: Sequence,
    /// What it had carried and refused when it was read. Not part of a spec.
    #[serde(skip)]
    pub counters: Counters,
    /// Flags and attributes of a state on the host that no wanted one has. Not part of a spec.
    #[serde(skip)]
    pub extras: Extras,
}

/// What becomes of the inner packet's IP header.
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
#[schemars(rename = "XfrmMode")]
pub enum Mode {
    /// It is encrypted too, and another stands before it.
    #[default]
    Tunnel,
    /// It stays before the ESP header.
    Transport,
}

impl Mode {
    pub(crate) fn is_tunnel(&self) -> bool {
        *self == Self::Tunnel
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tunnel() { "tunnel" } else { "transport" })
    }
}

/// The direction of a state (`dir`, kernel 6.10).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StateDirection {
    /// It decrypts.
    In,
    /// It encrypts.
    Out,
}

/// The sequence numbers that a state had when it was read.
///
/// A state that is made again under the same key goes on from them, or the other end would take its packets for
/// replays. They change with every packet, so they never make two states unequal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence {
    /// Of the last packet sent.
    pub sent: u64,
    /// Of the newest packet received.
    pub received: u64,
}

impl PartialEq for Sequence {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A state is identified by its destination, SPI and mark; the protocol is always ESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateKey {
    /// The outer destination.
    pub dst: IpAddr,
    /// The SPI.
    pub spi: Spi,
    /// The mark.
    pub mark: Option<Mark>,
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dst {} proto esp spi {}", self.dst, self.spi)?;
        self.mark.map_or(Ok(()), |mark| write!(f, " {mark}"))
    }
}

fn is_first(generation: &u32) -> bool {
    *generation == 0
}

/// The kernel's largest replay window, in packets.
pub const LARGEST_WINDOW: u32 = 4096;

impl State {
    /// A state with the defaults of the kernel: tunnel mode, both families, no replay window, no limits.
    pub fn new(src: IpAddr, dst: IpAddr, spi: Spi, algorithm: Algorithm, key: impl Into<KeySource>) -> Self {
        Self {
            src,
            dst,
            spi,
            reqid: 0,
            generation: 0,
            mode: Mode::Tunnel,
            algorithm,
            icv: Icv::default(),
            key: key.into(),
            replay_window: 0,
            esn: false,
            selector: None,
            lifetimes: Lifetimes::default(),
            direction: None,
            mark: None,
            set_mark: None,
            if_id: None,
            encap: None,
            sequence: Sequence::default(),
            counters: Counters::default(),
            extras: Extras::default(),
        }
    }

    /// Notes what is wrong with it. `reqids` are those by which the namespace knows what is ours:
    /// [`guestnet_core::owner::REQIDS`] where guestnet shares it, `0..=u32::MAX` where guestnet made it.
    pub fn check(&self, reqids: &RangeInclusive<u32>, path: &Path, problems: &mut Problems) {
        check_outer(self.src, self.dst, &path.field("dst"), problems);
        check_reqid(self.reqid, reqids, &path.field("reqid"), problems);
        check_key(&self.key, self.algorithm, &path.field("key"), problems);
        check_window(self.replay_window, &path.field("replay_window"), problems);
        match (self.direction, self.replay_window) {
            (Some(StateDirection::Out), 1..) => {
                let words = "an outbound state that says its direction has no replay window";
                problems.at(&path.field("replay_window"), words);
            }
            (None | Some(StateDirection::In), 0) if self.esn => {
                let words = "extended sequence numbers need a replay window, of 1 at least (kernel: only an outbound \
                             state that says its direction goes without)";
                problems.at(&path.field("replay_window"), words);
            }
            _ => {}
        }
        if let Some(selector) = &self.selector {
            selector.check(&path.field("selector"), problems);
            if !self.mode.is_tunnel() && is_ipv4(&selector.src) != self.src.is_ipv4() {
                problems.at(&path.field("selector"), "only a tunnel carries packets of the other family");
            }
        }
        self.lifetimes.check(&path.field("lifetimes"), problems);
        for (name, mark) in [("mark", self.mark), ("set_mark", self.set_mark)] {
            if let Some(mark) = mark {
                mark.check(&path.field(name), problems);
            }
        }
        if let Some(encap) = self.encap {
            encap.check(&path.field("encap"), problems);
        }
    }

    /// The line that would make it, for review, without its key.
    pub fn to_ip(&self) -> String {
        let mut line = format!(
            "ip xfrm state add {self} aead '{}' (hidden) {} replay-window {}",
            Algorithm::NAME,
            self.icv.bits(),
            self.replay_window
        );
        let flags = [(self.esn, "esn"), (self.selector.is_none(), "af-unspec")];
        let flags: Vec<_> = flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
        if !flags.is_empty() {
            line += &format!(" flag {}", flags.join(" flag "));
        }
        if self.generation != 0 {
            line += &format!(" seq {}", self.generation);
        }
        if let Some(selector) = &self.selector {
            line += &format!(" sel {selector}");
        }
        line += &self.lifetimes.to_string();
        match self.direction {
            None => {}
            Some(StateDirection::In) => line += " dir in",
            Some(StateDirection::Out) => line += " dir out",
        }
        if let Some(encap) = self.encap {
            line += &format!(" {encap}");
        }
        if let Some(Mark { value, mask }) = self.set_mark {
            line += &format!(" output-mark {value:#x} mask {mask:#x}");
        }
        if let Some(id) = self.if_id {
            line += &format!(" if_id {id:#x}");
        }
        line
    }
}

impl Object for State {
    type Key = StateKey;
    const KIND: &'static str = "xfrm state";

    fn key(&self) -> StateKey {
        StateKey { dst: self.dst, spi: self.spi, mark: self.mark }
    }

    /// Equal but for the key, of which only a fingerprint may be known, and for a direction that one of them does
    /// not say: kernels before 6.10 do not remember it.
    fn accepts(&self, found: &Self) -> bool {
        let said = self.direction.is_some() && found.direction.is_some();
        let direction = if said { self.direction } else { found.direction };
        let alike = Self { key: found.key.clone(), direction, extras: found.extras.clone(), ..self.clone() };
        self.key.accepts(&found.key) && self.extras.accepts(&found.extras) && alike == *found
    }

    fn changed_from(&self, old: &Self) -> String {
        let mut changes = Vec::new();
        let mut note = |what: &str, new: String, old: String| {
            if new != old {
                changes.push(format!("{what} {new}, was {old}"));
            }
        };
        note("src", self.src.to_string(), old.src.to_string());
        note("reqid", self.reqid.to_string(), old.reqid.to_string());
        note("generation", self.generation.to_string(), old.generation.to_string());
        note("mode", self.mode.to_string(), old.mode.to_string());
        note("algorithm", self.algorithm.to_string(), old.algorithm.to_string());
        note("icv", self.icv.bits().to_string(), old.icv.bits().to_string());
        let print = |key: &KeySource| key.fingerprint().map_or("unread".into(), |print| print.to_string());
        note("key (hidden)", print(&self.key), print(&old.key));
        note("replay-window", self.replay_window.to_string(), old.replay_window.to_string());
        note("esn", self.esn.to_string(), old.esn.to_string());
        let selector = |state: &Self| state.selector.as_ref().map_or("any".into(), Selector::to_string);
        note("sel", selector(self), selector(old));
        let limits = |state: &Self| format!("[{}]", state.lifetimes.to_string().trim_start());
        note("lifetimes", limits(self), limits(old));
        let words = |words: Option<String>| words.unwrap_or_else(|| "none".into());
        let encap = |state: &Self| words(state.encap.map(|encap| encap.to_string()));
        note("encap", encap(self), encap(old));
        let set_mark = |state: &Self| words(state.set_mark.map(|mark| mark.to_string()));
        note("output-mark", set_mark(self), set_mark(old));
        note("dir", format!("{:?}", self.direction), format!("{:?}", old.direction));
        note(
            "if_id",
            self.if_id.map_or(0, |id| id.get()).to_string(),
            old.if_id.map_or(0, |id| id.get()).to_string(),
        );
        if !old.extras.is_empty() {
            changes.push(format!("without{}", old.extras));
        }
        format!("{self}  ({})", changes.join("; "))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { src, dst, spi, reqid, mode, .. } = self;
        write!(f, "src {src} dst {dst} proto esp spi {spi} reqid {reqid} mode {mode}")?;
        self.mark.map_or(Ok(()), |mark| write!(f, " {mark}"))
    }
}

/// Notes what is wrong with a pair of outer addresses.
pub(crate) fn check_outer(src: IpAddr, dst: IpAddr, path: &Path, problems: &mut Problems) {
    if src.is_ipv4() != dst.is_ipv4() {
        problems.at(path, format!("{dst} is of another family than {src}"));
    }
    if src == dst {
        problems.at(path, format!("both ends are {dst}"));
        return;
    }
    for ip in [src, dst] {
        let why = match ip {
            ip if ip.is_multicast() || ip.is_unspecified() || ip.is_loopback() => {
                "not the address of one host"
            }
            // Nothing in a state says on which.
            IpAddr::V6(v6) if v6.is_unicast_link_local() => "an address of one link only",
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4 address in IPv6 form",
            _ => continue,
        };
        problems.at(path, format!("{ip} is {why}"));
    }
}

/// Notes a reqid by which guestnet would not find its own again.
pub(crate) fn check_reqid(reqid: u32, reqids: &RangeInclusive<u32>, path: &Path, problems: &mut Problems) {
    if !reqids.contains(&reqid) {
        let (least, most) = (reqids.start(), reqids.end());
        let words =
            format!("{reqid} is not in {least}..={most}, by which guestnet knows its own in this namespace");
        problems.at(path, words);
    }
}

/// Notes a key that the algorithm does not take or that was not read.
pub(crate) fn check_key(key: &KeySource, algorithm: Algorithm, path: &Path, problems: &mut Problems) {
    match key {
        KeySource::Given(key) if key.algorithm() != algorithm => {
            let (wants, has) = (algorithm.key_length(), key.algorithm().key_length());
            problems.at(
                path,
                format!("{algorithm} takes a key of {wants} bytes, the last 4 of them salt; this has {has}"),
            );
        }
        KeySource::File(file) => problems.at(path, format!("{} was not read", file.display())),
        KeySource::Named(name) => problems.at(path, format!("the secret {name} was not given")),
        KeySource::Given(_) | KeySource::Kept(_) => {}
    }
}

pub(crate) fn check_window(window: u32, path: &Path, problems: &mut Problems) {
    if window > LARGEST_WINDOW {
        problems.at(path, format!("{window} is more than the kernel's largest, {LARGEST_WINDOW}"));
    }
}
