//! The spec of the lab.

use std::net::Ipv4Addr;

use anyhow::Result;
use guestnet::HostSpec;
use guestnet::firewall::TunnelEnds;
use ipnet::Ipv6Net;
use serde_json::{Value, json};

use crate::net::{Net, Party, Placement, Who};

/// The name of a guest's tap.
pub fn tap(guest: Who) -> String {
    format!("tap{}", name(guest))
}

/// The name of a guest, and of its namespace.
pub fn name(guest: Who) -> String {
    format!("{guest:?}").to_lowercase()
}

/// How much of the spec is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// The guests, without a filter.
    Guests,
    /// And the filter.
    Filter,
    /// And the tunnels of guest A.
    Tunnels,
}

/// The spec of `guests`.
pub fn spec(net: &Net, guests: &[Who], extent: Extent) -> Result<HostSpec> {
    let filtered = extent >= Extent::Filter;
    let guests: Vec<Value> = guests.iter().map(|who| guest(net, *who, extent)).collect();
    let mut spec = json!({ "version": 1, "guests": guests });
    if net.placement == Placement::Bridged {
        spec["bridges"] = json!([{ "name": "lan0", "existing": true }]);
    } else if net.is_bridged() {
        spec["bridges"] = json!([{
            "name": "lan0", "mac": "02:00:5e:00:53:01", "addresses": ["192.0.2.1/24", "2001:db8:5::1/64"],
            "options": { "mcast_snooping": false },
        }]);
    } else {
        spec["uplink"] = "uplink".into();
    }
    if filtered {
        spec["firewall"] = json!({
            "groups": [
                {
                    "name": "clients",
                    "ingress": [{ "deny": true, "protocol": "udp", "ports": ["4060"] }],
                    "egress": [{ "deny": true, "protocol": "udp", "ports": ["4050"] }],
                },
                { "name": "front" },
                { "name": "servers", "ingress": [udp(&["7001"])], "egress": [udp(&["7011"])] },
                { "name": "stores", "ingress": [udp(&["7002"])], "egress": [udp(&["7012"])] },
            ],
            "tiers": [{ "from": "front", "to": "servers", "protocol": "udp", "ports": ["5432"] }],
            "trusted": ["kin0", "br-*"],
            "guest_services": [udp(&["53"])],
            "host": { "services": [{ "protocol": "tcp", "ports": ["22"] }] },
        });
    }
    Ok(HostSpec::from_json(&spec.to_string())?)
}

fn udp(ports: &[&str]) -> Value {
    json!({ "protocol": "udp", "ports": ports })
}

fn guest(net: &Net, who: Who, extent: Extent) -> Value {
    let filtered = extent >= Extent::Filter;
    let Party { mac, v4, v6, delegated, delegated_length, public } = net.party(who);
    let prefix = |address, length| Ipv6Net::new_assert(address, length).trunc().to_string();
    let mut interface = json!({
        "name": tap(who), "mac": mac.to_string(), "private_ipv4": v4, "serve": false,
        "routed_ipv6": [prefix(delegated, delegated_length)],
    });
    if let Some(public) = public {
        interface["public_ipv4"] = json!(public);
    }
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
        if net.is_bridged() {
            interface["vlans"] = match who {
                Who::A => json!([20]),
                Who::B => json!([20, 21]),
                _ => json!([]),
            };
        }
        if who == Who::B {
            interface["sources"] = json!(["10.9.0.0/19"]);
            // A bridge that others make has routers that nobody knows.
            if net.placement != Placement::Bridged {
                interface["link_local"] = "any".into();
            }
        }
    }
    let placement = if net.is_own() { "own" } else { "host" };
    let mut guest = json!({ "name": name(who), "placement": placement, "interfaces": [interface] });
    if who == Who::A {
        let tunnels = net.tunnels();
        if net.is_own() {
            guest["endpoint"] = json!(tunnels[0].local);
        }
        if extent == Extent::Tunnels {
            guest["tunnels"] = tunnels.iter().enumerate().map(|(n, ends)| tunnel(v4, n, ends)).collect();
        }
    }
    guest
}

fn tunnel(own: Ipv4Addr, n: usize, ends: &TunnelEnds) -> Value {
    let remote = format!("192.168.{}.0/24", 70 + n);
    json!({
        "local": ends.local, "remote": ends.remote,
        "pairs": [{ "local": format!("{own}/32"), "remote": remote }],
        "secret": "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa",
    })
}

/// What the guests may send and get.
fn access(who: Who, connections: bool) -> Value {
    match who {
        Who::A => json!({ "groups": ["clients"], "ingress": [{}], "egress": [{}], "stateless": true }),
        Who::B => json!({ "ingress": [{}], "egress": [{}], "stateless": true }),
        Who::D => json!({
            "groups": ["front"],
            "ingress": [
                { "protocol": "tcp", "ports": ["80", "8000-8100", "8050-8200"] },
                { "protocol": "udp", "ports": ["5353"], "groups": ["clients"] },
                { "protocol": "udp", "ports": ["6000"], "prefixes": ["203.0.113.0/25", "203.0.113.0/24"] },
                { "protocol": "udp", "ports": ["6001"], "prefixes": ["203.0.116.0/22", "2001:db8:f0::/45"] },
                { "protocol": "icmp", "types": [13, "40/2"] },
                { "protocol": "icmpv6", "types": ["200/2"] },
                { "deny": true, "protocol": "tcp", "ports": ["8033"] },
                { "deny": true, "protocol": "udp", "prefixes": ["203.0.113.64/26"] },
            ],
            "egress": [
                udp(&["53"]),
                { "protocol": "udp", "ports": ["6001"], "prefixes": ["203.0.116.0/22", "2001:db8:f0::/45"] },
                { "deny": true, "protocol": "udp", "ports": ["53"], "prefixes": ["192.0.2.0/24"] },
            ],
            "stateless": !connections,
        }),
        Who::E => json!({ "groups": ["servers", "stores"], "stateless": !connections }),
        _ => json!({ "stateless": !connections }),
    }
}
