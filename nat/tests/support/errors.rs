//! What sockets are told by ICMP errors.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use guestnet_lab::Netns;
use nix::sys::socket::{setsockopt, sockopt};

/// Sends a datagram that lives for `hops` hops; the error that comes back to the socket. The kernel finds the socket
/// by all that the error quotes: protocol, addresses, ports.
pub fn udp_error(netns: &Netns, to: SocketAddr, hops: u8) -> Result<i32> {
    let socket = netns.run(|| -> Result<UdpSocket> {
        let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
        let socket = UdpSocket::bind((any, 0))?;
        if to.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            setsockopt(&socket, sockopt::Ipv4Ttl, &i32::from(hops))?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            setsockopt(&socket, sockopt::Ipv6Ttl, &i32::from(hops))?;
        }
        socket.connect(to)?;
        Ok(socket)
    })?;
    socket.set_read_timeout(Some(Duration::from_millis(700)))?;
    for _ in 0..4 {
        // The error can come as early as here.
        if let Err(e) = socket.send(b"anyone?") {
            return e.raw_os_error().context("an errno");
        }
        match socket.recv(&mut [0; 64]) {
            Ok(_) => bail!("{to} answered"),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(e) => return e.raw_os_error().context("an errno"),
        }
    }
    bail!("{}: nothing was heard of a packet to {to} that lives for {hops} hops", netns.name())
}

/// How many packets with a bad checksum the namespace was given.
pub fn bad_checksums(netns: &Netns) -> Result<u64> {
    let (v4, v6) = netns.run(|| -> io::Result<(String, String)> {
        let read = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        Ok((read("snmp")?, read("snmp6")?))
    })?;
    let lines: Vec<&str> = v4.lines().collect();
    let of_v4 = lines
        .chunks(2)
        .flat_map(|pair| pair[0].split_whitespace().zip(pair[1].split_whitespace()).collect::<Vec<_>>());
    let of_v6 = v6.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let counted: Vec<(&str, &str)> =
        of_v4.chain(of_v6).filter(|(name, _)| name.contains("CsumErrors")).collect();
    if counted.len() < 5 {
        bail!("the kernel counts only {counted:?}");
    }
    let sum = counted.iter().map(|(_, count)| count.trim().parse::<u64>()).sum::<Result<u64, _>>()?;
    Ok(sum)
}
