//! The one call to the C library that the crates do not have: a socket option of UDP.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

/// `linux/udp.h`: the option, and ESP in UDP as RFC 3948 has it.
const UDP_ENCAP: libc::c_int = 100;
const UDP_ENCAP_ESPINUDP: libc::c_int = 2;

/// Gives the kernel the ESP packets that come to `socket`; see udp(7).
pub fn take_esp(socket: &impl AsRawFd) -> io::Result<()> {
    let value = UDP_ENCAP_ESPINUDP;
    // SAFETY: the descriptor is open while it is borrowed, and the value is an int that lives during the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_UDP,
            UDP_ENCAP,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
