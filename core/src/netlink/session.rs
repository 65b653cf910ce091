//! One netlink socket: exchange of many messages, and dumps.

use std::borrow::Cow;

use zeroize::Zeroize;

use super::dump::Dump;
use super::reply::{Refusal, Reply, replies};
use super::wire::{READ, Wire};
use crate::act::{Datagram, Deed, Heard, Watch};
use crate::error::{Error, Result};
use crate::kind::{Message, Protocol};
use crate::name::Netns;

/// How many messages are sent at once where the kernel does not demand that all come together. Bounded so that
/// the errors, should every one of them be refused, fit into the receive buffer (facts of ENOBUFS).
const CHUNK: usize = 256;

/// How many objects are asked for at once: all answers, of up to some KiB, wait in the receive buffer, which without
/// privilege is small.
const GETS: usize = 32;

/// How often an interrupted dump is taken again before the caller is told to try later.
const DUMP_TRIES: usize = 16;

/// Of how many pieces a send can be made (`UIO_MAXIOV`).
const PIECES: usize = 1024;

const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NLM_F_DUMP_INTR: u16 = 0x10;

/// A netlink socket in the namespace in which it was opened.
pub struct Session {
    protocol: Protocol,
    wire: Wire,
    sequence: u32,
    buffer: Vec<u8>,
    netns: Netns,
    watch: Watch,
    /// Whether an answer was given up before its end.
    broken: bool,
}

impl Session {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// `Io`, for instance when the kernel lacks the netlink family (`EPROTONOSUPPORT`).
    pub fn open(protocol: Protocol) -> Result<Self> {
        Ok(Self::over(Wire::open(protocol)?, protocol))
    }

    /// A session with a machine that is played.
    #[cfg(feature = "replay")]
    pub(crate) fn played(wire: crate::replay::Wire, protocol: Protocol) -> Self {
        Self::over(Wire::Played(wire), protocol)
    }

    fn over(wire: Wire, protocol: Protocol) -> Self {
        let buffer = Vec::with_capacity(READ);
        Self {
            protocol,
            wire,
            sequence: 1,
            buffer,
            netns: Netns::Host,
            watch: Watch::default(),
            broken: false,
        }
    }

    /// Tells `watch` from now on what is sent; `netns` is what it calls the namespace.
    pub fn watched(&mut self, netns: &Netns, watch: &Watch) {
        self.netns = netns.clone();
        self.watch = watch.clone();
    }

