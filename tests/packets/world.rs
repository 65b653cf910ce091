//! The lab: a host with four guests, who are open taps, and an outside, which is a packet socket. None of them answers,
//! so that what comes out is what was sent.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, ensure};
use guestnet::core::Namespace;
use guestnet::{Host, HostSpec};
use guestnet_lab::craft::arp::Arp;
use guestnet_lab::craft::ethernet;
use guestnet_lab::craft::ipv6::solicited_node;
use guestnet_lab::craft::mark::{self, Mark};
use guestnet_lab::frame::ARP;
use guestnet_lab::{Capability, Log, Mac, Netns, Port, Tap, has, note, sh, skip};
use serde_json::{Value, json};

use crate::net::{GUESTS, Net, Party, Placement, Who};

const GROUP: u16 = 4711;

/// The lab.
pub struct World {
    /// Who is there.
    pub net: Net,
    host: Host,
    _outside: Netns,
    taps: Vec<Tap>,
    port: Port,
    log: Log,
    namespace: Namespace,
}

impl World {
    /// Makes it, without a filter.
    pub fn make(placement: Placement) -> Result<Self> {
        let outside = Netns::make("outside")?;
        let here = Netns::here()?;
        let bridged = placement != Placement::Routed;
        // Its kernel says nothing: the outside is what is sent and seen on `isp`.
        outside.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        // It takes the worst, so that the filter alone is in the way: martian sources, and its own.
        sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
              net.ipv4.conf.all.accept_local=1 net.ipv4.conf.all.route_localnet=1 \
              net.ipv6.auto_flowlabels=0 net.ipv6.conf.default.accept_dad=0
            ip link add uplink type veth peer name isp netns outside
            ip -n outside link set isp arp off address 02:00:5e:00:53:0e up
            ip link set uplink up")?;
        for call in ["iptables", "ip6tables", "arptables"] {
            let value = if placement == Placement::BridgedCalled { "1" } else { "0" };
            let set = here.set_sysctl(&format!("net/bridge/bridge-nf-call-{call}"), value);
            if placement == Placement::BridgedCalled && set.is_err() {
                skip("br_netfilter is not loaded");
            }
        }
        if bridged {
            // Of the groups that no bridge forwards (IEEE 802.1Q table 8-1), LLDP's is let through, to be dropped by us.
            sh("ip link add lan0 type bridge mcast_snooping 0 group_fwd_mask 0x4000
                ip link set uplink master lan0
                bridge link set dev uplink learning off
                ip link set lan0 address 02:00:5e:00:53:01 up
                ip address add 192.0.2.1/24 dev lan0
                ip address add 2001:db8:5::1/64 dev lan0 nodad")?;
        } else {
            sh("ip address add 198.51.100.2/24 dev uplink
                ip address add 2001:db8:f::2/64 dev uplink nodad
                ip route add default via 198.51.100.1 dev uplink
                ip -6 route add default via 2001:db8:f::1 dev uplink")?;
        }
        let mut host = Host::open()?;
        // Names and addresses are known before the host's MAC addresses are.
        let connections = !bridged || has(Capability::BridgeConntrack).is_ok();
        if !connections {
            note("connections: this kernel knows none in bridges");
        }
        let plain = Net::new(placement, vec![Mac([0; 6]); 6], connections);
        host.apply(&spec(&plain, false)?)?;
        let link_of = |who: Who| match (who, bridged) {
            (_, true) => "lan0".to_owned(),
            (Who::Outside, false) => "uplink".to_owned(),
            (Who::Host, false) => tap(Who::A),
            (guest, false) => tap(guest),
        };
        let gateways: Result<Vec<Mac>> =
            crate::net::ALL.iter().map(|who| Mac::of(&here, &link_of(*who))).collect();
        let net = Net::new(placement, gateways?, connections);
        for who in GUESTS.into_iter().chain([Who::Outside]) {
            let Party { mac, v4, v6, .. } = net.party(who);
            // Known for good, so that no spoofed frame makes the next one go astray.
            for address in [IpAddr::from(v4), v6.into(), net.party(who).local().into()] {
                here.ip(&format!("neigh replace {address} lladdr {mac} dev {} nud permanent", link_of(who)))?;
            }
        }
        // Groups of agents that hosts may have: DHCPv6 servers and MLDv2 routers.
        let duplicates = solicited_node(net.party(Who::A).v6);
        for group in ["ff02::1:2", "ff02::16", "ff02::2", &duplicates.to_string()] {
            here.ip(&format!("address add {group}/128 dev {} autojoin", link_of(Who::A)))?;
        }
        // Where the host takes a packet to be for itself, behind all filters.
        for family in ["inet", "arp"] {
            here.nft(&format!(
                "table {family} probe {{
                    chain input {{
                        type filter hook input priority 2000
                        log group {GROUP}
                    }}
                }}"
            ))?;
        }
        let taps = GUESTS.iter().map(|who| Tap::open(&here, &tap(*who))).collect::<Result<_>>()?;
        let port = Port::open(&outside, "isp")?;
        let log = Log::listen(&here, GROUP)?;
        let world = Self { net, host, _outside: outside, taps, port, log, namespace: Namespace::current()? };
        Ok(world)
    }

