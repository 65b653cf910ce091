//! Watching: what is done to the system, told as it is done.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::kind::Protocol;
use crate::link::{LinkKind, TapOptions};
use crate::name::{LinkName, Netns, NetnsName};
use crate::netlink::{Reply, replies};
use crate::sysctl::SysctlKey;

/// One act on the system, told just before it is carried out.
///
/// Its `Display` is one line, and neither it nor `Debug` shows what is in a datagram: those of IPsec carry keys. The
/// bytes themselves are given only to whoever watches, who is then as responsible for them as for the spec.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// The namespace that it is about; files are the host's.
    pub netns: &'a Netns,
    /// What is done.
    pub deed: Deed<'a>,
}

/// What is done to the system.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Deed<'a> {
    /// Netlink messages that change something are sent.
    Send(Protocol, Datagram<'a>),
    /// A netlink message that changes nothing is sent: a dump is asked for, or one object.
    Ask(Protocol, Datagram<'a>),
    /// A tap is made (`TUNSETIFF`). Its mark follows as a [`Deed::Send`], then it is made persistent.
    MakeTap(&'a LinkName, &'a TapOptions),
    /// A sysctl is written.
    SetSysctl(&'a SysctlKey, &'a str),
    /// A namespace is made and gets its name. Its mark follows as a [`Deed::Send`].
    CreateNamespace(&'a NetnsName),
    /// The name of a namespace is taken away.
    DeleteNamespace(&'a NetnsName),
    /// A file is written, whole.
    WriteFile(&'a Path),
    /// A file is removed.
    RemoveFile(&'a Path),
}

/// Netlink messages that are sent to the kernel at once.
#[derive(Clone, Copy)]
pub struct Datagram<'a>(pub(crate) &'a [u8]);

impl<'a> Datagram<'a> {
    /// The bytes exactly as they are sent. May hold keys where the protocol is [`Protocol::Xfrm`].
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The messages, those that begin and end a transaction of nf_tables included.
    pub fn messages(self) -> impl Iterator<Item = Reply<'a>> {
        replies(self.0)
    }
}

impl fmt::Debug for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagram({} messages, {} bytes)", self.messages().count(), self.0.len())
    }
}

impl fmt::Display for Act<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.netns)?;
        match self.deed {
            Deed::Send(protocol, datagram) => say(f, "send", protocol, datagram),
            Deed::Ask(protocol, datagram) => say(f, "ask", protocol, datagram),
            Deed::MakeTap(name, options) => write!(f, "make {name} {}", LinkKind::Tap(options.clone())),
            Deed::SetSysctl(key, value) => write!(f, "sysctl {key}={value}"),
            Deed::CreateNamespace(name) => write!(f, "make namespace {name}"),
            Deed::DeleteNamespace(name) => write!(f, "delete namespace {name}"),
            Deed::WriteFile(path) => write!(f, "write {}", path.display()),
            Deed::RemoveFile(path) => write!(f, "remove {}", path.display()),
        }
    }
}

/// `send 2 RTM_NEWLINK, 1 RTM_NEWADDR (212 bytes)`, kinds in the order of their first messages.
fn say(f: &mut fmt::Formatter<'_>, verb: &str, protocol: Protocol, datagram: Datagram<'_>) -> fmt::Result {
    let mut kinds: Vec<(u16, usize)> = Vec::new();
    let mut places = BTreeMap::new();
    for message in datagram.messages() {
        let place = *places.entry(message.kind).or_insert(kinds.len());
        match kinds.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => kinds.push((message.kind, 1)),
        }
    }
    write!(f, "{verb}")?;
    for (n, (kind, count)) in kinds.into_iter().enumerate() {
        f.write_str(if n > 0 { ", " } else { " " })?;
        if count > 1 {
            write!(f, "{count} ")?;
        }
        match protocol.message_name(kind) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{protocol:?} {kind}")?,
        }
    }
    write!(f, " ({} bytes)", datagram.0.len())
}

/// Maps numbers to the names that the kernel's headers have for them.
macro_rules! named {
    ($kind:expr; $($name:ident = $number:expr,)*) => {
        match $kind {
            $(number if number == $number => Some(stringify!($name)),)*
            _ => None,
        }
    };
}

const CTNETLINK: u16 = 1 << 8;
const NFTABLES: u16 = 10 << 8;

