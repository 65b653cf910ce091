//! One netlink socket: exchange of many messages, and dumps.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send, sendmsg};
use zeroize::Zeroize;

use super::dump::Dump;
use super::reply::{Refusal, replies};
use crate::act::{Datagram, Deed, Watch};
use crate::error::{Error, Result};
use crate::kind::{Message, Protocol};
use crate::name::Netns;
use crate::sys;

/// How much of an answer is read at once; the kernel fills dumps up to half of it.
const READ: usize = 64 * 1024;

/// How many messages are sent at once where the kernel does not demand that all come together. Bounded so that
/// the errors, should every one of them be refused, fit into the receive buffer (facts of ENOBUFS).
const CHUNK: usize = 256;

/// How many objects are asked for at once: all answers, of up to some KiB, wait in the receive buffer, which without
/// privilege is small.
const GETS: usize = 32;

/// What the receive buffer should hold, and the send buffer at most: one nf_tables transaction is one send.
const RECEIVE: usize = 4 << 20;
const SEND: usize = 1 << 30;

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
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
    netns: Netns,
    watch: Watch,
}

impl Session {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// `Io`, for instance when the kernel lacks the netlink family (`EPROTONOSUPPORT`).
    pub fn open(protocol: Protocol) -> Result<Self> {
        let (number, name) = match protocol {
            Protocol::Route => (libc::NETLINK_ROUTE, "NETLINK_ROUTE"),
            Protocol::Xfrm => (libc::NETLINK_XFRM, "NETLINK_XFRM"),
            Protocol::Netfilter => (libc::NETLINK_NETFILTER, "NETLINK_NETFILTER"),
        };
        let failed = |e| Error::io(format!("open a {name} socket"), e);
        let socket = Socket::new(number as isize).map_err(failed)?;
        // Which binds it as well.
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        // All of these are improvements that an old kernel or an unprivileged user may lack.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        sys::grow_buffers(socket.as_raw_fd(), RECEIVE, SEND);
        let buffer = Vec::with_capacity(READ);
        Ok(Self { protocol, socket, sequence: 1, buffer, netns: Netns::Host, watch: Watch::default() })
    }

    /// Tells `watch` from now on what is sent; `netns` is what it calls the namespace.
    pub fn watched(&mut self, netns: &Netns, watch: &Watch) {
        self.netns = netns.clone();
        self.watch = watch.clone();
    }

