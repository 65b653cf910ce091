//! Sysctls while plans are carried out: what is the same before and after is never seen otherwise, and no link of ours is up
//! with settings that it shall not have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use guestnet_lab::{Capability, Dice, lab_test, need};
use serde_json::{Value, json};

use crate::support::{guest, guest_in_host, host, sh, with_uplink};

const IPV4: [&str; 7] = [
    "forwarding",
    "rp_filter",
    "proxy_arp",
    "accept_redirects",
    "send_redirects",
    "accept_local",
    "accept_source_route",
];
const IPV6: [&str; 6] =
    ["forwarding", "accept_ra", "proxy_ndp", "disable_ipv6", "accept_redirects", "accept_source_route"];
/// Links that are there all the while: of others, a bridge that is nobody's router, and that of a guest that stays.
const LINKS: [&str; 7] = ["all", "default", "lo", "uplink", "theirs", "br0", "tapstays"];

/// A host on whose link `theirs` nothing is forwarded and strict sources are asked for, be it a router or not.
fn random(dice: &mut Dice, routes: bool) -> Value {
    let mut sysctls = vec![
        json!({"key": "net/ipv4/conf/theirs/forwarding", "value": "0"}),
        json!({"key": "net/ipv6/conf/theirs/forwarding", "value": "0"}),
        json!({"key": "net/ipv4/conf/theirs/rp_filter", "value": "1"}),
    ];
    if dice.one_in(2) {
        sysctls.push(json!({"key": "net/ipv4/ip_default_ttl", "value": dice.of(&["64", "65"])}));
    }
    let mut guests = Vec::new();
    if routes {
        // Asked for as long as there are guests.
        sysctls.push(json!({"key": "net/ipv4/conf/all/accept_source_route", "value": "0"}));
        guests.extend([guest_in_host("stays", 7), remade(dice)]);
        if dice.one_in(2) {
            guests.push(guest("own", 9));
        }
        guests.extend((0..dice.of(&[2, 30])).map(|n| guest_in_host(&format!("crowd{n}"), 100 + n)));
    }
    if dice.one_in(2) {
        guests.push(json!({"name": "port", "placement": "host", "interfaces": [{
            "name": "port0", "bridge": "br0", "mac": "02:00:5e:00:53:50", "private_ipv4": "192.168.5.80"}]}));
    }
    json!({ "version": 1, "uplink": "uplink", "bridges": [{"name": "br0"}], "guests": guests,
        "objects": {"host": {"sysctls": sysctls}} })
}

/// A guest whose link is made anew when it is another.
fn remade(dice: &mut Dice) -> Value {
    let mut guest = guest_in_host("remade", 8);
    guest["interfaces"][0]["kind"] = json!({"tap": {"multi_queue": dice.one_in(2)}});
    guest
}

