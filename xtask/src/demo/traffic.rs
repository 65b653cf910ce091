//! Packets: who reaches whom, as whom, and what is seen on the way.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet_lab::{Capture, Echo, Netns, echo, path_mtu as find_path_mtu, solicit};

use super::guests::Running;
use super::topology::{FAR_IPV4, FAR_IPV6, FAR_MTU, SERVER_IPV4, SERVER_IPV6, Topology};

/// The port of the echo service.
const PORT: u16 = 7;
/// Enough for a few full segments.
const BYTES: usize = 20_000;

/// TCP both ways between each guest and the internet, in both families.
pub fn internet(topology: &Topology, guests: &[&Running]) -> Result<String> {
    let mut said = Vec::new();
    for server in [SERVER_IPV4, SERVER_IPV6] {
        let server: IpAddr = server.parse()?;
        let _echo = Echo::start(&topology.internet, SocketAddr::new(server, PORT))?;
        for guest in guests {
            let public = match server {
                IpAddr::V4(_) => IpAddr::from(guest.member.public_ipv4),
                IpAddr::V6(_) => guest.public_ipv6()?.into(),
            };
            let seen = echo::tcp(guest.guest.netns(), None, SocketAddr::new(server, PORT), BYTES)?.ip();
            ensure!(seen == public, "{} is seen as {seen} instead of {public}", guest.member.name);
            let local = if server.is_ipv4() { guest.member.private_ipv4.into() } else { public };
            let _inside = Echo::start(guest.guest.netns(), SocketAddr::new(local, PORT))?;
            let seen =
                echo::tcp(&topology.internet, Some(server), SocketAddr::new(public, PORT), BYTES)?.ip();
            ensure!(seen == server, "{} sees the server as {seen}", guest.member.name);
            said.push(format!("{} <-> {server} as {public}", guest.member.name));
        }
    }
    Ok(said.join("\n"))
}

/// Somebody else's table that has the kernel track connections, so that there is something to see or not to see.
const WITNESS: &str = "table inet witness { chain forward { type filter hook forward priority 0; ct state established counter; }; }";

/// That translation in `notrack` mode leaves no entry in the connection table although something else tracks, while in
/// `tracked` mode there is one.
pub fn connections(topology: &Topology, notrack: &Running, tracked: &Running) -> Result<String> {
    let server = SocketAddr::new(SERVER_IPV4.parse()?, PORT);
    let _echo = Echo::start(&topology.internet, server)?;
    let mut counts = Vec::new();
    for guest in [notrack, tracked] {
        guest.netns.nft(WITNESS)?;
        for _ in 0..3 {
            echo::tcp(guest.guest.netns(), None, server, 100)?;
        }
        counts.push(guest.netns.sysctl("net/netfilter/nf_conntrack_count")?.parse::<u32>()?);
        guest.netns.nft("delete table inet witness")?;
    }
    ensure!(counts[0] == 0, "notrack mode has left {} entries", counts[0]);
    ensure!(counts[1] > 0, "tracked mode has left no entry: the witness saw nothing");
    Ok(format!(
        "after 3 connections each: {} entries in notrack mode, {} in tracked mode",
        counts[0], counts[1]
    ))
}

