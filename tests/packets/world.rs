//! The lab: a host with five guests, who are open taps, and others, which are packet sockets. None of them answers, so that
//! what comes out is what was sent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use guestnet::core::{Namespace, Netns as Place, NetnsName};
use guestnet::firewall::TABLE;
use guestnet::nft::Table;
use guestnet::{Host, HostSpec};
use guestnet_lab::craft::arp::Arp;
use guestnet_lab::craft::ethernet;
use guestnet_lab::craft::ipv6::solicited_node;
use guestnet_lab::craft::mark::{self, Mark};
use guestnet_lab::frame::ARP;
use guestnet_lab::{Capability, Log, Mac, Netns, Port, Raw, Tap, has, note, sh, skip};

use crate::net::{ALL, GUESTS, Net, OTHERS, Party, Placement, Who};
use crate::spec::{Extent, name, spec, tap};

const GROUP: u16 = 4711;

/// The lab.
pub struct World {
    /// Who is there.
    pub net: Net,
    /// How long the lab may take for what has to come out.
    pub patience: Duration,
    host: Host,
    guests: Vec<Who>,
    taps: Vec<Tap>,
    ports: Vec<Port>,
    raw: Raw,
    logs: Vec<Log>,
    /// The host's first, then those of guests that have their own.
    namespaces: Vec<(Place, Namespace)>,
    /// Where each guest's tap is.
    homes: Vec<Netns>,
    _others: Vec<Netns>,
}

/// The link, in the host's namespace, behind which somebody is who is no guest.
fn link(other: Who) -> &'static str {
    match other {
        Who::Far => "far0",
        Who::Kin => "kin0",
        Who::Dock => "br-x0",
        _ => "uplink",
    }
}

impl World {
    /// Makes it, without a filter.
    pub fn make(placement: Placement) -> Result<Self> {
        let here = Netns::here()?;
        let plain = |connections| Net::new(placement, vec![Mac([0; 6]); ALL.len()], connections);
        // Names and addresses are known before the host's MAC addresses are.
        let bridged = plain(false).is_bridged();
        let connections = !bridged || has(Capability::BridgeConntrack).is_ok();
        if !connections {
            note("connections: this kernel knows none in bridges");
        }
        let plain = plain(connections);
        worst(&here)?;
        sh("sysctl -qw net.ipv6.auto_flowlabels=0 net.ipv6.conf.default.accept_dad=0")?;
        let others = OTHERS.iter().map(|who| other(&plain, *who)).collect::<Result<Vec<_>>>()?;
        addresses(&plain)?;
        for call in ["iptables", "ip6tables", "arptables"] {
            let value = if placement == Placement::BridgedCalled { "1" } else { "0" };
            let set = here.set_sysctl(&format!("net/bridge/bridge-nf-call-{call}"), value);
            if placement == Placement::BridgedCalled && set.is_err() {
                skip("br_netfilter is not loaded");
            }
        }
        let mut host = Host::open()?;
        host.apply(&spec(&plain, &GUESTS, Extent::Guests)?)?;
        if bridged {
            join(&plain)?;
        }
        let home = |who: &Who| if plain.is_own() { Netns::open(&name(*who)) } else { Netns::here() };
        let homes = GUESTS.iter().map(home).collect::<Result<Vec<_>>>()?;
        if plain.is_own() {
            homes.iter().try_for_each(worst)?;
        }
        let near = |who: Who| match GUESTS.get(who as usize) {
            Some(_) => (&homes[who as usize], tap(who)),
            // The host as its guest A knows it.
            None if who == Who::Host => (&homes[0], tap(Who::A)),
            None => (&here, link(who).to_owned()),
        };
        let link_of = |who: Who| match (who, bridged) {
            (Who::Far, _) | (_, false) => near(who),
            (_, true) => (&here, "lan0".to_owned()),
        };
        let gateway = |who: &Who| {
            let (netns, link) = link_of(*who);
            Mac::of(netns, &link)
        };
        let net = Net::new(placement, ALL.iter().map(gateway).collect::<Result<_>>()?, connections);
        for who in GUESTS.into_iter().chain(OTHERS) {
            let Party { mac, v4, v6, .. } = net.party(who);
            let (netns, link) = link_of(who);
            // Known for good, so that no spoofed frame makes the next one go astray.
            for address in [IpAddr::from(v4), v6.into(), net.party(who).local().into()] {
                netns.ip(&format!("neigh replace {address} lladdr {mac} dev {link} nud permanent"))?;
            }
        }
        // Groups of agents that hosts may have: DHCPv6 servers and MLDv2 routers.
        let duplicates = solicited_node(net.party(Who::A).v6).to_string();
        let (netns, link) = link_of(Who::A);
        for group in ["ff02::1:2", "ff02::16", "ff02::2", &duplicates] {
            netns.ip(&format!("address add {group}/128 dev {link} autojoin"))?;
        }
        let mut namespaces = vec![(Place::Host, Namespace::current()?)];
        let mut looked_at = vec![here];
        if net.is_own() {
            for who in GUESTS {
                let name: NetnsName = name(who).parse().map_err(anyhow::Error::msg)?;
                namespaces.push((Place::Named(NetnsName::clone(&name)), Namespace::named(&name)?));
                looked_at.push(home(&who)?);
            }
        }
        looked_at.iter().try_for_each(probe)?;
        let taps = GUESTS.iter().zip(&homes).map(|(who, home)| Tap::open(home, &tap(*who)));
        let taps = taps.collect::<Result<_>>()?;
        let ports = others.iter().map(|other| Port::open(other, "there")).collect::<Result<_>>()?;
        let logs = looked_at.iter().map(|netns| Log::listen(netns, GROUP)).collect::<Result<_>>()?;
        let raw = Raw::open(&looked_at[0])?;
        let patience = Duration::from_secs(20);
        let guests = GUESTS.to_vec();
        Ok(Self { net, patience, host, guests, taps, ports, raw, logs, namespaces, homes, _others: others })
    }

