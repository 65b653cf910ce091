//! What a rule `log group N` has logged (`linux/netfilter/nfnetlink_log.h`): packets as they are at that place.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket, sockopt,
};
use nix::unistd::{read, write};

use crate::Netns;

const SUBSYSTEM: u16 = 4 << 8;
const PACKET: u16 = SUBSYSTEM;
const CONFIG: u16 = SUBSYSTEM | 1;
const HEADER: usize = 16 + 4;
const BUFFER: usize = 16 << 20;

/// Listens to one group in one namespace.
pub struct Log(OwnedFd);

impl Log {
    /// Listens to `group`; what is logged after this is seen.
    ///
    /// # Errors
    /// When the kernel does not log packets, or someone else listens to the group.
    pub fn listen(netns: &Netns, group: u16) -> Result<Self> {
        let open = || -> Result<OwnedFd> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let protocol = SockProtocol::NetlinkNetFilter;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
            bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &NetlinkAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = netns.run(open).context("open a netlink socket")?;
        let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
        // NFULNL_CFG_CMD_BIND; whole packets (NFULNL_COPY_PACKET); each at once (NFULA_CFG_QTHRESH 1).
        for (attribute, value) in
            [(1_u16, &[1_u8][..]), (2, &[0, 0, 0xff, 0xff, 2, 0][..]), (5, &[0, 0, 0, 1][..])]
        {
            configure(&socket, group, attribute, value)?;
        }
        Ok(Self(socket))
    }

    /// The packets that have been logged since it was last asked, each with its EtherType. Packets begin where the hook
    /// sees them: at the network header.
    pub fn receive(&self) -> Vec<(u16, Vec<u8>)> {
        let mut packets = Vec::new();
        let mut buffer = vec![0; 1 << 17];
        while let Ok(length) = read(&self.0, &mut buffer) {
            let mut rest = &buffer[..length];
            while let Some(size) = native(rest, 0).map(|size| size as usize).filter(|size| *size >= HEADER) {
                let Some(message) = rest.get(..size) else { break };
                if message[4..6] == PACKET.to_ne_bytes() {
                    packets.extend(packet(&message[HEADER..]));
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
        packets
    }
}

fn configure(socket: &OwnedFd, group: u16, attribute: u16, value: &[u8]) -> Result<()> {
    let mut payload = vec![0, 0];
    payload.extend(group.to_be_bytes());
    payload.extend((4 + value.len() as u16).to_ne_bytes());
    payload.extend(attribute.to_ne_bytes());
    payload.extend(value);
    payload.resize(payload.len().next_multiple_of(4), 0);
    let mut message = (16 + payload.len() as u32).to_ne_bytes().to_vec();
    message.extend(CONFIG.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(payload);
    write(socket, &message)?;
    let mut answer = [0; 256];
    let length = read(socket, &mut answer)?;
    let code = native(&answer[..length], 16).context("an answer")?.cast_signed();
    ensure!(code == 0, "the kernel refuses to log packets: {}", nix::errno::Errno::from_raw(-code));
    Ok(())
}

/// `NFULA_PACKET_HDR` and `NFULA_PAYLOAD`.
fn packet(mut attributes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let (mut ethertype, mut payload) = (None, None);
    while let Some(header) = attributes.first_chunk::<4>() {
        let size = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = attributes.get(4..size)?;
        match u16::from_ne_bytes([header[2], header[3]]) & 0x3fff {
            1 => ethertype = value.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes)),
            9 => payload = Some(value.to_vec()),
            _ => {}
        }
        attributes = attributes.get(size.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((ethertype?, payload?))
}

fn native(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}
