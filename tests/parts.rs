//! To add a part is to apply the whole with it, and to remove one to apply the whole without it: on random hosts, after
//! random calls.

mod support;

use std::collections::BTreeMap;

use guestnet::Host;
use guestnet_lab::{Capability, Dice, lab_test, need};
use serde_json::{Value, json};
use support::random::Wide;
use support::{dump, host, same, sh, with_uplink, without_settings};

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
        let calls = std::env::var("GUESTNET_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(12);
        Dice::seeds(8).for_each(|seed| random_calls(seed, calls));
    }
}