    /// What is asked for, with the filter.
    pub fn spec(&self) -> Result<HostSpec> {
        spec(&self.net, true)
    }

    /// Puts the filter in force.
    pub fn filter(&mut self) -> Result<()> {
        let spec = self.spec()?;
        self.host.apply(&spec)?;
        let left = self.host.verify(&spec)?;
        ensure!(left.is_empty(), "after the apply:\n{left}");
        if self.net.is_bridged() {
            sh("bridge link set dev uplink learning on")?;
        }
        Ok(())
    }

    /// Everybody announces its address, so that a bridge knows who is where.
    pub fn announce(&self) -> Result<()> {
        for who in GUESTS.into_iter().chain([Who::Outside]) {
            let Party { mac, v4, .. } = self.net.party(who);
            let announcement = Arp::request(mac, v4, v4).bytes();
            self.send(who, &ethernet::frame(Mac::BROADCAST, mac, ARP, &announcement))?;
        }
        Ok(())
    }

    /// `who` sends `frame`.
    pub fn send(&self, who: Who, frame: &[u8]) -> Result<()> {
        match who {
            Who::Outside => self.port.send(frame),
            Who::Host => anyhow::bail!("the host sends nothing by itself"),
            guest => self.taps[guest as usize].send(frame),
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
        while let Some(frame) = self.port.receive() {
            seen.extend(mark::of_frame(&frame).map(|mark| (Who::Outside, mark)));
        }
        for (ethertype, packet) in self.log.receive() {
            seen.extend(mark::of_packet(ethertype, &packet).map(|mark| (Who::Host, mark)));
        }
        seen
    }

    /// How many packets each paragraph has dropped so far, as the rules count them.
    pub fn drops(&mut self) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for drop in guestnet::firewall::drops(&mut self.namespace)? {
            *counts.entry(drop.paragraph.to_string()).or_default() += drop.packets;
        }
        Ok(counts)
    }
}

/// The name of a guest's tap.
pub fn tap(guest: Who) -> String {
    format!("tap{}", format!("{guest:?}").to_lowercase())
}

fn spec(net: &Net, filtered: bool) -> Result<HostSpec> {
    let guest = |who: Who| {
        let Party { mac, v4, v6, delegated, .. } = net.party(who);
        let prefix = |address, length| ipnet::Ipv6Net::new_assert(address, length).trunc().to_string();
        let mut interface = json!({
            "name": tap(who), "mac": mac.to_string(), "private_ipv4": v4, "serve": false,
            "routed_ipv6": [prefix(delegated, 56)],
        });
        if net.is_bridged() {
            interface["bridge"] = "lan0".into();
            // Without a filter a spoofed frame would lead the next ones astray. With it, it must not.
            interface["port"] = json!({ "learning": filtered });
            interface["public_ipv6"] = prefix(v6, 128).into();
        } else {
            interface["gateway_ipv4"] = "192.0.2.1/24".into();
            interface["public_ipv6"] = prefix(v6, 64).into();
        }
        if filtered {
            interface["access"] = access(who, net.connections);
        }
        json!({ "name": format!("{who:?}").to_lowercase(), "placement": "host", "interfaces": [interface] })
    };
    let mut spec = json!({ "version": 1, "guests": GUESTS.map(guest) });
    if net.is_bridged() {
        spec["bridges"] = json!([{ "name": "lan0", "existing": true }]);
    } else {
        spec["uplink"] = "uplink".into();
    }
    if filtered {
        spec["firewall"] = json!({
            "groups": [{ "name": "clients" }],
            "guest_services": [{ "protocol": "udp", "ports": ["53"] }],
            "host": { "services": [{ "protocol": "tcp", "ports": ["22"] }] },
        });
    }
    Ok(HostSpec::from_json(&spec.to_string())?)
}

/// What the guests may send and get.
fn access(who: Who, connections: bool) -> Value {
    match who {
        Who::A => json!({ "groups": ["clients"], "ingress": [{}], "egress": [{}], "stateless": true }),
        Who::B => json!({ "ingress": [{}], "egress": [{}], "stateless": true }),
        Who::D => json!({
            "ingress": [
                { "protocol": "tcp", "ports": ["80", "8000-8100", "8050-8200"] },
                { "protocol": "udp", "ports": ["5353"], "groups": ["clients"] },
                { "protocol": "udp", "ports": ["6000"], "prefixes": ["203.0.113.0/25", "203.0.113.0/24"] },
                { "protocol": "icmp", "types": [13] },
            ],
            "egress": [{ "protocol": "udp", "ports": ["53"] }],
            "stateless": !connections,
        }),
        _ => json!({ "stateless": !connections }),
    }
}
