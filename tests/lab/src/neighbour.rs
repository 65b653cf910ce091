//! Asking who has an address, as a neighbour does: ARP and neighbour solicitation.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::frame::ARP;
use crate::{Capture, Frame, Mac, Netns, send_frame, sys};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;
/// How long after a question it is asked again (RFC 4861, RETRANS_TIMER): the first may have come before the address was ready.
const AGAIN: Duration = Duration::from_secs(1);

/// Asks on `link` which MAC has `target` (RFC 4861, 7.2); `None` when no one says so in time.
///
/// # Errors
/// When the question cannot be sent: `link` has no link-local address that is ready.
pub fn solicit(netns: &Netns, link: &str, target: Ipv6Addr, patience: Duration) -> Result<Option<Mac>> {
    let what = || format!("solicit {target} on {link} in the namespace {}", netns.name());
    let asker = Mac::of(netns, link)?;
    let (socket, index) = netns
        .run(|| -> Result<_> {
            let kind = (AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::IcmpV6);
            Ok((UdpSocket::from(socket(kind.0, kind.1, kind.2, kind.3)?), if_nametoindex(link)?))
        })
        .with_context(what)?;
    // Another hop limit says that the message was forwarded, and is ignored.
    sys::set_option(socket.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, 255)?;
    let group = SocketAddrV6::new(solicited_node(target), 0, 0, index);
    let start = Instant::now();
    let mut buffer = [0; 2048];
    let mut again = Duration::ZERO;
    while let Some(left) = patience.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        if start.elapsed() >= again {
            socket.send_to(&solicitation(target, asker), group).with_context(what)?;
            again += AGAIN;
        }
        socket.set_read_timeout(Some(left.min(AGAIN)))?;
        let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(mac) = advertised(&buffer[..length], target) {
            return Ok(Some(mac));
        }
    }
    Ok(None)
}

/// Asks on `link`, in the name of `asker`, which MAC has `target` (RFC 826); `None` when no one says so in time.
///
/// # Errors
/// When the question cannot be sent.
pub fn arp(
    netns: &Netns,
    link: &str,
    asker: Ipv4Addr,
    target: Ipv4Addr,
    patience: Duration,
) -> Result<Option<Mac>> {
    let mac = Mac::of(netns, link)?;
    let capture = Capture::start(netns, link)?;
    let start = Instant::now();
    while let Some(left) = patience.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        send_frame(netns, link, &arp_request(mac, asker, target))?;
        let answer = capture.wait_for("an answer", left.min(AGAIN), |frame| arp_reply(frame, target));
        if answer.is_ok() {
            return Ok(answer.ok());
        }
    }
    Ok(None)
}

/// The group that listens for questions about `address`: RFC 4291, 2.7.1.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The checksum is the kernel's to write.
fn solicitation(target: Ipv6Addr, asker: Mac) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([SOURCE_LINK_ADDRESS, 1]);
    message.extend(asker.0);
    message
}

/// Whom the message says that `target` is.
fn advertised(message: &[u8], target: Ipv6Addr) -> Option<Mac> {
    let is_ours = *message.first()? == ADVERTISEMENT && message.get(8..24)? == target.octets();
    let mut options = message.get(24..).filter(|_| is_ours)?;
    while let [kind, units @ 1..=255, ..] = options {
        let (option, rest) = options.split_at_checked(usize::from(*units) * 8)?;
        if *kind == TARGET_LINK_ADDRESS {
            return option.get(2..8)?.try_into().ok().map(Mac);
        }
        options = rest;
    }
    None
}

fn arp_request(mac: Mac, asker: Ipv4Addr, target: Ipv4Addr) -> Frame {
    let mut bytes = Vec::new();
    bytes.extend(Mac::BROADCAST.0);
    bytes.extend(mac.0);
    bytes.extend(ARP.to_be_bytes());
    // Ethernet, IPv4, their lengths, request.
    bytes.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    bytes.extend(mac.0);
    bytes.extend(asker.octets());
    bytes.extend([0; 6]);
    bytes.extend(target.octets());
    Frame(bytes)
}

fn arp_reply(frame: &Frame, target: Ipv4Addr) -> Option<Mac> {
    let message = frame.payload();
    let is_reply = frame.ethertype()? == ARP && message.get(6..8)? == [0, 2];
    let is_ours = is_reply && message.get(14..18)? == target.octets();
    message.get(8..14).filter(|_| is_ours)?.try_into().ok().map(Mac)
}
