//! The calls that only C offers. All the crate's `unsafe` is here.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs `hook` in the forked child just before it becomes the program.
///
/// The child of a process with threads may only make plain system calls here: `hook` must not allocate, lock or panic.
pub fn before_exec(command: &mut Command, hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: the callers are in this crate and keep to the rule above.
    unsafe { command.pre_exec(hook) };
}

/// Sets the interface up, in the namespace of the calling thread.
pub fn set_link_up(name: &str) -> io::Result<()> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut request = interface_request(name)?;
    // SAFETY: both calls take an ifreq that lives until they return, and the flags are a plain integer in its union.
    unsafe {
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request))?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request))?;
    }
    Ok(())
}

/// Opens `/dev/net/tun` and attaches to the tap `name`, making it if there is none.
pub fn open_tap(name: &str, flags: libc::c_int) -> io::Result<OwnedFd> {
    let path = c"/dev/net/tun";
    let mode = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: the path is a C string; the descriptor that comes back is ours alone.
    let file = unsafe { OwnedFd::from_raw_fd(check(libc::open(path.as_ptr(), mode))?) };
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | flags) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes an ifreq, which lives until the call returns.
    unsafe { check(libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request))? };
    Ok(file)
}

/// Binds a packet socket to the interface `name`, for all protocols.
pub fn bind_to_link(socket: &OwnedFd, name: &str) -> io::Result<()> {
    // SAFETY: sockaddr_ll is plain data for which all zeroes are valid.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = nix::net::if_::if_nametoindex(name)? as libc::c_int;
    let length = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address lives until the call returns, and its length is right.
    unsafe { check(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length)) }.map(drop)
}

/// `setsockopt` with an integer.
pub fn set_option(
    socket: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value lives until the call returns, and its length is right.
    unsafe { check(libc::setsockopt(socket, level, name, (&raw const value).cast(), length)) }.map(drop)
}

/// `getsockopt` of an integer.
pub fn option(socket: RawFd, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value and its length live until the call returns, which writes no more than the length.
    unsafe { check(libc::getsockopt(socket, level, name, (&raw mut value).cast(), &raw mut length)) }?;
    Ok(value)
}

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: ifreq is plain data for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no interface name")));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