/// A host where what new links get is the opposite of what those of guests need.
fn adverse() {
    sh("ip link add theirs type veth peer name theirs1
        ip link set theirs up
        ip link set theirs1 up
        sysctl -qw net.ipv4.conf.default.rp_filter=1 net.ipv6.conf.default.accept_ra=2
        sysctl -qw net.ipv4.conf.all.accept_source_route=1 net.ipv4.conf.default.proxy_arp=0 net.ipv4.conf.default.accept_local=1");
}

fn open_all() -> BTreeMap<String, File> {
    let of = |family: &'static str, names: &'static [&'static str]| {
        LINKS
            .iter()
            .flat_map(move |link| names.iter().map(move |name| format!("{family}/conf/{link}/{name}")))
    };
    let keys = of("ipv4", &IPV4).chain(of("ipv6", &IPV6)).chain(["ipv4/ip_default_ttl".to_owned()]);
    keys.filter_map(|key| Some((key.clone(), File::open(format!("/proc/sys/net/{key}")).ok()?))).collect()
}

/// The value of an open file; `None` where its link has gone.
fn value(file: &File) -> Option<String> {
    let mut buffer = [0; 16];
    let length = file.read_at(&mut buffer, 0).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
}

type Values<'a> = BTreeMap<&'a String, String>;
type Seen<'a> = BTreeMap<&'a String, BTreeSet<String>>;

/// Sysctls that were the same `before` and `after` and were `seen` otherwise.
fn otherwise(before: &Values<'_>, seen: &Seen<'_>, after: &Values<'_>) -> Vec<String> {
    // With that of the host the kernel turns forwarding on for all links; those that shall not forward follow in another round.
    let whole = ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"].map(str::to_owned);
    let turned = whole.iter().any(|key| before.get(key) != after.get(key));
    before
        .iter()
        .filter(|(key, value)| after.get(*key) == Some(value))
        .filter(|(key, _)| !(turned && key.ends_with("/forwarding")))
        .filter_map(|(key, value)| Some((key, value, seen.get(key)?)))
        .filter(|(_, value, seen)| seen.iter().any(|seen| seen != *value))
        .map(|(key, value, seen)| format!("{key}={value}: {seen:?}"))
        .collect()
}

/// Settings that links of ours have whenever they are up. They are few: each is looked at while its link lives but moments.
const WANTED: [(&str, &[(&str, &str)]); 3] =
    [("tapremade", &ROUTED), ("tapstays", &ROUTED), ("port0", &[("ipv6/conf/LINK/disable_ipv6", "1")])];
const ROUTED: [(&str, &str); 8] = [
    ("ipv4/conf/all/accept_source_route", "0"),
    ("ipv4/conf/LINK/forwarding", "1"),
    ("ipv4/conf/LINK/proxy_arp", "1"),
    ("ipv4/conf/LINK/rp_filter", "2"),
    ("ipv4/conf/LINK/send_redirects", "0"),
    ("ipv4/conf/LINK/accept_local", "0"),
    ("ipv6/conf/LINK/forwarding", "1"),
    ("ipv6/conf/LINK/accept_ra", "0"),
];

/// The index of `link`, if it is up.
fn up(link: &str) -> Option<String> {
    let read = |name| fs::read_to_string(Path::new("/sys/class/net").join(link).join(name)).ok();
    let flags = u32::from_str_radix(read("flags")?.trim().strip_prefix("0x")?, 16).ok()?;
    (flags & 1 == 1).then(|| read("ifindex"))?
}

/// Settings with which a link was up; how many were seen at all is counted.
fn wrong_ones(seen: &mut usize) -> Vec<String> {
    let mut wrong = Vec::new();
    for (link, settings) in WANTED {
        for (key, wanted) in settings {
            let key = key.replace("LINK", link);
            let before = up(link);
            let found = fs::read_to_string(format!("/proc/sys/net/{key}")).unwrap_or_default();
            // The same link has been up all the while.
            if before.is_some() && before == up(link) && !found.is_empty() {
                *seen += 1;
                if found.trim() != *wanted {
                    wrong.push(format!("{key}={}", found.trim()));
                }
            }
        }
    }
    wrong
}

/// Specs by chance of which some make the host a router, each applied to what the one before has made.
fn pairs(seed: u64) -> Vec<[Value; 2]> {
    let mut dice = Dice::new(seed);
    let specs: Vec<Value> = (0..6)
        .map(|_| dice.below(4) > 0)
        .collect::<Vec<_>>()
        .into_iter()
        .map(|routes| random(&mut dice, routes))
        .collect();
    specs.windows(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect()
}

lab_test! {
    fn what_is_the_same_before_and_after_is_never_seen_otherwise() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _outside = with_uplink();
        adverse();
        for seed in Dice::seeds(3) {
            let mut all_rounds = 0;
            for pair in pairs(seed) {
                host().apply(&crate::spec(&pair[0])).unwrap();
                let files = open_all();
                let all = || files.iter().filter_map(|(key, file)| Some((key, value(file)?)));
                let before = all().collect();
                let seen: Mutex<Seen<'_>> = Mutex::default();
                let rounds = crate::changes(&pair, || {
                    let mut seen = seen.lock().unwrap();
                    for (key, value) in all() {
                        seen.entry(key).or_default().insert(value);
                    }
                });
                let after = all().collect();
                let wrong = otherwise(&before, &seen.into_inner().unwrap(), &after);
                assert!(wrong.is_empty(), "seed {seed}, {rounds} rounds: {wrong:#?}\n{pair:#?}");
                all_rounds += rounds;
            }
            // Two specs may be the same, and are applied in no time.
            assert!(all_rounds > 100, "seed {seed}: {all_rounds} rounds");
            host().remove_all().unwrap();
        }
    }

    fn no_link_of_ours_is_up_with_other_settings_than_it_shall_have() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _outside = with_uplink();
        adverse();
        let mut seen = 0;
        for seed in Dice::seeds(3) {
            for pair in pairs(seed) {
                let state = Mutex::new((0, BTreeSet::new()));
                crate::changes(&pair, || {
                    let mut state = state.lock().unwrap();
                    let wrong = wrong_ones(&mut state.0);
                    state.1.extend(wrong);
                });
                let (looks, wrong) = state.into_inner().unwrap();
                assert!(wrong.is_empty(), "seed {seed}: {wrong:?}\n{pair:#?}");
                seen += looks;
            }
            host().remove_all().unwrap();
        }
        assert!(seen > 500, "{seen} looks at links that were up");
    }
}
