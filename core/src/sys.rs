//! The system calls that no safe wrapper covers. All the `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{setsockopt, sockopt};

/// `SO_NETNS_COOKIE` (kernel 5.14): the number of the namespace that a socket belongs to.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The cookie of the network namespace in which `socket` was made.
pub fn netns_cookie(socket: RawFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which is that long; both outlive the call.
    let answer = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast::<libc::c_void>(),
            &raw mut length,
        )
    };
    if answer == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// Attaches `tun`, an open `/dev/net/tun`, to an interface called `name` with the `IFF_*` bits of `flags`.
pub fn tun_set_iff(tun: &OwnedFd, name: &str, flags: i32) -> io::Result<()> {
    // SAFETY: an all-zero `ifreq` is valid: it is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which `request` is and which outlives the call.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `TUNSETOWNER`: `uid` may open the interface without privilege.
pub fn tun_set_owner(tun: &OwnedFd, uid: u32) -> io::Result<()> {
    tun_set(tun, libc::TUNSETOWNER, libc::c_ulong::from(uid))
}

/// `TUNSETGROUP`: members of `gid` may open the interface without privilege.
pub fn tun_set_group(tun: &OwnedFd, gid: u32) -> io::Result<()> {
    tun_set(tun, libc::TUNSETGROUP, libc::c_ulong::from(gid))
}

/// `TUNSETPERSIST`: the interface stays when the descriptor is closed.
pub fn tun_set_persist(tun: &OwnedFd) -> io::Result<()> {
    tun_set(tun, libc::TUNSETPERSIST, 1)
}

fn tun_set(tun: &OwnedFd, request: libc::Ioctl, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: these three requests take their argument by value; the kernel dereferences nothing.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), request, value) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for large socket buffers; without `CAP_NET_ADMIN` in the first user namespace the system's limits hold.
pub fn grow_buffers(socket: RawFd, receive: usize, send: usize) {
    // SAFETY: the caller's socket is open, and the borrow ends with this function.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    if setsockopt(&socket, sockopt::RcvBufForce, &receive).is_err() {
        let _ = setsockopt(&socket, sockopt::RcvBuf, &receive);
    }
    if setsockopt(&socket, sockopt::SndBufForce, &send).is_err() {
        let _ = setsockopt(&socket, sockopt::SndBuf, &send);
    }
}