    /// The descriptor of the socket.
    pub fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }

    /// Sends `messages` and returns those that the kernel refused, by their position.
    ///
    /// Netfilter messages become one transaction: if one is refused, none has taken effect. Others are carried
    /// out one by one and independently of each other. Secret messages are wiped when they are sent.
    ///
    /// # Errors
    /// `Io` when the socket fails; then it is not known how far the kernel came.
    pub fn exchange(&mut self, messages: &mut [Message]) -> Result<Vec<(usize, Refusal)>> {
        if self.protocol == Protocol::Netfilter {
            return self.transaction(messages);
        }
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
    /// `Busy` when it kept changing; `Io` and `Malformed` when the kernel refuses.
    pub fn dump(&mut self, request: &Message) -> Result<Dump> {
        for _ in 0..DUMP_TRIES {
            if let Some(dump) = self.dump_once(request)? {
                return Ok(dump);
            }
        }
        Err(Error::Busy(format!("the kernel's tables changed during each of {DUMP_TRIES} dumps; try again")))
    }

    /// One try; `None` when the kernel marked the dump as interrupted.
    fn dump_once(&mut self, request: &Message) -> Result<Option<Dump>> {
        let sequence = self.sequence;
        let dump = Message::new(
            request.kind(),
            request.flags() | libc::NLM_F_DUMP as u16,
            &request.bytes()[crate::kind::HEADER..],
        );
        let mut bytes = Vec::new();
        self.append(&mut bytes, &dump, false);
        self.watch.tell(&self.netns, Deed::Ask(self.protocol, Datagram(&bytes)));
        self.send(&[&bytes])?;
        let mut whole = Dump::of(self.protocol);
        let mut interrupted = false;
        loop {
            self.receive()?;
            let mut end = None;
            for reply in replies(&self.buffer).filter(|r| r.sequence == sequence) {
                interrupted |= reply.flags & NLM_F_DUMP_INTR != 0;
                if matches!(i32::from(reply.kind), libc::NLMSG_ERROR | libc::NLMSG_DONE) {
                    end = Some(Refusal::read(&reply, &bytes));
                    break;
                }
            }
            whole.add(&mut self.buffer);
            match end {
                None => {}
                Some(None) => return Ok((!interrupted).then_some(whole)),
                Some(Some(refusal)) => {
                    let what = refusal.words.unwrap_or_else(|| format!("dump of type {}", request.kind()));
                    return Err(Error::io(what, io::Error::from_raw_os_error(refusal.errno)));
                }
            }
        }
    }

    /// Asks for one object (no dump). `None` when the kernel says that there is none.
    ///
    /// # Errors
    /// `Io` with the kernel's errno for any other refusal.
    pub fn get(&mut self, request: &Message) -> Result<Option<Dump>> {
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        self.append(&mut bytes, request, true);
        self.watch.tell(&self.netns, Deed::Ask(self.protocol, Datagram(&bytes)));
        self.send(&[&bytes])?;
        let mut whole = Dump::of(self.protocol);
        loop {
            self.receive()?;
            let end = replies(&self.buffer)
                .find(|r| r.sequence == sequence && i32::from(r.kind) == libc::NLMSG_ERROR)
                .map(|reply| Refusal::read(&reply, &bytes));
            whole.add(&mut self.buffer);
            match end {
                None => {}
                Some(None) => return Ok(Some(whole)),
                Some(Some(r)) if r.is_absence() => {
                    return Ok(None);
                }
                Some(Some(r)) => {
                    let what = r.words.unwrap_or_else(|| format!("get of type {}", request.kind()));
                    return Err(Error::io(what, io::Error::from_raw_os_error(r.errno)));
                }
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
            self.watch.tell(&self.netns, Deed::Ask(self.protocol, Datagram(&bytes)));
            self.send(&[&bytes])?;
            let mut ended = false;
            while !ended {
                self.receive()?;
                for reply in replies(&self.buffer).filter(|r| i32::from(r.kind) == libc::NLMSG_ERROR) {
                    let index = reply.sequence.wrapping_sub(first) as usize;
                    if let Some(refusal) = Refusal::read(&reply, &bytes).filter(|_| index < chunk.len()) {
                        refusals.push((n * GETS + index, refusal));
                    }
                    ended |= index + 1 == chunk.len();
                }
                whole.add(&mut self.buffer);
            }
        }
        Ok((whole, refusals))
    }

    fn send(&self, pieces: &[&[u8]]) -> Result<()> {
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        loop {
            let sent = match pieces {
                // strace decodes these, and not the others.
                [one] => send(fd, one, flags),
                _ => sendmsg::<()>(fd, &slices, &[], flags, None),
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(e) => {
                    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
                    return Err(Error::io(format!("send {length} bytes to the kernel"), e));
                }
            }
        }
    }

    fn receive(&mut self) -> Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_TRUNC) {
                Ok(length) if length <= self.buffer.len() => return Ok(()),
                Ok(length) => {
                    let short = format!("{length} bytes where {READ} can be read");
                    return Err(Error::malformed("the kernel's answer", short));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read the kernel's answer", e)),
            }
        }
    }
}

/// Messages as one piece of a send: a copy only where they are several.
fn joined(messages: &[Message]) -> Cow<'_, [u8]> {
    match messages {
        [one] => one.bytes().into(),
        several => several.iter().map(Message::bytes).collect::<Vec<_>>().concat().into(),
    }
}
