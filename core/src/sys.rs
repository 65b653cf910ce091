//! The system calls that no safe wrapper covers. All the `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

/// The handle of a namespace (`struct file_handle` with `struct nsfs_file_handle`, linux/nsfs.h).
#[repr(C)]
struct NamespaceHandle {
    bytes: libc::c_uint,
    kind: libc::c_int,
    id: u64,
    namespace_kind: u32,
    inode: u32,
}

/// `FD_NSFS_ROOT`: stands for the file system of namespaces.
const FD_NSFS_ROOT: libc::c_int = -10003;
/// `FILEID_NSFS`.
const FILEID_NSFS: libc::c_int = 0xf1;

/// Opens the network namespace that has this number and this inode (kernel 6.18). `ESTALE`: there is none, or the caller's
/// user namespace does not see it.
pub fn open_netns(id: u64, inode: u64) -> io::Result<OwnedFd> {
    let inode = u32::try_from(inode).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let mut handle = NamespaceHandle {
        bytes: 16,
        kind: FILEID_NSFS,
        id,
        namespace_kind: libc::CLONE_NEWNET as u32,
        inode,
    };
    // SAFETY: the handle is laid out as the kernel's, says how long it is, and outlives the call, which only reads it.
    let answer = unsafe {
        libc::open_by_handle_at(
            FD_NSFS_ROOT,
            (&raw mut handle).cast::<libc::file_handle>(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for the caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}

/// `NS_GET_USERNS` (ioctl_nsfs(2)): the user namespace that owns the network namespace `netns`.
pub fn owner_of_netns(netns: RawFd) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    // SAFETY: the request takes no argument; the kernel looks at its own objects only.
    let answer = unsafe { libc::ioctl(netns, NS_GET_USERNS) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for the caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}
