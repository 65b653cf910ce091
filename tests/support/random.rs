//! Random hosts, all of them legal.

use std::collections::BTreeMap;

use guestnet::HostSpec;
use guestnet_lab::{Capability, Dice, has};
use serde_json::{Value, json};

use super::spec;

/// What is said for the host as a whole.
#[derive(Clone)]
pub struct Wide {
    pub nat: Value,
    pub firewall: Option<Value>,
    pub bridges: Value,
    /// Whether lists may be about groups.
    pub peers: bool,
}

impl Wide {
    pub fn random(dice: &mut Dice) -> Self {
        let peers = dice.one_in(2);
        let firewall = (!dice.one_in(3)).then(|| {
            let mut web = json!({"name": "web", "ingress": [{"protocol": "tcp", "ports": ["80", "8000-8100"]}]});
            let mut db = json!({"name": "db", "egress": [{"prefixes": ["198.51.100.0/24"]}]});
            if peers {
                db["ingress"] = json!([{"protocol": "tcp", "ports": ["5432"], "groups": ["web"]}]);
                web["ingress"][0]["groups"] = json!(["web", "db"]);
            }
            let mut firewall = json!({"groups": [web, db, {"name": "none"}], "guest_services": [{"protocol": "udp", "ports": ["53"]}]});
            if peers && dice.one_in(2) {
                firewall["tiers"] = json!([{"from": "db", "to": "web", "protocol": "tcp", "ports": ["443"]}]);
            }
            if dice.one_in(2) {
                firewall["host"] = json!({"services": [{"protocol": "tcp", "ports": ["22"]}]});
            }
            firewall
        });
        let tracked = firewall.is_some() || dice.one_in(2);
        let nat = json!({"mode": if tracked { "tracked" } else { "notrack" }});
        let bridges =
            json!([{"name": "br0", "addresses": ["192.168.5.254/24", "2001:db8:5::fe/64"]}, {"name": "br1"}]);
        Self { nat, firewall, bridges, peers }
    }

    /// The settings as a part says them, or leaves them out.
    pub fn part(&self, dice: &mut Dice, guests: &[Value]) -> HostSpec {
        let mut part = json!({"version": 1, "uplink": "uplink", "bridges": self.bridges, "guests": guests});
        if dice.one_in(2) || self.firewall.is_some() {
            part["nat"] = self.nat.clone();
        }
        if let Some(firewall) = &self.firewall {
            part["firewall"] = match dice.below(2) {
                0 => json!({"groups": [{"name": "web"}, {"name": "db"}, {"name": "none"}]}),
                _ => firewall.clone(),
            };
        }
        spec(&part)
    }

    pub fn whole(&self, guests: &BTreeMap<u8, Value>) -> HostSpec {
        let guests: Vec<&Value> = guests.values().collect();
        let mut whole = json!({"version": 1, "uplink": "uplink", "bridges": self.bridges, "nat": self.nat, "guests": guests});
        if let Some(firewall) = &self.firewall {
            whole["firewall"] = firewall.clone();
        }
        spec(&whole)
    }

    /// The guest of a number: its addresses are its own, all else is random.
    pub fn guest(&self, dice: &mut Dice, n: u8) -> Value {
        let name = format!("g{n}");
        let mut interface = json!({"name": format!("tap{n}"), "mac": format!("02:00:5e:00:53:{n:02x}")});
        let place = dice.below(5);
        let mut guest = json!({"name": name});
        if place < 3 {
            guest["placement"] = "host".into();
        }
        let bridged = place == 2;
        let net = if bridged { "192.168.5" } else { dice.of(&["192.168.0", "100.64.0"]) };
        if bridged || !dice.one_in(4) {
            interface["private_ipv4"] = format!("{net}.{n}").into();
            if dice.one_in(2) {
                interface["public_ipv4"] = format!("203.0.113.{n}").into();
            }
        }
        if bridged {
            interface["name"] = format!("port{n}").into();
            interface["bridge"] = "br0".into();
            if interface.get("public_ipv4").is_none() && dice.one_in(2) {
                interface["bridge"] = "br1".into();
            } else if dice.one_in(2) {
                // In the network that the host has an address of there.
                interface["public_ipv6"] = format!("2001:db8:5::{n:x}/128").into();
            }
        } else {
            if dice.one_in(2) {
                let length = dice.of(&[64, 64, 80]);
                interface["public_ipv6"] = format!("2001:db8:1:{n:x}::/{length}").into();
            }
            if dice.one_in(3) {
                interface["routed_ipv6"] = json!([format!("2001:db8:{n:x}00::/{}", dice.of(&[48, 56]))]);
            }
            if dice.one_in(3) {
                guest["proxied"] = json!([format!("2001:db8:1::{n:x}")]);
            }
        }
        if place > 2 && dice.one_in(4) {
            guest["nat"] = json!({"mode": "tracked", "untranslated": ["10.0.0.0/8"]});
        }
        if self.firewall.is_some() {
            let mut access = json!({});
            if !dice.one_in(3) {
                access["groups"] =
                    dice.of(&[json!(["web"]), json!(["db"]), json!(["web", "db"]), json!(["none"])]);
            }
            let mut entries = vec![
                json!({}),
                json!({"protocol": "tcp", "ports": ["22", "1000-1999"]}),
                json!({"protocol": "icmp", "types": [8]}),
                json!({"protocol": "udp", "prefixes": ["10.0.0.0/8", "2001:db8::/32"]}),
                json!({"deny": true, "protocol": "udp", "ports": ["1900"]}),
                json!({"protocol": "icmp", "types": ["3/4"], "limit": {"rate": "10/second"}}),
            ];
            if self.peers {
                entries.push(json!({"protocol": "tcp", "ports": ["9000"], "groups": ["web"]}));
                entries.push(json!({"groups": ["db", "none"], "prefixes": ["192.0.2.0/25"]}));
            }
            for way in ["ingress", "egress"] {
                if dice.one_in(2) {
                    access[way] = json!([dice.of(&entries)]);
                }
            }
            let stateless = dice.one_in(4) || (bridged && has(Capability::BridgeConntrack).is_err());
            if stateless {
                access["stateless"] = true.into();
            } else if dice.one_in(4) && has(Capability::Connlimit).is_ok() {
                access["connections"] = dice.of(&[100, 1000]).into();
            }
            guest["access"] = access;
            if bridged && dice.one_in(4) {
                interface["vlans"] = dice.of(&[json!([20]), json!([1, 4094])]);
            }
            if dice.one_in(4) {
                interface["sources"] = json!([format!("10.{n}.0.0/{}", dice.of(&[16, 24, 20]))]);
            }
        }
        guest["interfaces"] = json!([interface]);
        guest
    }
}
