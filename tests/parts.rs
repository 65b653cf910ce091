//! To add a part is to apply the whole with it, and to remove one to apply the whole without it: on random hosts, after
//! random calls.

mod support;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, has, lab_test, need};
use serde_json::{Value, json};
use support::{dump, host, same, sh, spec, with_uplink, without_indexes};

/// Numbers that follow from a seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    /// Whether one of `n` is thrown.
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()].clone()
    }
}

/// What is said for the host as a whole.
#[derive(Clone)]
struct Wide {
    nat: Value,
    firewall: Option<Value>,
    bridges: Value,
    /// Whether lists may be about groups.
    peers: bool,
}

impl Wide {
    fn random(dice: &mut Dice) -> Self {
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
    fn part(&self, dice: &mut Dice, guests: &[Value]) -> HostSpec {
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

    fn whole(&self, guests: &BTreeMap<u8, Value>) -> HostSpec {
        let guests: Vec<&Value> = guests.values().collect();
        let mut whole = json!({"version": 1, "uplink": "uplink", "bridges": self.bridges, "nat": self.nat, "guests": guests});
        if let Some(firewall) = &self.firewall {
            whole["firewall"] = firewall.clone();
        }
        spec(&whole)
    }

    /// The guest of a number: its addresses are its own, all else is random.
    fn guest(&self, dice: &mut Dice, n: u8) -> Value {
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
            if dice.one_in(4) || (bridged && has(Capability::BridgeConntrack).is_err()) {
                access["stateless"] = true.into();
            }
            guest["access"] = access;
            if dice.one_in(4) {
                interface["sources"] = json!([format!("10.{n}.0.0/{}", dice.of(&[16, 24, 20]))]);
            }
        }
        guest["interfaces"] = json!([interface]);
        guest
    }
}

/// Random calls, after each of which the host is as if the whole had been applied.
fn random_calls(seed: u64, calls: usize) {
    let mut dice = Dice::new(seed);
    let wide = Wide::random(&mut dice);
    let mut guests: BTreeMap<u8, Value> = BTreeMap::new();
    let mut host = host();
    let mut told = Vec::new();
    for n in 1..=dice.below(4) {
        let n = u8::try_from(n).unwrap();
        guests.insert(n, wide.guest(&mut dice, n));
    }
    host.apply(&wide.whole(&guests)).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    for _ in 0..calls {
        let before = told.len();
        let some: Vec<u8> =
            (0..1 + dice.below(2)).map(|_| u8::try_from(1 + dice.below(6)).unwrap()).collect();
        match dice.below(12) {
            0..=4 => {
                let mut added = Vec::new();
                for n in some {
                    let guest = guests.get(&n).filter(|_| dice.one_in(3)).cloned();
                    let guest = guest.unwrap_or_else(|| wide.guest(&mut dice, n));
                    told.push(format!("add {guest}"));
                    added.retain(|known: &Value| known["name"] != guest["name"]);
                    added.push(guest.clone());
                    guests.insert(n, guest);
                }
                let part = wide.part(&mut dice, &added);
                let done = host.add(&part);
                done.unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", told.join("\n")));
                let left = host.plan_add(&part).unwrap();
                assert!(left.is_empty(), "seed {seed}: {left}\n{}", told.join("\n"));
            }
            5..=8 => {
                let mut gone = Vec::new();
                for n in some {
                    // What it is called says which it is.
                    let guest = guests.remove(&n).filter(|_| dice.one_in(2));
                    let guest = guest.unwrap_or_else(|| json!({"name": format!("g{n}")}));
                    told.push(format!("remove {guest}"));
                    gone.retain(|known: &Value| known["name"] != guest["name"]);
                    gone.push(guest);
                }
                let part = wide.part(&mut dice, &gone);
                let done = host.remove(&part);
                done.unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", told.join("\n")));
            }
            9 => {
                told.push("open again".into());
                host = Host::open().unwrap();
            }
            10 => {
                told.push("the ruleset is flushed, and the whole applied".into());
                sh("nft flush ruleset");
                host.apply(&wide.whole(&guests)).unwrap();
            }
            _ => {
                let loss = dice.of(&[
                    "rm -rf /run/guestnet/.host/*.whole",
                    "for f in /run/guestnet/.host/*.whole/*; do echo x > $f; done",
                    "rm -f /run/guestnet/.host/*.whole/[0-9a-f][0-9a-f]",
                ]);
                told.push(format!("{loss}, and the whole applied"));
                sh(loss);
                host.apply(&wide.whole(&guests)).unwrap();
            }
        }
        let left = host.verify(&wide.whole(&guests)).unwrap();
        assert!(
            left.is_empty(),
            "seed {seed}, {:?} left:\n{left}\nafter:\n{}\nfirewall {:?}",
            &told[before..],
            told.join("\n"),
            wide.firewall
        );
    }
    let by_parts = dump();
    host.remove_all().unwrap();
    host.apply(&wide.whole(&guests)).unwrap();
    same(&without_settings(&dump()), &without_settings(&by_parts));
    host.remove_all().unwrap();
    assert_eq!(
        sh("ls -d /run/guestnet/.host/*.whole 2>&1 || true").lines().filter(|l| l.starts_with('/')).count(),
        0
    );
}

lab_test! {
    fn a_part_is_a_part_of_the_whole() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _outside = with_uplink();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let given = std::env::var("GUESTNET_SEED").ok().and_then(|seed| seed.parse().ok());
        let calls = std::env::var("GUESTNET_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(12);
        match given {
            Some(seed) => random_calls(seed, calls),
            None => (1..=6).chain([now.as_secs(), u64::from(now.subsec_nanos())]).for_each(|seed| random_calls(seed, calls)),
        }
    }
}

/// A dump without what stays with a link when its guest changes, whether the change came by a part or with the whole: the
/// multicast route that the kernel makes with the first IPv6 address, and three settings of a link that are the host's to
/// choose once they are no longer asked for. Without IPv4 `proxy_delay` and `rp_filter` mean nothing, without IPv6 nothing
/// is served by `disable_ipv6=0`; a guest that loses its public address keeps a loose `rp_filter`.
fn without_settings(dump: &str) -> String {
    const STAY: [&str; 3] = ["/proxy_delay", "/rp_filter", "/disable_ipv6"];
    let of_link = |line: &str| {
        let key = line.split(' ').next().unwrap_or_default();
        key.starts_with("/proc/sys/net/") && STAY.iter().any(|name| key.ends_with(name))
    };
    let stays = |line: &str| of_link(line) || line.starts_with("multicast ff00::/8");
    let lines = without_indexes(dump);
    lines.lines().filter(|line| !stays(line)).map(|line| format!("{line}\n")).collect()
}