    /// What is asked for, with the filter.
    pub fn spec(&self) -> Result<HostSpec> {
        spec(&self.net, &self.guests, Extent::Tunnels)
    }

    /// The tables of the filter in force, by namespace.
    pub fn tables(&mut self) -> Result<Vec<(Place, Table)>> {
        let found = self.host.observe()?;
        let of = |(place, objects): (Place, &guestnet::NamespaceObjects)| {
            objects.tables.iter().map(move |table| (place.clone(), table.clone())).collect::<Vec<_>>()
        };
        let filters = |name: &str| name == TABLE || name.starts_with("guestnet_port_");
        Ok(found.iter().flat_map(of).filter(|(_, table)| filters(table.name.as_str())).collect())
    }

    /// The namespace of `place`.
    pub fn namespace(&mut self, place: &Place) -> Result<&mut Namespace> {
        let found = self.namespaces.iter_mut().find(|(name, _)| name == place);
        found.map(|(_, namespace)| namespace).ok_or_else(|| anyhow::anyhow!("there is no namespace {place}"))
    }

    /// Puts the filter in force.
    pub fn filter(&mut self) -> Result<()> {
        let spec = spec(&self.net, &self.guests, Extent::Filter)?;
        self.host.apply(&spec)?;
        let left = self.host.verify(&spec)?;
        ensure!(left.is_empty(), "after the apply:\n{left}");
        if self.net.is_bridged() {
            for port in [Who::Outside, Who::Kin, Who::Dock].map(link) {
                sh(&format!("bridge link set dev {port} learning on"))?;
            }
        }
        Ok(())
    }

    /// The tunnels of guest A; where the kernel does not encrypt, their ends alone, as the filter has them.
    pub fn tunnels(&mut self) -> Result<()> {
        if has(Capability::Esp).is_ok() {
            self.host.apply(&self.spec()?)?;
            return Ok(());
        }
        note("tunnels themselves: this kernel does not encrypt");
        for tunnel in self.net.tunnels() {
            let set = if tunnel.local.is_ipv4() { "tunnels_ipv4" } else { "tunnels_ipv6" };
            let ends = format!("{} . {}", tunnel.remote, tunnel.local);
            let home = &self.homes[Who::A as usize];
            home.nft(&format!("add element inet guestnet_firewall {set} {{ {ends} }}"))?;
        }
        Ok(())
    }

    /// `guest` leaves the host, which has been told of it alone.
    pub fn leave(&mut self, guest: Who) -> Result<()> {
        self.guests.retain(|who| *who != guest);
        self.host.remove(&spec(&self.net, &[guest], Extent::Filter)?)?;
        let left = self.host.verify(&spec(&self.net, &self.guests, Extent::Filter)?)?;
        ensure!(left.is_empty(), "after the removal:\n{left}");
        Ok(())
    }

    /// Everybody announces its address, so that a bridge knows who is where.
    pub fn announce(&self) -> Result<()> {
        for who in self.guests.iter().copied().chain(OTHERS) {
            let Party { mac, v4, .. } = self.net.party(who);
            let announcement = Arp::request(mac, v4, v4).bytes();
            self.send(who, &ethernet::frame(Mac::BROADCAST, mac, ARP, &announcement))?;
        }
        Ok(())
    }

    /// `who` sends `frame`; the host itself the packet in it.
    pub fn send(&self, who: Who, frame: &[u8]) -> Result<()> {
        if who == Who::Host {
            return self.raw.send(&frame[14..]);
        }
        match self.taps.get(who as usize) {
            Some(tap) if self.guests.contains(&who) => tap.send(frame),
            // Its link is gone; that somebody has it open changes nothing.
            Some(tap) => {
                let _ = tap.send(frame);
                Ok(())
            }
            None => self.ports[who as usize - GUESTS.len()].send(frame),
        }
    }

