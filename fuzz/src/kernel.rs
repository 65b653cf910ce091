//! A kernel that answers with what is in one stream of messages.
//!
//! A stream is netlink messages one after another, so that one mutator is right for all of them. A question gets those of the
//! kind that answers it, whatever else it says: as a filter that the kernel passes over. What is no message comes as a
//! datagram of its own.

use std::collections::BTreeMap;
use std::sync::Mutex;

use guestnet::core::replay::Machine;
use guestnet::core::{Netns, NetnsName, Protocol};

/// `NLMSG_ERROR` and `NLMSG_DONE`.
pub const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
const DUMP: u16 = 0x300;

/// Messages of no kernel. The protocol that what follows is of: `route`, `xfrm`, `netfilter`.
pub const PROTOCOL: u16 = 0xfff0;
/// The namespace that what follows is of; of the host again where it names none.
pub const NAMESPACE: u16 = 0xfff1;
/// The path of a file, a NUL, and what is in it.
pub const FILE: u16 = 0xfff2;

/// How much of an answer the kernel sends at once.
const DATAGRAM: usize = 32 << 10;

/// A kernel that answers with the messages of a stream.
pub struct Kernel {
    messages: Vec<Message>,
    rest: Vec<u8>,
    files: BTreeMap<(Netns, String), String>,
    names: Vec<NetnsName>,
    /// A refusal in the stream is given once: whoever asks again until it succeeds shall come to an end.
    refused: Mutex<Vec<bool>>,
}

struct Message {
    netns: Netns,
    protocol: Protocol,
    kind: u16,
    bytes: Vec<u8>,
}

impl Kernel {
    /// Answers with what is in `stream`, of `protocol` unless it says otherwise.
    pub fn new(stream: &[u8], mut protocol: Protocol) -> Self {
        let (mut messages, mut files, mut names) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut netns = Netns::Host;
        let mut rest = stream;
        while let Some((bytes, behind)) = first(rest) {
            rest = behind;
            let (kind, payload) = (u16_at(bytes, 4), bytes.get(HEADER..).unwrap_or_default());
            match kind {
                PROTOCOL => protocol = named(payload),
                NAMESPACE => match text(payload).parse() {
                    Ok(name) => {
                        netns = Netns::Named(NetnsName::clone(&name));
                        names.push(name);
                    }
                    Err(_) => netns = Netns::Host,
                },
                FILE => {
                    let file = String::from_utf8_lossy(payload);
                    let (path, said) = file.split_once('\0').unwrap_or_default();
                    files.insert((netns.clone(), path.to_owned()), said.trim_end_matches('\0').to_owned());
                }
                _ => messages.push(Message { netns: netns.clone(), protocol, kind, bytes: bytes.to_vec() }),
            }
        }
        names.sort();
        names.dedup();
        let refused = Mutex::new(vec![false; messages.len()]);
        Self { messages, rest: rest.to_vec(), files, names, refused }
    }

    /// With a file of the host that says `text`, whatever the stream says of it.
    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert((Netns::Host, path.to_owned()), text.to_owned());
        self
    }
}

/// The kinds of the messages of `stream`, with the messages, padded.
pub fn messages(stream: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let (bytes, behind) = first(rest)?;
        rest = behind;
        Some((u16_at(bytes, 4), bytes))
    })
}

/// A message.
pub fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = HEADER + payload.len();
    let mut bytes = u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(payload);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

/// The first message, padded, and what comes behind it.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    if length < HEADER {
        return None;
    }
    bytes.get(..length)?;
    Some(bytes.split_at(length.next_multiple_of(4).min(bytes.len())))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |two| u16::from_ne_bytes(*two))
}

/// Text without the zeros that pad it.
fn text(payload: &[u8]) -> &str {
    std::str::from_utf8(payload).unwrap_or_default().trim_end_matches('\0')
}

fn named(payload: &[u8]) -> Protocol {
    match payload.first() {
        Some(b'x') => Protocol::Xfrm,
        Some(b'n') => Protocol::Netfilter,
        _ => Protocol::Route,
    }
}

/// The kind of message that answers one of `kind`.
fn answers(protocol: Protocol, kind: u16) -> u16 {
    match (protocol, kind) {
        // RTM_NEW…, DEL…, GET…, SET… are four numbers.
        (Protocol::Route, _) => kind & !3,
        // XFRM_MSG_GETSA, _GETPOLICY.
        (Protocol::Xfrm, 18 | 21) => kind - 2,
        // Each NFT_MSG_GET…, and IPCTNL_MSG_CT_GET, comes behind its NEW.
        (Protocol::Xfrm | Protocol::Netfilter, _) => kind.saturating_sub(1),
    }
}

fn numbered(bytes: &[u8], number: [u8; 4]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(own) = bytes.get_mut(8..12) {
        own.copy_from_slice(&number);
    }
    bytes
}

/// What ends an answer: it is an `NLMSG_DONE`, or an `NLMSG_ERROR` that says that there is none.
fn end(kind: u16, number: [u8; 4]) -> Vec<u8> {
    numbered(&message(kind, &[0; 20]), number)
}

impl Machine for Kernel {
    fn answer(&self, netns: &Netns, protocol: Protocol, question: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (asked, mut last) = first(question)?;
        let number = *asked.get(8..)?.first_chunk()?;
        let mut last_number = number;
        while let Some((message, behind)) = first(last) {
            last_number = *message.get(8..)?.first_chunk()?;
            last = behind;
        }
        let wanted = answers(protocol, u16_at(asked, 4));
        let mut refused = self.refused.lock().ok()?;
        let fits = |message: &&(usize, &Message)| {
            let Message { netns: whose, protocol: its, kind, .. } = message.1;
            whose == netns && *its == protocol && (*kind == wanted || *kind == ERROR)
        };
        let mut datagrams = vec![Vec::new()];
        for (n, message) in self.messages.iter().enumerate().filter(|message| fits(&message)) {
            if message.kind == ERROR && std::mem::replace(refused.get_mut(n)?, true) {
                continue;
            }
            if datagrams.last().is_some_and(|datagram| datagram.len() + message.bytes.len() > DATAGRAM) {
                datagrams.push(Vec::new());
            }
            datagrams.last_mut()?.extend(numbered(&message.bytes, number));
        }
        datagrams.push(self.rest.clone());
        datagrams.retain(|datagram| !datagram.is_empty());
        datagrams.push(match u16_at(asked, 6) & DUMP {
            DUMP => end(DONE, number),
            _ => end(ERROR, last_number),
        });
        Some(datagrams)
    }

    fn speaks(&self, _: Protocol) -> bool {
        true
    }

    fn file(&self, netns: &Netns, path: &str) -> Option<String> {
        self.files.get(&(netns.clone(), path.to_owned())).cloned()
    }

    fn cookie(&self, netns: &Netns) -> Option<u64> {
        match netns {
            Netns::Host => Some(1),
            Netns::Named(name) => {
                Some(2 + u64::try_from(self.names.iter().position(|known| known == name)?).ok()?)
            }
        }
    }

    fn names(&self) -> Vec<NetnsName> {
        self.names.clone()
    }
}
