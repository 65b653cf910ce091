//! Random specs, each of them legal.

use std::collections::BTreeMap;

use guestnet_lab::Dice;
use serde_json::{Value, json};

use crate::support::random::Wide;

/// Others' objects on the host, of every kind that guestnet makes too.
pub const OTHERS: &str = "
    ip link add theirs0 type veth peer name theirs1
    ip link set theirs0 up
    ip link set theirs1 up
    ip address add 172.31.0.1/24 dev theirs0
    ip -6 address add 2001:db8:aaaa::1/64 dev theirs0 nodad
    ip route add 172.30.0.0/16 via 172.31.0.2 dev theirs0
    ip route add 172.29.0.0/16 via 172.31.0.2 dev theirs0 tos 0x10
    ip route add blackhole 172.28.0.0/16 table 77
    ip rule add from 172.31.0.0/24 table 77
    ip -6 route add 2001:db8:bbbb::/48 via 2001:db8:aaaa::2 dev theirs0
    ip neigh add proxy 172.31.0.9 dev theirs0
    ip neigh add 172.31.0.2 lladdr 02:00:00:00:00:77 nud permanent dev theirs0
    ip netns add theirs
    nft 'add table inet theirs; add set inet theirs s { type ipv4_addr; elements = { 172.31.0.7 } }
        add chain inet theirs c { type filter hook forward priority 5; policy accept; }
        add rule inet theirs c ip saddr @s counter accept'
    sysctl -qw net.ipv4.conf.theirs0.send_redirects=0";

/// A host that can be described in parts.
pub struct Wanted {
    wide: Wide,
    pub guests: BTreeMap<u8, Value>,
    objects: Value,
    tunnels: bool,
}

impl Wanted {
    pub fn random(dice: &mut Dice, tunnels: bool) -> Self {
        let mut wide = Wide::random(dice);
        vary_bridges(dice, &mut wide.bridges);
        if let Some(firewall) = wide.firewall.as_mut().filter(|_| dice.one_in(3)) {
            firewall["log"] = dice.of(&[json!({}), json!({"group": 7, "rate": 100})]);
        }
        let mut wanted = Self { wide, guests: BTreeMap::new(), objects: objects(dice), tunnels };
        for n in 1..=1 + dice.below(4) {
            wanted.put(dice, u8::try_from(n).unwrap());
        }
        wanted
    }

    /// Another host with the same settings: some guests are others, some go and some come.
    pub fn another(&self, dice: &mut Dice) -> Self {
        let Self { wide, guests, tunnels, .. } = self;
        let mut other =
            Self { wide: wide.clone(), guests: guests.clone(), objects: objects(dice), tunnels: *tunnels };
        for n in 1..=6 {
            match dice.below(4) {
                0 => drop(other.guests.remove(&n)),
                1 => other.put(dice, n),
                _ => {}
            }
        }
        other
    }

    /// Describes the guest of a number, by chance.
    pub fn put(&mut self, dice: &mut Dice, n: u8) {
        let mut guest = self.wide.guest(dice, n);
        vary(dice, n, &mut guest);
        if self.tunnels {
            join(dice, n, &mut guest);
        }
        self.guests.insert(n, guest);
    }

    /// The whole host.
    pub fn spec(&self) -> Value {
        let guests: Vec<&Value> = self.guests.values().collect();
        let mut spec = self.part(&guests);
        spec["objects"] = self.objects.clone();
        spec
    }

    /// `guests` alone, and what the host as a whole says.
    pub fn part(&self, guests: &[&Value]) -> Value {
        let Wide { nat, bridges, firewall, .. } = &self.wide;
        let mut spec =
            json!({"version": 1, "uplink": "uplink", "bridges": bridges, "nat": nat, "guests": guests});
        if let Some(firewall) = firewall {
            spec["firewall"] = firewall.clone();
        }
        spec
    }
}

fn vary_bridges(dice: &mut Dice, bridges: &mut Value) {
    let bridge = &mut bridges[0];
    if dice.one_in(2) {
        bridge["options"] = dice.of(&[
            json!({"stp": true}),
            json!({"ageing": 60}),
            json!({"mcast_snooping": false, "ageing": 0}),
        ]);
    }
    if dice.one_in(3) {
        bridge["mtu"] = 1500.into();
        bridge["mac"] = "02:00:5e:00:54:01".into();
    }
}