/// TCP between the private addresses of each two guests, in both families, with a capture between the hosts.
pub fn tunnels(topology: &Topology, pairs: &[(&Running, &Running)]) -> Result<String> {
    let capture = Capture::start(&topology.hosts[0], "fabric")?;
    let before = pairs.iter().map(|(from, _)| octets(&from.netns)).collect::<Result<Vec<_>>>()?;
    let mut private = Vec::new();
    for (from, to) in pairs {
        for (near, far) in from.private()?.into_iter().zip(to.private()?) {
            let to_far = SocketAddr::new(far, PORT);
            let _echo = Echo::start(to.guest.netns(), to_far)?;
            let seen = echo::tcp(from.guest.netns(), Some(near), to_far, BYTES)
                .with_context(|| format!("{} to {} in private", from.member.name, to.member.name))?;
            ensure!(seen.ip() == near, "{} is seen as {}", from.member.name, seen.ip());
            private.extend([near, far]);
        }
    }
    let frames = capture.stop();
    let esp = frames.iter().filter(|frame| frame.is_esp()).count();
    // Neighbour discovery between the hosts themselves is all else that there is.
    let other = frames.iter().filter(|f| !f.is_esp() && f.packet().is_none_or(|p| p.protocol != 58)).count();
    ensure!(esp > 0 && other == 0, "{esp} frames of ESP and {other} others between the hosts");
    for address in &private {
        ensure!(!frames.iter().any(|frame| frame.mentions(*address)), "{address} is seen on the wire");
    }
    let mut grown = 0;
    for ((from, _), before) in pairs.iter().zip(before) {
        let now = octets(&from.netns)?;
        ensure!(now > before, "the states of {} have counted nothing", from.member.name);
        grown += now - before;
    }
    Ok(format!(
        "{} pairs in both families; on the wire {esp} frames of ESP, no private address, nothing in clear; \
         the states counted {grown} bytes",
        pairs.len()
    ))
}

/// What the states of a namespace have counted, in bytes.
fn octets(netns: &Netns) -> Result<u64> {
    let shown = netns.ip("-s xfrm state")?;
    let current = shown.lines().skip_while(|line| !line.contains("lifetime current"));
    let counted = current.filter_map(|line| line.trim().split_once("(bytes)")?.0.parse::<u64>().ok());
    Ok(counted.sum())
}

/// The largest packet to the far server, and to a guest on the other host, is what each sender is told.
pub fn path_mtu(guest: &Running, peer: &Running) -> Result<String> {
    let mut said = Vec::new();
    for far in [FAR_IPV4, FAR_IPV6] {
        let mtu = find_path_mtu(guest.guest.netns(), None, far.parse()?, 1500)?;
        ensure!(mtu == FAR_MTU, "to {far} the guest learned {mtu} instead of {FAR_MTU}");
        said.push(format!("to {far}: {mtu}"));
    }
    for address in peer.private()? {
        // 1500 - 40 (IPv6) - 8 (ESP) - 8 (IV) - 16 (ICV), to a multiple of 4, - 2 (trailer)
        let mtu = find_path_mtu(guest.guest.netns(), None, address, 1500)?;
        ensure!(mtu == 1426, "to {address} the guest learned {mtu} instead of 1426");
        said.push(format!("to {address}: {mtu}"));
    }
    Ok(said.join(", "))
}

/// TCP from each first to the public address of the second, on the same host.
pub fn hairpin(pairs: &[(&Running, &Running)]) -> Result<String> {
    let mut said = Vec::new();
    for (from, to) in pairs {
        let _echo = Echo::start(to.guest.netns(), SocketAddr::new(to.member.private_ipv4.into(), PORT))?;
        let public = SocketAddr::new(to.member.public_ipv4.into(), PORT);
        let seen = echo::tcp(from.guest.netns(), None, public, BYTES)?.ip();
        ensure!(seen == from.member.public_ipv4, "{} is seen as {seen}", from.member.name);
        said.push(format!("{} -> {} as {seen}", from.member.name, public.ip()));
    }
    Ok(said.join(", "))
}

/// Neighbour solicitations of the router on the uplink.
pub fn proxied(topology: &Topology) -> Result<String> {
    let patience = Duration::from_secs(2);
    let mut said = Vec::new();
    for (link, address, other) in
        [("host1", "2001:db8:1::a1", "2001:db8:1::dead"), ("host2", "2001:db8:2::b1", "2001:db8:2::dead")]
    {
        let mac = solicit(&topology.internet, link, address.parse::<Ipv6Addr>()?, patience)?;
        let mac = mac.with_context(|| format!("nobody answers for {address}"))?;
        let nobody = solicit(&topology.internet, link, other.parse::<Ipv6Addr>()?, patience / 4)?;
        ensure!(nobody.is_none(), "somebody answers for {other}");
        said.push(format!("{address} is at {mac}"));
    }
    Ok(said.join(", "))
}
