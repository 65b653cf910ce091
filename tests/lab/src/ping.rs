//! ICMP echo of a given size, and the path MTU that it finds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, socket};

use crate::craft::checksum;
use crate::{Netns, sys};

/// How long to wait for one reply.
const PATIENCE: Duration = Duration::from_secs(1);
/// The ICMP header.
const HEADER: usize = 8;

/// What became of an echo request that may not be fragmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echoed {
    /// It was answered.
    Reply,
    /// It was too big for the path, whose MTU is now known to be this.
    TooBig(u16),
    /// Nothing came back.
    Silence,
}

/// Asks `to` for an echo, three times if need be.
///
/// # Errors
/// When no reply comes.
pub fn ping(netns: &Netns, from: Option<IpAddr>, to: IpAddr) -> Result<()> {
    for _ in 0..3 {
        if ping_of_size(netns, from, to, 84)? == Echoed::Reply {
            return Ok(());
        }
    }
    bail!("{to} does not answer {}", netns.name())
}

/// Sends an echo request in an IP packet of `size` bytes that may not be fragmented (`ping -M do`).
///
/// # Errors
/// When it cannot be sent: no route, no such source address.
pub fn ping_of_size(netns: &Netns, from: Option<IpAddr>, to: IpAddr, size: u16) -> Result<Echoed> {
    let what = || format!("ping {to} from the namespace {}", netns.name());
    let socket = netns.run(|| open(from, to)).with_context(what)?;
    let request = Request::new(to, size)?;
    match socket.send(&request.message).and_then(|_| await_reply(&socket, &request)) {
        Ok(true) => Ok(Echoed::Reply),
        Ok(false) => Ok(Echoed::Silence),
        Err(e) if e.raw_os_error() == Some(libc::EMSGSIZE) => {
            // The socket may still hold the route that it had before; a new one sees what the kernel has learned.
            let socket = netns.run(|| open(from, to)).with_context(what)?;
            Ok(Echoed::TooBig(path_mtu_of(&socket, to)?))
        }
        Err(e) => Err(e).with_context(what),
    }
}

/// The largest packet that reaches `to` and comes back, found as a sender does: by being told what is too big.
///
/// # Errors
/// When packets vanish without a word: path MTU discovery does not work.
pub fn path_mtu(netns: &Netns, from: Option<IpAddr>, to: IpAddr, first: u16) -> Result<u16> {
    let mut size = first;
    let mut silent = 0;
    loop {
        match ping_of_size(netns, from, to, size)? {
            Echoed::Reply => return Ok(size),
            Echoed::TooBig(mtu) => {
                ensure!(
                    mtu < size,
                    "{to}: {size} bytes are too big for the path, whose MTU is said to be {mtu}"
                );
                size = mtu;
            }
            Echoed::Silence if silent < 2 => silent += 1,
            Echoed::Silence => bail!("{to}: packets of {size} bytes vanish without a word"),
        }
    }
}

/// An echo request with a number of its own.
struct Request {
    is_ipv4: bool,
    number: [u8; 2],
    reply: u8,
    message: Vec<u8>,
}

impl Request {
    fn new(to: IpAddr, size: u16) -> Result<Self> {
        static NUMBER: AtomicU16 = AtomicU16::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let (ip_header, kind, reply) = if to.is_ipv4() { (20, 8, 0) } else { (40, 128, 129) };
        let length = usize::from(size).checked_sub(ip_header).filter(|length| *length >= HEADER);
        let length = length.with_context(|| format!("{size} bytes do not hold an echo request"))?;
        let mut message = vec![0; length];
        message[0] = kind;
        message[4..6].copy_from_slice(&(std::process::id() as u16).to_be_bytes());
        message[6..8].copy_from_slice(&number);
        if to.is_ipv4() {
            // For ICMPv6 the kernel writes it.
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        Ok(Self { is_ipv4: to.is_ipv4(), number, reply, message })
    }

    /// Whether the ICMP message `answer` is the reply to this, whole.
    fn is_answered_by(&self, answer: &[u8]) -> bool {
        answer.len() == self.message.len()
            && answer[0] == self.reply
            && answer[4..6] == self.message[4..6]
            && answer[6..8] == self.number
    }
}

/// A connected raw socket that forbids fragments.
fn open(from: Option<IpAddr>, to: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket = UdpSocket::from(socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?);
    let fd = socket.as_raw_fd();
    match to {
        IpAddr::V4(_) => sys::set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?,
        IpAddr::V6(_) => {
            sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)?;
            sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)?;
        }
    }
    if let Some(from) = from {
        bind(fd, &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    }
    socket.connect((to, 0))?;
    Ok(socket)
}

fn await_reply(socket: &UdpSocket, request: &Request) -> io::Result<bool> {
    let start = Instant::now();
    let mut buffer = vec![0; 65_536];
    while let Some(left) = PATIENCE.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            other => other?,
        };
        let packet = &buffer[..length];
        // An IPv4 raw socket gives the IP header too.
        let header = match packet.first() {
            Some(first) if request.is_ipv4 => usize::from(first & 0x0f) * 4,
            _ => 0,
        };
        if packet.get(header..).is_some_and(|message| request.is_answered_by(message)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn path_mtu_of(socket: &UdpSocket, to: IpAddr) -> Result<u16> {
    let (level, name) = match to {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mtu = sys::option(socket.as_raw_fd(), level, name).context("ask for the path's MTU")?;
    u16::try_from(mtu).with_context(|| format!("{mtu} is no MTU"))
}

/// An address that stands for any source.
pub(crate) fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
