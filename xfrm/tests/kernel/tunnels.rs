//! Tunnels that carry packets: a kernel with ESP and AES-GCM.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use guestnet_core::owner::Owner;
use guestnet_core::{Kind, Namespace, Set, Watch, netns};
use guestnet_lab::{Capability, Netns, lab_test, need, sh};
use guestnet_xfrm::derive::Inner;
use guestnet_xfrm::tunnel::{Pair, Shape};
use guestnet_xfrm::{Icv, PairSecret, Spi, State, Tunnel};

use crate::host::{apply, key, lower};

/// Sends a datagram that is as large as the tunnel's MTU, for which nothing is fragmented, and one that is larger
/// by a byte, for which something is, inside or outside; both come back.
fn carries_what_fits(pair: &Pair, from: &str, to: &str, mtu: u32) -> Result<()> {
    let headers = if pair.local.addr().is_ipv4() { 20 + 8 } else { 40 + 8 };
    let bind = |netns: &str, address: IpAddr| -> Result<UdpSocket> {
        let socket = Netns::open(netns)?.run(|| UdpSocket::bind((address, 7)))?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(socket)
    };
    let (here, there) = (bind(from, pair.local.addr())?, bind(to, pair.remote.addr())?);
    for (length, fits) in [(mtu, true), (mtu + 1, false)] {
        let before = fragments(from)?;
        let datagram = vec![7; (length - headers) as usize];
        here.send_to(&datagram, there.local_addr()?)?;
        let mut buffer = [0; 2048];
        let (heard, sender) = there.recv_from(&mut buffer).context("there")?;
        ensure!(buffer[..heard] == datagram);
        ensure!((fragments(from)? == before) == fits, "{length} bytes in {pair:?}, of MTU {mtu}");
        there.send_to(&buffer[..heard], sender)?;
        ensure!(here.recv_from(&mut buffer).context("here")?.0 == datagram.len());
    }
    Ok(())
}

/// How many fragments, of both families, the namespace has made.
fn fragments(netns: &str) -> Result<u64> {
    let (v4, v6) = Netns::open(netns)?.run(|| {
        let read = |file| std::fs::read_to_string(format!("/proc/thread-self/net/{file}"));
        (read("snmp"), read("snmp6"))
    });
    // A line of names, then one of values: "Ip: Forwarding … FragCreates".
    let v4 = v4?;
    let mut lines = v4.lines().filter(|line| line.starts_with("Ip:")).map(str::split_whitespace);
    let (names, values) = lines.next().zip(lines.next()).context("snmp")?;
    let v4 = names.zip(values).find(|(name, _)| *name == "FragCreates").context("FragCreates")?.1;
    let v6 = v6?;
    let v6 = v6.lines().find_map(|line| line.strip_prefix("Ip6FragCreates")).context("Ip6FragCreates")?;
    Ok(v4.parse::<u64>()? + v6.trim().parse::<u64>()?)
}

fn secret() -> PairSecret {
    PairSecret::new((0..32).collect()).expect("32 bytes")
}

/// A tunnel of each shape, over either family, with every length of key.
fn joined() -> [Tunnel; 4] {
    use guestnet_xfrm::Algorithm::{Aes128Gcm, Aes256Gcm};
    let carry = |a: &str, b: &str| {
        Tunnel::between(a.parse().unwrap(), b.parse().unwrap())
            .carry_hosts("10.1.0.1/32".parse().unwrap(), "10.2.0.1/32".parse().unwrap())
            .carry_hosts("fd01::1/128".parse().unwrap(), "fd02::1/128".parse().unwrap())
    };
    let spi = |n| Spi::new(n).unwrap();
    [
        carry("2001:db8::1", "2001:db8::2").secret(secret()),
        carry("192.0.2.1", "192.0.2.2")
            .secret(secret())
            .shape(Shape::PerFamily)
            .algorithm(Aes128Gcm, Icv::BITS_96),
        carry("2001:db8::1", "2001:db8::2").secret(secret()).replay(false, 0).generation(5),
        carry("192.0.2.1", "192.0.2.2").algorithm(Aes256Gcm, Icv::BITS_64).states(
            Inner::Both,
            (spi(256), key(0, 36)),
            (spi(256), key(1, 36)),
        ),
    ]
}

lab_test! {
    fn esp_one_description_joins_two_hosts_in_every_shape() -> Result<()> {
        need(Capability::Esp);
        for (round, tunnel) in joined().into_iter().enumerate() {
            let (a, b) = tunnel.ends();
            let hosts = [("a", &a), ("b", &b)].map(|(name, end)| (format!("{name}{round}"), end));
            let [(a_name, _), (b_name, _)] = &hosts;
            for (name, _) in &hosts {
                netns::create(&name.parse()?, Owner(1), &Watch::default())?;
            }
            sh(&format!("ip -n {a_name} link add v type veth peer name v netns {b_name}"))?;
            for (name, end) in &hosts {
                let (outer, length) = (end.local, if end.local.is_ipv4() { 24 } else { 64 });
                sh(&format!("ip -n {name} link set v up; ip -n {name} addr add {outer}/{length} dev v $( [ {length} = 64 ] && echo nodad )"))?;
                for pair in &end.pairs {
                    sh(&format!("ip -n {name} addr add {} dev lo", pair.local))?;
                    sh(&format!("ip -n {name} route add {} dev v src {}", pair.remote, pair.local.addr()))?;
                }
                let mut namespace = Namespace::named(&name.parse()?)?;
                let (states, policies) = lower(end)?;
                apply(&mut namespace, &states)?;
                apply(&mut namespace, &policies)?;
            }
            for pair in &a.pairs {
                carries_what_fits(pair, a_name, b_name, a.inner_mtu(1500))?;
            }
            let states = State::observe(&mut Namespace::named(&b_name.parse()?)?, &Set::new())?.ours;
            let inbound = states.iter().filter(|state| state.dst == b.local && a.esn);
            assert!(inbound.clone().all(|state| state.sequence.received > 0), "all were used: {states:#?}");
        }
        Ok(())
    }
}