/// Fields that each guest may have, whatever else it is.
fn vary(dice: &mut Dice, n: u8, guest: &mut Value) {
    let interface = &mut guest["interfaces"][0];
    let bridged = interface.get("bridge").is_some();
    if !bridged && dice.one_in(3) {
        interface["mtu"] = dice.of(&[1280, 1400, 9000]).into();
    }
    if dice.one_in(3) {
        interface["serve"] = dice.of(&[
            json!(false),
            json!({"dns": ["192.0.2.53", "2001:db8::53"], "lease": "1h"}),
            json!({"interval": 60, "router_lifetime": 1800, "prefix_lifetime": "2h"}),
        ]);
    }
    if !bridged && interface.get("private_ipv4").is_some() && dice.one_in(3) {
        let gateway = interface["private_ipv4"].as_str().unwrap().rsplit_once('.').unwrap().0;
        interface["gateway_ipv4"] = format!("{gateway}.254/24").into();
    }
    if !bridged && dice.one_in(3) {
        interface["private_ipv6"] = format!("fd00:0:0:{n:x}::/64").into();
    }
    if dice.one_in(4) {
        interface["kind"] =
            dice.of(&[json!({"tap": {"owner": 1000}}), json!({"tap": {"multi_queue": true, "group": 5}})]);
    }
    if bridged && dice.one_in(2) {
        interface["port"] =
            dice.of(&[json!({"isolated": true}), json!({"hairpin": true}), json!({"flood": false})]);
    }
    if guest.get("access").is_some() && dice.one_in(4) {
        guest["interfaces"][0]["link_local"] = "any".into();
    }
    if guest["placement"] != "host" && dice.one_in(3) {
        guest["transit"] = dice.of(&[
            json!({"mtu": 9000}),
            json!({"host_ipv4": "169.254.7.1", "guest_ipv4": "169.254.7.2"}),
            json!({"guest_mac": format!("02:00:5e:00:55:{n:02x}")}),
        ]);
    }
    if guest["placement"] != "host" && dice.one_in(2) {
        guest["endpoint"] = format!("2001:db8:e::{n:x}").into();
    }
}

/// A tunnel to a guest elsewhere.
fn join(dice: &mut Dice, n: u8, guest: &mut Value) {
    if guest["placement"] == "host" {
        return;
    }
    guest["endpoint"] = format!("2001:db8:e::{n:x}").into();
    let mut tunnel = json!({
        "local": format!("2001:db8:e::{n:x}"), "remote": format!("2001:db8:f::{n:x}"),
        "secret": "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa",
        "pairs": [{"local": format!("fd00:0:0:{n:x}::/64"), "remote": format!("fd00:1:0:{n:x}::/64")}],
    });
    for (field, value) in [
        ("generation", json!(3)),
        ("shape", json!("per_family")),
        ("esn", json!(false)),
        ("replay_window", json!(64)),
        ("priority", json!(7)),
        ("clamp_mss", json!(true)),
    ] {
        if dice.one_in(3) {
            tunnel[field] = value;
        }
    }
    guest["tunnels"] = json!([tunnel]);
}

/// Objects that are given directly.
fn objects(dice: &mut Dice) -> Value {
    let mut host = json!({});
    if dice.one_in(2) {
        host["links"] = json!([
            {"name": "pair0", "kind": {"veth": {"peer": "pair1"}}, "mac": "02:00:5e:00:56:01"},
            {"name": "pair1", "kind": {"veth": {"peer": "pair0"}}, "mac": "02:00:5e:00:56:03"},
        ]);
        host["addresses"] = json!([
            {"dev": "pair0", "address": format!("172.16.{}.1/24", dice.below(9))},
            {"dev": "pair0", "address": "2001:db8:77::1/64", "nodad": true},
        ]);
        host["permanent_neighbours"] =
            json!([{"address": "2001:db8:77::2", "dev": "pair0", "mac": "02:00:5e:00:56:02"}]);
        host["routes"] = json!([
            {"to": "2001:db8:99::/48", "via": "2001:db8:77::2", "dev": "pair0", "mtu": 1400},
            {"to": "10.77.0.0/16", "dev": "pair0", "metric": 20 + dice.below(9)},
        ]);
    } else {
        host["routes"] = json!([{"to": "10.78.0.0/16", "kind": dice.of(&["blackhole", "unreachable"])}]);
    }
    if dice.one_in(3) {
        host["sysctls"] = json!([{"key": "net.ipv4.ip_default_ttl", "value": dice.of(&["65", "66"])}]);
    }
    if dice.one_in(3) {
        host["neighbours"] =
            json!([{"address": format!("2001:db8:1::{}", 200 + dice.below(9)), "dev": "uplink"}]);
    }
    let mut objects = json!({"host": host});
    if dice.one_in(3) {
        objects["files"] = json!([{"path": "note.txt", "content": dice.of(&["a\n", "b\n"]), "mode": "0640"}]);
    }
    objects
}