impl Protocol {
    /// The name of a message type as in the kernel's headers: `RTM_NEWLINK`. `None` for one that is never sent here.
    pub fn message_name(self, kind: u16) -> Option<&'static str> {
        match self {
            Self::Route => named! { kind;
                RTM_NEWLINK = 16, RTM_DELLINK = 17, RTM_GETLINK = 18, RTM_NEWADDR = 20, RTM_DELADDR = 21,
                RTM_GETADDR = 22, RTM_NEWROUTE = 24, RTM_DELROUTE = 25, RTM_GETROUTE = 26, RTM_NEWNEIGH = 28,
                RTM_DELNEIGH = 29, RTM_GETNEIGH = 30, RTM_NEWRULE = 32, RTM_DELRULE = 33, RTM_GETRULE = 34,
                RTM_GETNSID = 90,
            },
            Self::Xfrm => named! { kind;
                XFRM_MSG_NEWSA = 16, XFRM_MSG_DELSA = 17, XFRM_MSG_GETSA = 18, XFRM_MSG_NEWPOLICY = 19,
                XFRM_MSG_DELPOLICY = 20, XFRM_MSG_GETPOLICY = 21, XFRM_MSG_ALLOCSPI = 22, XFRM_MSG_UPDPOLICY = 25,
                XFRM_MSG_UPDSA = 26, XFRM_MSG_FLUSHSA = 28, XFRM_MSG_FLUSHPOLICY = 29, XFRM_MSG_NEWSPDINFO = 36,
                XFRM_MSG_GETSPDINFO = 37, XFRM_MSG_SETDEFAULT = 39, XFRM_MSG_GETDEFAULT = 40,
            },
            Self::Netfilter => named! { kind;
                NFNL_MSG_BATCH_BEGIN = 16, NFNL_MSG_BATCH_END = 17, IPCTNL_MSG_CT_GET = CTNETLINK + 1,
                IPCTNL_MSG_CT_DELETE = CTNETLINK + 2, NFT_MSG_NEWTABLE = NFTABLES,
                NFT_MSG_GETTABLE = NFTABLES + 1, NFT_MSG_DELTABLE = NFTABLES + 2, NFT_MSG_NEWCHAIN = NFTABLES + 3,
                NFT_MSG_GETCHAIN = NFTABLES + 4, NFT_MSG_DELCHAIN = NFTABLES + 5, NFT_MSG_NEWRULE = NFTABLES + 6,
                NFT_MSG_GETRULE = NFTABLES + 7, NFT_MSG_DELRULE = NFTABLES + 8, NFT_MSG_NEWSET = NFTABLES + 9,
                NFT_MSG_GETSET = NFTABLES + 10, NFT_MSG_DELSET = NFTABLES + 11,
                NFT_MSG_NEWSETELEM = NFTABLES + 12, NFT_MSG_GETSETELEM = NFTABLES + 13,
                NFT_MSG_DELSETELEM = NFTABLES + 14, NFT_MSG_GETGEN = NFTABLES + 16,
            },
        }
    }
}

/// Questions to the system and their answers, as they come. A recorder is told of them, as a watcher is of acts.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "replay"), expect(dead_code, reason = "there is no recorder"))]
pub(crate) enum Heard<'a> {
    /// A namespace is there, with this number.
    Namespace(u64),
    /// A question to the kernel.
    Question(Protocol, &'a [u8]),
    /// A datagram of the answer to the last question.
    Answer(Protocol, &'a [u8]),
    /// The text of a file of the kernel's; nothing where it cannot be read.
    File(&'a str, Option<&'a str>),
}

/// Who watches, if anybody does. Cheap to clone, and costs nothing when nobody watches.
#[derive(Clone, Default)]
pub struct Watch {
    watcher: Option<Arc<Mutex<Watcher>>>,
    #[cfg(feature = "replay")]
    recorder: Option<crate::replay::Recorder>,
}

type Watcher = dyn FnMut(&Act<'_>) + Send;

impl Watch {
    /// `watcher` is called with each act, on the thread that carries it out, just before it does. What it does takes
    /// as much longer as the call; a watcher must not use the host that it watches.
    pub fn new(watcher: impl FnMut(&Act<'_>) + Send + 'static) -> Self {
        Self {
            watcher: Some(Arc::new(Mutex::new(watcher))),
            #[cfg(feature = "replay")]
            recorder: None,
        }
    }

    /// The same, which also tells `recorder` what the system answers.
    #[cfg(feature = "replay")]
    #[must_use]
    pub fn recorded(self, recorder: crate::replay::Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Whether answers are recorded.
    #[cfg(feature = "replay")]
    pub(crate) fn is_recorded(&self) -> bool {
        self.recorder.is_some()
    }

    /// Tells of what was heard in `netns`.
    pub(crate) fn hear(&self, netns: &Netns, heard: Heard<'_>) {
        #[cfg(feature = "replay")]
        if let Some(recorder) = &self.recorder {
            recorder.note(netns, heard);
        }
        #[cfg(not(feature = "replay"))]
        let _ = (netns, heard);
    }

    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.watcher.is_some()
    }

    /// Tells of `deed` in `netns`.
    pub fn tell(&self, netns: &Netns, deed: Deed<'_>) {
        if let Some(watcher) = &self.watcher {
            // A watcher that panicked once is called again: what it noted may be incomplete, the host is not.
            let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
            watcher(&Act { netns, deed });
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_watched() { "Watch(somebody)" } else { "Watch(nobody)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Message;

    fn told(deed: Deed<'_>) -> String {
        let text = Arc::new(Mutex::new(String::new()));
        let noted = Arc::clone(&text);
        Watch::new(move |act| *noted.lock().unwrap() = format!("{act} {act:?}")).tell(&Netns::Host, deed);
        let text = text.lock().unwrap();
        text.clone()
    }

    #[test]
    fn a_line_says_what_is_sent_and_not_what_is_in_it() {
        let key = [0x5e; 24];
        let bytes = [Message::new(16, 0, &key), Message::new(19, 0, &key), Message::new(16, 0, &key)];
        let bytes = bytes.iter().flat_map(Message::bytes).copied().collect::<Vec<_>>();
        let said = told(Deed::Send(Protocol::Xfrm, Datagram(&bytes)));
        assert!(said.starts_with("host: send 2 XFRM_MSG_NEWSA, XFRM_MSG_NEWPOLICY (120 bytes)"), "{said}");
        assert!(!said.contains("5e") && !said.contains("94"), "{said}");
    }

    #[test]
    fn other_acts_read_as_they_are_known() {
        let name = "tap0".parse().unwrap();
        assert!(told(Deed::MakeTap(&name, &TapOptions::default())).starts_with("host: make tap0 tap "));
        let key = "net/ipv4/ip_forward".parse().unwrap();
        assert!(told(Deed::SetSysctl(&key, "1")).starts_with("host: sysctl net/ipv4/ip_forward=1 "));
        let said = told(Deed::Ask(Protocol::Netfilter, Datagram(Message::new(0xaff, 0, &[]).bytes())));
        assert!(said.starts_with("host: ask Netfilter 2815 (16 bytes)"), "{said}");
    }
}