    /// The descriptor of the socket.
    pub fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.wire.as_raw_fd()
    }

    /// Whether an answer was given up before its end: the kernel may still be at it, and a new session is clear of that.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Sends `messages` and returns those that the kernel refused, by their position.
    ///
    /// Netfilter messages become one transaction: if one is refused, none has taken effect. Others are carried
    /// out one by one and independently of each other. Secret messages are wiped when they are sent.
    ///
    /// # Errors
    /// `Io` when the socket fails; then it is not known how far the kernel came.
    pub fn exchange(&mut self, messages: &mut [Message]) -> Result<Vec<(usize, Refusal)>> {
        if self.protocol == Protocol::Netfilter { self.transaction(messages) } else { self.each(messages) }
    }

    /// Sends `messages`, which are carried out one by one and independently of each other, and returns those that the kernel
    /// refused, by their position. Of netfilter those are messages of other subsystems than nf_tables.
    ///
    /// # Errors
    /// `Io` when the socket fails.
    pub fn each(&mut self, messages: &mut [Message]) -> Result<Vec<(usize, Refusal)>> {
        let mut refusals = Vec::new();
        for (n, chunk) in messages.chunks_mut(CHUNK).enumerate() {
            let first = self.sequence;
            let mut bytes = Vec::with_capacity(chunk.iter().map(|m| m.bytes().len()).sum());
            let last = chunk.len() - 1;
            for (i, message) in chunk.iter().enumerate() {
                self.append(&mut bytes, message, i == last);
            }
            let refused = self.send_and_hear(&[&bytes], first, chunk.len(), None);
            if chunk.iter().any(Message::is_secret) {
                bytes.zeroize();
                chunk.iter_mut().for_each(Message::wipe);
            }
            refusals.extend(refused?.into_iter().map(|(i, refusal)| (n * CHUNK + i, refusal)));
        }
        Ok(refusals)
    }

    /// It can be of many MiB: it is sent from where it lies.
    fn transaction(&mut self, messages: &mut [Message]) -> Result<Vec<(usize, Refusal)>> {
        let count = messages.len();
        let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
        // struct nfgenmsg: no family, version 0, and for a batch the subsystem in network order.
        let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
        let frame = [0, 0, high, low];
        let mut begin = Message::new(NFNL_MSG_BATCH_BEGIN, 0, &frame);
        let mut end = Message::new(NFNL_MSG_BATCH_END, 0, &frame);
        let opened = self.number(begin.bytes_mut(), false);
        let first = self.sequence;
        for (i, message) in messages.iter_mut().enumerate() {
            self.number(message.bytes_mut(), i == last);
        }
        self.number(end.bytes_mut(), false);
        let pieces: Vec<Cow<'_, [u8]>> = std::iter::once(begin.bytes().into())
            .chain(messages.chunks(count.div_ceil(PIECES - 2)).map(joined))
            .chain([end.bytes().into()])
            .collect();
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        self.send_and_hear(&pieces, first, count, Some(opened))
    }

    /// Copies `message` to `bytes` under the next sequence number.
    fn append(&mut self, bytes: &mut Vec<u8>, message: &Message, ack: bool) {
        let at = bytes.len();
        bytes.extend_from_slice(message.bytes());
        self.number(&mut bytes[at..], ack);
    }

    /// Gives a message the next sequence number. Only the last of a send asks for an ACK: errors come without asking, and
    /// ACKs would fill the receive buffer.
    fn number(&mut self, message: &mut [u8], ack: bool) -> u32 {
        let number = self.sequence;
        let flag = libc::NLM_F_ACK as u16;
        let flags = u16::from_ne_bytes([message[6], message[7]]);
        let flags = if ack { flags | flag } else { flags & !flag };
        message[6..8].copy_from_slice(&flags.to_ne_bytes());
        message[8..12].copy_from_slice(&number.to_ne_bytes());
        message[12..16].fill(0);
        self.sequence = number.checked_add(1).unwrap_or(1);
        number
    }

    /// Sends `pieces`, `count` messages from sequence number `first` on, and hears until the last is answered or
    /// the transaction that `begin` opened was refused as a whole.
    fn send_and_hear(
        &mut self,
        pieces: &[&[u8]],
        first: u32,
        count: usize,
        begin: Option<u32>,
    ) -> Result<Vec<(usize, Refusal)>> {
        if self.watch.is_watched() {
            // Only a transaction has several, and holds no secrets of which this were a copy.
            let bytes = if let [one] = pieces { Cow::from(*one) } else { pieces.concat().into() };
            self.watch.tell(&self.netns, Deed::Send(self.protocol, Datagram(&bytes)));
        }
        self.send(pieces)?;
        let mut refusals = Vec::new();
        loop {
            self.receive()?;
            for reply in replies(&self.buffer) {
                if i32::from(reply.kind) != libc::NLMSG_ERROR {
                    continue;
                }
                if begin == Some(reply.sequence) {
                    if let Some(refusal) = Refusal::read(&reply, &[]) {
                        refusals.push((0, refusal));
                        return Ok(refusals);
                    }
                    continue;
                }
                let index = reply.sequence.wrapping_sub(first) as usize;
                if index >= count {
                    continue;
                }
                let mut sent = pieces.iter().flat_map(|piece| replies(piece));
                let request = sent.find(|r| r.sequence == reply.sequence).map_or(&[][..], |r| r.whole);
                if let Some(refusal) = Refusal::read(&reply, request) {
                    refusals.push((index, refusal));
                }
                if index + 1 == count {
                    return Ok(refusals);
                }
            }
        }
    }

    /// Takes the dump that `request` asks for (`NLM_F_DUMP` is added), again while the kernel says that it
    /// changed under way.
    ///
    /// # Errors
    /// `Busy` when it kept changing; `Kernel` when the kernel refuses, `Io` when the socket fails.
    pub fn dump(&mut self, request: &Message) -> Result<Dump> {
        for _ in 0..DUMP_TRIES {
            let mut whole = Dump::of(self.protocol);
            if self.dump_once(request, |read| whole.add(read))? {
                return Ok(whole);
            }
        }
        Err(interrupted())
    }

    /// Takes the dump that `request` asks for and calls `each` with its messages as they come. Nothing of it is kept, so that
    /// it may be of any length; what is dumped again comes again.
    ///
    /// # Errors
    /// As [`Self::dump`].
    pub fn dump_each(&mut self, request: &Message, mut each: impl FnMut(&Reply<'_>)) -> Result<()> {
        for _ in 0..DUMP_TRIES {
            if self.dump_once(request, |read| replies(read).for_each(|reply| each(&reply)))? {
                return Ok(());
            }
        }
        Err(interrupted())
    }

    /// One try, of which `take` is given each datagram; `false` when the kernel marked the dump as interrupted.
    fn dump_once(&mut self, request: &Message, mut take: impl FnMut(&mut [u8])) -> Result<bool> {
        let sequence = self.sequence;
        let dump = Message::new(
            request.kind(),
            request.flags() | libc::NLM_F_DUMP as u16,
            &request.bytes()[crate::kind::HEADER..],
        );
        let mut bytes = Vec::new();
        self.append(&mut bytes, &dump, false);
        self.ask(&bytes)?;
        let mut interrupted = false;
        loop {
            self.hear(sequence, 1)?;
            let mut end = None;
            for reply in replies(&self.buffer) {
                interrupted |= reply.flags & NLM_F_DUMP_INTR != 0;
                if matches!(i32::from(reply.kind), libc::NLMSG_ERROR | libc::NLMSG_DONE) {
                    end = Some(Refusal::read(&reply, &bytes));
                    break;
                }
            }
            take(&mut self.buffer);
            match end {
                None => {}
                Some(None) => return Ok(!interrupted),
                Some(Some(refusal)) => return Err(self.refused(request, refusal)),
            }
        }
    }

    /// The kernel's refusal to answer `request`.
    #[cold]
    fn refused(&self, request: &Message, refusal: Refusal) -> Error {
        let kind = request.kind();
        let name = self.protocol.message_name(kind);
        let name = name.map_or_else(|| format!("{:?} message {kind}", self.protocol), str::to_owned);
        refusal.of(format!("answer {name}"))
    }

    /// Asks for one object (no dump). `None` when the kernel says that there is none.
    ///
    /// # Errors
    /// `Kernel` for any other refusal, `Io` when the socket fails.
    pub fn get(&mut self, request: &Message) -> Result<Option<Dump>> {
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        self.append(&mut bytes, request, true);
        self.ask(&bytes)?;
        let mut whole = Dump::of(self.protocol);
        loop {
            self.hear(sequence, 1)?;
            let end = replies(&self.buffer)
                .find(|r| i32::from(r.kind) == libc::NLMSG_ERROR)
                .map(|reply| Refusal::read(&reply, &bytes));
            whole.add(&mut self.buffer);
            match end {
                None => {}
                Some(None) => return Ok(Some(whole)),
                Some(Some(r)) if r.is_absence() => {
                    return Ok(None);
                }
                Some(Some(refusal)) => return Err(self.refused(request, refusal)),
            }
        }
    }

    /// Asks for many objects at once, by messages that each ask for one (no dumps). The answers, and the refusals by the
    /// positions of their requests: that there is no such object is one too.
    ///
    /// # Errors
    /// `Io` when the socket fails.
    pub fn get_each(&mut self, requests: &[Message]) -> Result<(Dump, Vec<(usize, Refusal)>)> {
        let mut whole = Dump::of(self.protocol);
        let mut refusals = Vec::new();
        for (n, chunk) in requests.chunks(GETS).enumerate() {
            let first = self.sequence;
            let mut bytes = Vec::with_capacity(chunk.iter().map(|m| m.bytes().len()).sum());
            for (i, request) in chunk.iter().enumerate() {
                self.append(&mut bytes, request, i + 1 == chunk.len());
            }
            self.ask(&bytes)?;
            let mut ended = false;
            while !ended {
                self.hear(first, chunk.len())?;
                for reply in replies(&self.buffer).filter(|r| i32::from(r.kind) == libc::NLMSG_ERROR) {
                    let index = reply.sequence.wrapping_sub(first) as usize;
                    if let Some(refusal) = Refusal::read(&reply, &bytes) {
                        refusals.push((n * GETS + index, refusal));
                    }
                    ended |= index + 1 == chunk.len();
                }
                whole.add(&mut self.buffer);
            }
        }
        Ok((whole, refusals))
    }

    /// Reads the next answer to one of `count` questions from number `first` on. What answers an earlier one, which was given
    /// up, is passed over.
    fn hear(&mut self, first: u32, count: usize) -> Result<()> {
        loop {
            self.receive()?;
            let is_asked = |number: u32| (number.wrapping_sub(first) as usize) < count;
            if !replies(&self.buffer).all(|reply| is_asked(reply.sequence)) {
                let answers = replies(&self.buffer).filter(|reply| is_asked(reply.sequence));
                let mut asked = Vec::new();
                for reply in answers {
                    asked.extend_from_slice(reply.whole);
                    asked.resize(asked.len().next_multiple_of(4), 0);
                }
                // It keeps its room, into which the next is read.
                self.buffer.zeroize();
                self.buffer.append(&mut asked);
            }
            if !self.buffer.is_empty() {
                self.watch.hear(&self.netns, Heard::Answer(self.protocol, &self.buffer));
                return Ok(());
            }
        }
    }

    fn receive(&mut self) -> Result<()> {
        let heard = self.wire.receive(&mut self.buffer);
        self.broken |= heard.is_err();
        heard
    }

    fn send(&mut self, pieces: &[&[u8]]) -> Result<()> {
        let sent = self.wire.send(pieces);
        self.broken |= sent.is_err();
        sent
    }

    /// Asks what `bytes` ask.
    fn ask(&mut self, bytes: &[u8]) -> Result<()> {
        self.watch.tell(&self.netns, Deed::Ask(self.protocol, Datagram(bytes)));
        self.watch.hear(&self.netns, Heard::Question(self.protocol, bytes));
        self.send(&[bytes])
    }
}

#[cold]
fn interrupted() -> Error {
    Error::Busy(format!("the kernel's tables changed during each of {DUMP_TRIES} dumps; try again"))
}

/// Messages as one piece of a send: a copy only where they are several.
fn joined(messages: &[Message]) -> Cow<'_, [u8]> {
    match messages {
        [one] => one.bytes().into(),
        several => several.iter().map(Message::bytes).collect::<Vec<_>>().concat().into(),
    }
}

#[cfg(test)]
mod tests;