    /// What has come out since this was last asked, and where.
    pub fn seen(&self) -> Vec<(Who, Mark)> {
        let mut seen = Vec::new();
        for (who, tap) in GUESTS.into_iter().zip(&self.taps) {
            while let Some(frame) = tap.receive() {
                seen.extend(mark::of_frame(&frame).map(|mark| (who, mark)));
            }
        }
        for (who, port) in OTHERS.into_iter().zip(&self.ports) {
            while let Some(frame) = port.receive() {
                seen.extend(mark::of_frame(&frame).map(|mark| (who, mark)));
            }
        }
        for (ethertype, packet) in self.logs.iter().flat_map(Log::receive) {
            seen.extend(mark::of_packet(ethertype, &packet).map(|mark| (Who::Host, mark)));
        }
        seen
    }

    /// How many packets each paragraph has dropped so far, as the rules count them.
    pub fn drops(&mut self) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for (_, namespace) in &mut self.namespaces {
            for drop in guestnet::firewall::drops(namespace)? {
                *counts.entry(drop.paragraph.to_string()).or_default() += drop.packets;
            }
        }
        Ok(counts)
    }
}

/// The namespace of somebody who is no guest. Its kernel says nothing: what is sent and seen there is so on `there`.
fn other(net: &Net, who: Who) -> Result<Netns> {
    let (name, link, mac) = (name(who), link(who), net.party(who).mac);
    let other = Netns::make(&name)?;
    other.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
    sh(&format!(
        "ip link add {link} type veth peer name there netns {name}
         ip -n {name} link set there arp off address {mac} up
         ip link set {link} up"
    ))?;
    Ok(other)
}

/// The host's own addresses and ways.
fn addresses(net: &Net) -> Result<()> {
    sh("ip address add 198.18.0.2/24 dev far0
        ip address add 2001:db8:1f::2/64 dev far0 nodad")?;
    if net.placement == Placement::Bridged {
        // With the protocol of spanning trees the group of bridges ends here too, before any hook.
        sh("ip link add lan0 type bridge mcast_snooping 0 stp_state 1 forward_delay 200
            ip link set lan0 address 02:00:5e:00:53:01 up
            ip address add 192.0.2.1/24 dev lan0
            ip address add 2001:db8:5::1/64 dev lan0 nodad")?;
    }
    if !net.is_bridged() {
        sh("ip address add 198.51.100.2/24 dev uplink
            ip address add 2001:db8:f::2/64 dev uplink nodad
            ip route add default via 198.51.100.1 dev uplink
            ip -6 route add default via 2001:db8:f::1 dev uplink
            ip address add 198.18.1.2/24 dev kin0
            ip address add 2001:db8:2f::2/64 dev kin0 nodad
            ip address add 198.18.2.2/24 dev br-x0
            ip address add 2001:db8:3f::2/64 dev br-x0 nodad")?;
    }
    Ok(())
}

/// The ports of the bridge that are no guest's.
fn join(net: &Net) -> Result<()> {
    for who in [Who::Outside, Who::Kin, Who::Dock] {
        let (link, Party { v4, v6, .. }) = (link(who), net.party(who));
        sh(&format!(
            "ip link set {link} master lan0
             bridge link set dev {link} learning off
             ip route add {v4} dev lan0
             ip route add {v6} dev lan0"
        ))?;
    }
    sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1").map(drop)
}

/// The kernel takes the worst, so that the filter alone is in the way: martian sources, its own, routes that senders chose.
fn worst(netns: &Netns) -> Result<()> {
    for (key, value) in [("rp_filter", "0"), ("accept_local", "1"), ("route_localnet", "1")] {
        for of in ["all", "default"] {
            netns.set_sysctl(&format!("net/ipv4/conf/{of}/{key}"), value)?;
        }
    }
    let links = netns.run(|| -> Result<Vec<_>> {
        let found = std::fs::read_dir("/proc/sys/net/ipv4/conf")?;
        Ok(found.map(|link| Ok(link?.file_name())).collect::<std::io::Result<_>>()?)
    });
    links?.iter().try_for_each(|link| {
        netns.set_sysctl(&format!("net/ipv4/conf/{}/accept_source_route", link.to_string_lossy()), "1")
    })
}

/// Logs what the kernel takes to be for itself, behind all filters.
fn probe(netns: &Netns) -> Result<()> {
    for family in ["inet", "arp"] {
        netns.nft(&format!(
            "table {family} probe {{
                chain input {{
                    type filter hook input priority 2000
                    log group {GROUP}
                }}
            }}"
        ))?;
    }
    Ok(())
}
