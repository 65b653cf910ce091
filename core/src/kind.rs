//! A kind of object: how it is read from a namespace and how a change of it is said in netlink.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::diff::Change;
use crate::error::{Error, Result};
use crate::link::TapOptions;
use crate::name::{LinkName, Netns};
use crate::netns::Namespace;
use crate::set::{Object, Observed, Set};

/// The order in which a [`Pass`] of a plan is carried out: creations forwards, deletions backwards.
///
/// The order is a security property: a guest's filter and its tunnels' policies are in force before its link
/// is up, and are taken away after it went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Namespaces are made.
    Namespaces,
    /// nf_tables, by interface name, before the interfaces are there.
    Filters,
    /// Links, still down.
    Links,
    /// nf_tables at devices, which have to be there.
    Devices,
    /// Sysctls, among them those of the new links.
    Settings,
    /// IPsec states and policies.
    Tunnels,
    /// Links go up.
    Up,
    /// Addresses.
    Addresses,
    /// Routes.
    Routes,
    /// Proxied neighbours: the world may now ask for the guest.
    Neighbours,
    /// Files for daemons.
    Files,
}

impl Phase {
    /// All phases, first to last.
    pub const ALL: [Self; 11] = [
        Self::Namespaces,
        Self::Filters,
        Self::Links,
        Self::Devices,
        Self::Settings,
        Self::Tunnels,
        Self::Up,
        Self::Addresses,
        Self::Routes,
        Self::Neighbours,
        Self::Files,
    ];
}

/// Passes of a plan over the phases. What is made comes before what goes, so that a refusal meets a host from which nothing
/// was taken yet, and nothing stands open between a closing object and the one that takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// Deletes what stands in the way of what is made, backwards through the phases.
    MakeRoom,
    /// Creates and replaces, forwards through the phases.
    Make,
    /// Deletes the rest, backwards through the phases.
    Remove,
}

/// The netlink families that guestnet speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: links, addresses, routes, neighbours.
    Route,
    /// `NETLINK_XFRM`: IPsec states and policies. Messages that carry keys are wiped after use.
    Xfrm,
    /// `NETLINK_NETFILTER`: what is sent together becomes one nf_tables transaction.
    Netfilter,
}

/// One netlink message: header and payload. Sequence number and port are filled in when it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
    secret: bool,
}

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;

impl Message {
    /// A message of `kind` (`RTM_NEWLINK`, …) with `flags`; `NLM_F_REQUEST` is added.
    pub fn new(kind: u16, flags: u16, payload: &[u8]) -> Self {
        let length = HEADER + payload.len();
        let mut bytes = Vec::with_capacity(length.next_multiple_of(4));
        bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(payload);
        bytes.resize(length.next_multiple_of(4), 0);
        Self { bytes, secret: false }
    }

    /// The same with a payload that nobody may see: it is [wiped](Self::wipe) as soon as it has been sent, or dropped.
    pub fn secret(kind: u16, flags: u16, payload: &[u8]) -> Self {
        let mut message = Self::new(kind, flags, payload);
        message.secret = true;
        message
    }

    /// A message that another library encoded, header included.
    ///
    /// # Errors
    /// `Malformed` when the length in the header is not the length of `bytes`.
    pub fn from_bytes(mut bytes: Vec<u8>) -> Result<Self> {
        let said = bytes.get(..4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes) as usize;
        if said < HEADER || said > bytes.len() || bytes.len() - said >= 4 {
            return Err(Error::malformed(
                "netlink message",
                format!("{} bytes that say {said}", bytes.len()),
            ));
        }
        bytes.resize(said.next_multiple_of(4), 0);
        Ok(Self { bytes, secret: false })
    }

    /// The message type: `RTM_NEWLINK`, ….
    pub fn kind(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[4], self.bytes[5]])
    }

    /// The flags: `NLM_F_CREATE`, ….
    pub fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]])
    }

    /// The whole message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it holds what nobody may see.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// The whole message, of which its header says how long it is.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Overwrites the message with zeros.
    pub fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.bytes[HEADER..]);
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if self.secret {
            self.wipe();
        }
    }
}

impl std::fmt::Debug for Message {
    /// Type and length only: the payload may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({}, {} bytes)", self.kind(), self.bytes.len())
    }
}

/// One act of an apply. All but messages are what netlink has no message for.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send a message.
    Send(Protocol, Message),
    /// Make a tap (`TUNSETIFF`): netlink cannot.
    MakeTap(LinkName, TapOptions),
    /// Write a sysctl, remembering what it was.
    SetSysctl(crate::sysctl::SysctlKey, String),
    /// Write a setting of a link of ours, which goes with it.
    SetOfLink(crate::sysctl::SysctlKey, String),
    /// Give a sysctl its former value back.
    RestoreSysctl(crate::sysctl::SysctlKey),
}

