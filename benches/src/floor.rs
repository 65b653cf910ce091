//! The floor: a recording done again from a tight loop. Nothing is decided, encoded, decoded or remembered: what is left
//! is the kernel's own time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use guestnet::core::{Netns, NetnsName, Protocol, netns};
use netlink_sys::{Socket, SocketAddr};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{setsockopt, sockopt};

use crate::recording::{Recorded, Recording, What};
use crate::sys;

/// As much as guestnet reads at once.
const READ: usize = 64 * 1024;

/// A recording and warm sockets, ready to do it again.
pub struct Floor {
    acts: Vec<Recorded>,
    sockets: BTreeMap<(Netns, u8), Socket>,
    namespaces: BTreeMap<Netns, OwnedFd>,
    /// The namespace that the thread is in.
    here: Netns,
    buffer: Vec<u8>,
}

impl Floor {
    /// Gets ready on the host of the calling thread, whose namespaces, if it has any yet, are opened.
    pub fn ready(recording: Recording) -> Result<Self> {
        let mut floor = Self {
            acts: recording.acts,
            sockets: BTreeMap::new(),
            namespaces: BTreeMap::from([(Netns::Host, File::open("/proc/thread-self/ns/net")?.into())]),
            here: Netns::Host,
            buffer: Vec::with_capacity(READ),
        };
        for name in netns::list()? {
            floor.namespaces.insert(Netns::Named(name.clone()), netns::open(&name)?);
        }
        for netns in floor.namespaces.keys().cloned().collect::<Vec<_>>() {
            for protocol in [Protocol::Route, Protocol::Netfilter, Protocol::Xfrm] {
                if floor.acts.iter().any(|act| act.netns == netns && act.what.protocol() == Some(protocol)) {
                    floor.socket(&netns, protocol)?;
                }
            }
        }
        floor.go(&Netns::Host)?;
        Ok(floor)
    }

    /// Does it again.
    pub fn run(&mut self) -> Result<()> {
        let mut acts = std::mem::take(&mut self.acts);
        let result = acts.iter_mut().try_for_each(|act| self.act(act));
        self.acts = acts;
        result?;
        self.go(&Netns::Host)
    }

    /// Does the one act with the number `n` again.
    pub fn step(&mut self, n: usize) -> Result<()> {
        let mut acts = std::mem::take(&mut self.acts);
        let result = acts.get_mut(n).context("no such act").and_then(|act| self.act(act));
        self.acts = acts;
        result
    }

