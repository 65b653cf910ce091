//! Packets that a host sends by itself, every byte of them given.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto, socket,
};

use crate::Netns;

/// Raw sockets of both families (raw(7)), to which packets are given with their headers.
pub struct Raw {
    ipv4: OwnedFd,
    ipv6: OwnedFd,
}

impl Raw {
    /// Opens them.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn open(netns: &Netns) -> Result<Self> {
        let open = |family| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            netns
                .run(move || socket(family, SockType::Raw, flags, SockProtocol::Raw))
                .context("open a raw socket")
        };
        Ok(Self { ipv4: open(AddressFamily::Inet)?, ipv6: open(AddressFamily::Inet6)? })
    }

    /// The host sends `packet` to where it says. Of IPv4 the kernel writes length and checksum anew.
    ///
    /// # Errors
    /// When it is no packet, or the kernel does not take it.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        let sent = match (packet.first().map(|byte| byte >> 4), packet.get(16..20), packet.get(24..40)) {
            (Some(4), Some(to), _) => {
                let to = Ipv4Addr::from(*to.first_chunk::<4>().context("an address")?);
                let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
                sendto(self.ipv4.as_raw_fd(), packet, &to, MsgFlags::empty())
            }
            (Some(6), _, Some(to)) => {
                let to = Ipv6Addr::from(*to.first_chunk::<16>().context("an address")?);
                let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
                sendto(self.ipv6.as_raw_fd(), packet, &to, MsgFlags::empty())
            }
            _ => bail!("{} bytes are no packet", packet.len()),
        };
        sent.map(drop).context("send a packet")
    }
}