/// What an encoder may know of the world: only what a name means to the kernel at this moment.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The namespace that is spoken to.
    pub netns: Netns,
    /// The interfaces of the namespace and their indexes.
    pub links: Arc<BTreeMap<LinkName, u32>>,
    /// An open descriptor for each namespace of the host that is spoken of.
    pub namespaces: Arc<BTreeMap<Netns, RawFd>>,
}

impl Context {
    /// The index of `link`.
    ///
    /// # Errors
    /// `Malformed` when the namespace has no such link.
    pub fn index(&self, link: &LinkName) -> Result<u32> {
        self.links.get(link).copied().ok_or_else(|| {
            Error::malformed(format!("link {link}"), "there is no such interface in this namespace")
        })
    }

    /// A descriptor for `netns`.
    ///
    /// # Errors
    /// `Malformed` when the host has no such namespace.
    pub fn namespace(&self, netns: &Netns) -> Result<RawFd> {
        self.namespaces
            .get(netns)
            .copied()
            .ok_or_else(|| Error::malformed(format!("namespace {netns}"), "the host has no such namespace"))
    }
}

/// Where encoders put their steps. Each step belongs to the change that is being encoded.
#[derive(Debug, Default)]
pub struct Outbox {
    steps: Vec<(usize, Step)>,
    change: usize,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// What follows belongs to `change`, a number that the caller understands.
    pub fn begin(&mut self, change: usize) {
        self.change = change;
    }

    /// Adds a message.
    pub fn send(&mut self, protocol: Protocol, message: Message) {
        self.act(Step::Send(protocol, message));
    }

    /// Adds any step.
    pub fn act(&mut self, step: Step) {
        self.steps.push((self.change, step));
    }

    /// The steps with their changes, first to last.
    pub fn into_steps(self) -> Vec<(usize, Step)> {
        self.steps
    }
}

/// What a change may do to objects besides its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ripple {
    /// Nothing: what the kernel acknowledged is there as it was sent, and all else is as it was.
    None,
    /// It may change sysctls: the kernel sets those of all interfaces along with `conf/all`.
    Settings,
    /// It may change anything that is not [`Kind::AS_SENT`].
    Anything,
}

/// A kind of object that lives in a namespace and is spoken of in netlink (or, for want of it, in a [`Step`]).
pub trait Kind: Object {
    /// The phases in which its changes have something to do.
    const PHASES: &'static [Phase];

    /// Whether what the kernel has acknowledged is there just as it was sent, whatever else the plan changed: then it need
    /// not be read again to know. It is so of what nothing else brings along or takes away, and whose values the kernel
    /// keeps as they are.
    const AS_SENT: bool = false;

    /// Reads the objects that are ours, and those of others that hold a key of `wanted`.
    ///
    /// # Errors
    /// What the kernel refuses, and answers that cannot be understood. An unknown attribute is not an error.
    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>>;

    /// A number that is another one whenever anything of this kind in the namespace has changed, if the kernel has one. Who
    /// observes notes it in the [transcript](crate::Transcript::generation).
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn generation(_: &mut Namespace) -> Result<Option<u32>> {
        Ok(None)
    }

    /// Reads only what holds a key of `wanted`, be it ours or others'. What that costs should not grow with what else is
    /// there; unless a kind knows better, it reads everything and forgets the rest.
    ///
    /// # Errors
    /// As [`Self::observe`].
    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Self::observe(namespace, wanted)?;
        observed.ours.retain(|object| wanted.contains(&object.key()));
        Ok(observed)
    }

    /// What has to be looked at again when `change` was acknowledged.
    fn ripple(change: &Change<Self>) -> Ripple {
        match change {
            Change::Create(_) => Ripple::None,
            _ if Self::AS_SENT => Ripple::None,
            Change::Replace { .. } | Change::Delete(_) => Ripple::Anything,
        }
    }

    /// Says `change` in the kernel's words, as far as it belongs to `phase`. Pure.
    ///
    /// # Errors
    /// When the change names a link or a namespace that is not in `context`.
    fn encode(change: &Change<Self>, phase: Phase, context: &Context, out: &mut Outbox) -> Result<()>;

    /// Whether `old` can be made into `new` in place. Otherwise it is deleted and made again.
    fn can_become(_old: &Self, _new: &Self) -> bool {
        true
    }

    /// The place that the object takes up besides its key, in words. The kernel refuses or entangles two objects with one
    /// place, so the one that goes has to go before the other is made. `None` for a kind whose absence could open anything.
    fn place(&self) -> Option<String> {
        None
    }

    /// The object that stands while `old` gives way to `new`, where that takes two steps: it does for new guests what `new`
    /// does, and for those that are about to go what `old` did. `None`: one step.
    fn between(_old: &Self, _new: &Self) -> Option<Self> {
        None
    }

    /// The link that takes this object with it, or what matters of it, when it is deleted.
    fn lives_on(&self) -> Option<&LinkName> {
        None
    }

    /// Whether nothing is left of an object when the link that it lives on is deleted.
    const GOES_WITH_ITS_LINK: bool = true;
}