    fn act(&mut self, act: &mut Recorded) -> Result<()> {
        let netns = &act.netns;
        match &mut act.what {
            What::Send(protocol, bytes, namespaces) => {
                for (at, name) in namespaces.iter() {
                    let fd = self.namespaces.get(&Netns::Named(name.clone())).context("a namespace")?;
                    bytes[*at..*at + 4].copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
                }
                self.exchange(netns, *protocol, bytes, false)
            }
            // "There is none" is an answer.
            What::Ask(protocol, bytes) => self.exchange(netns, *protocol, bytes, true),
            What::Tap(name, flags) => {
                self.go(netns)?;
                let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?.into();
                sys::make_tap(&tun, name, *flags).with_context(|| format!("make the tap {name}"))
            }
            What::Sysctl(path, value) => {
                self.go(netns)?;
                // The sysctl's file is there already: nothing is to be made or cut.
                let file = OpenOptions::new().write(true).open(&path);
                let file = file.with_context(|| format!("open {path}"))?;
                nix::unistd::write(file, value.as_bytes()).with_context(|| format!("write {path}"))?;
                Ok(())
            }
            What::Create(name) => self.create(name),
            What::Delete(name) => Ok(netns::delete(name)?),
            What::Write(path, content) => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                fs::write(&path, content).with_context(|| format!("write {}", path.display()))
            }
            What::Remove(path) => {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))
            }
        }
    }

    fn create(&mut self, name: &NetnsName) -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let netns = Netns::Named(name.clone());
        self.here = netns.clone();
        let path = netns::path(name);
        File::create(&path)?;
        mount(Some("/proc/thread-self/ns/net"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        self.namespaces.insert(netns, File::open(&path)?.into());
        Ok(())
    }

    fn go(&mut self, netns: &Netns) -> Result<()> {
        if self.here != *netns {
            let fd = self.namespaces.get(netns).with_context(|| format!("there is no namespace {netns}"))?;
            setns(fd, CloneFlags::CLONE_NEWNET)?;
            self.here = netns.clone();
        }
        Ok(())
    }

    fn socket(&mut self, netns: &Netns, protocol: Protocol) -> Result<()> {
        self.go(netns)?;
        let number = match protocol {
            Protocol::Route => libc::NETLINK_ROUTE,
            Protocol::Xfrm => libc::NETLINK_XFRM,
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
        };
        let mut socket = Socket::new(number as isize)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        let _ = socket.set_netlink_get_strict_chk(true);
        let _ = setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &(4 << 20));
        let _ = setsockopt(&socket.as_fd(), sockopt::SndBufForce, &(1 << 30));
        self.sockets.insert((netns.clone(), number as u8), socket);
        Ok(())
    }

    /// Sends `bytes` and hears until their last message is answered, perhaps by a refusal.
    fn exchange(&mut self, netns: &Netns, protocol: Protocol, bytes: &[u8], asks: bool) -> Result<()> {
        let number = match protocol {
            Protocol::Route => libc::NETLINK_ROUTE,
            Protocol::Xfrm => libc::NETLINK_XFRM,
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
        };
        let key = (netns.clone(), number as u8);
        if !self.sockets.contains_key(&key) {
            self.socket(netns, protocol)?;
        }
        let socket = self.sockets.get(&key).context("a socket")?;
        ensure!(socket.send(bytes, 0)? == bytes.len(), "a datagram was cut");
        let last = last_answered(bytes);
        loop {
            self.buffer.clear();
            socket.recv(&mut self.buffer, 0)?;
            for reply in headers(&self.buffer) {
                match i32::from(reply.kind) {
                    libc::NLMSG_ERROR if reply.error != 0 && !asks => {
                        bail!("the kernel refuses what it took from guestnet: error {}", -reply.error)
                    }
                    libc::NLMSG_ERROR | libc::NLMSG_DONE if reply.sequence == last => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

impl What {
    fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Send(protocol, ..) | Self::Ask(protocol, _) => Some(*protocol),
            _ => None,
        }
    }

    /// Whether it asks for links, one by one.
    pub fn asks_for_links(&self) -> bool {
        let Self::Ask(Protocol::Route, bytes) = self else { return false };
        headers(bytes).all(|header| header.kind == libc::RTM_GETLINK && !is_dump(header.flags))
    }
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
    /// The first number after the header: of an answer the error.
    error: i32,
}

fn headers(bytes: &[u8]) -> impl Iterator<Item = Header> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let word = |at: usize| Some(u32::from_ne_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let (length, kind) = (word(0)? as usize, word(4)?);
        let header = Header {
            kind: kind as u16,
            flags: (kind >> 16) as u16,
            sequence: word(8)?,
            error: word(16).unwrap_or(0).cast_signed(),
        };
        rest = rest.get(length.max(16).next_multiple_of(4)..).unwrap_or_default();
        Some(header)
    })
}

/// The sequence number of the last message that will be answered: one that asks for an ACK, or for a dump.
fn last_answered(bytes: &[u8]) -> u32 {
    let asks = |header: &Header| header.flags & (libc::NLM_F_ACK as u16) != 0 || is_dump(header.flags);
    headers(bytes).filter(asks).last().map_or(0, |header| header.sequence)
}

fn is_dump(flags: u16) -> bool {
    flags & libc::NLM_F_DUMP as u16 == libc::NLM_F_DUMP as u16
}
