//! The other side of a session: a socket of the kernel, or a machine that is played.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send, sendmsg};

use crate::error::{Error, Result};
use crate::kind::Protocol;
#[cfg(feature = "replay")]
use crate::replay::Wire as Played;
use crate::sys;

/// How much of an answer is read at once; the kernel fills dumps up to half of it.
pub(super) const READ: usize = 64 * 1024;

/// Bytes that the receive buffer should hold, and the send buffer at most: one nf_tables transaction is one send.
const RECEIVE: usize = 4 << 20;
const SEND: usize = 1 << 30;

/// Takes datagrams and gives them.
pub(super) enum Wire {
    Kernel(Socket),
    #[cfg(feature = "replay")]
    Played(Played),
}

impl Wire {
    /// Opens a socket in the calling thread's namespace.
    pub(super) fn open(protocol: Protocol) -> Result<Self> {
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
        Ok(Self::Kernel(socket))
    }

    /// The descriptor of the socket; -1 where there is none.
    pub(super) fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Kernel(socket) => socket.as_raw_fd(),
            #[cfg(feature = "replay")]
            Self::Played(_) => -1,
        }
    }

    /// Sends `pieces` as one datagram.
    pub(super) fn send(&mut self, pieces: &[&[u8]]) -> Result<()> {
        match self {
            Self::Kernel(socket) => send_to(socket, pieces),
            #[cfg(feature = "replay")]
            Self::Played(played) => played.ask(&pieces.concat()),
        }
    }

    /// Reads the next datagram into `buffer`.
    pub(super) fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Kernel(socket) => receive_from(socket, buffer),
            #[cfg(feature = "replay")]
            Self::Played(played) => played.answer(buffer),
        }
    }
}

fn send_to(socket: &Socket, pieces: &[&[u8]]) -> Result<()> {
    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
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

fn receive_from(socket: &Socket, buffer: &mut Vec<u8>) -> Result<()> {
    loop {
        buffer.clear();
        match socket.recv(buffer, libc::MSG_TRUNC) {
            Ok(length) if length <= buffer.len() => return Ok(()),
            Ok(length) => {
                let short = format!("{length} bytes where {READ} can be read");
                return Err(Error::malformed("the kernel's answer", short));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read the kernel's answer", e)),
        }
    }
}
