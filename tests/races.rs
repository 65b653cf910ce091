//! Others who change the host between two calls, or between reading and writing. The list stands in `src/snapshot.rs`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use guestnet::core::{Act, Error as CoreError};
use guestnet::{Error, Host, HostSpec, State};
use guestnet_lab::{Capability, Netns, lab_test, need, output, wait_until};
use serde_json::{Value, json};
use support::{dump, guest, guest_in_host, host, objects_in_host, same, sh, spec, spec_of, with_uplink};

/// Runs `script` in the host's namespace just before the `nth` act whose line starts with `start`.
fn meanwhile(host: &mut Host, start: &'static str, nth: usize, script: String) {
    let here = Netns::here().unwrap();
    let mut seen = 0;
    host.watch(move |act: &Act<'_>| {
        if act.to_string().starts_with(start) {
            seen += 1;
            if seen == nth {
                output(here.command("sh").args(["-ec", &script])).unwrap();
            }
        }
    });
}

fn undone(host: &mut Host, spec: &HostSpec) {
    match host.apply(spec) {
        Err(Error::Apply(failure)) => assert!(matches!(failure.state, State::Undone(_)), "{failure}"),
        other => panic!("{other:?}"),
    }
    host.watch(|_| {});
}

/// A retry succeeds, and so it does for somebody who knows nothing of what was before.
fn converges(host: &mut Host, spec: &HostSpec) {
    host.apply(spec).unwrap_or_else(|e| panic!("{e}"));
    let left = Host::open().unwrap().verify(spec).unwrap();
    assert!(left.is_empty(), "{left}");
}

fn index_of(link: &str) -> String {
    sh(&format!("cat /sys/class/net/{link}/ifindex 2>/dev/null || ip -o link show {link} | cut -d: -f1"))
        .trim()
        .to_owned()
}

fn in_host(numbers: &[u8]) -> Vec<Value> {
    numbers.iter().map(|n| guest_in_host(&format!("vm{n}"), *n)).collect()
}

const BATCH: &str = "host: send NFNL_MSG_BATCH_BEGIN";

lab_test! {
    fn a_flush_between_reading_and_writing_is_found() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let (two, three) = (spec_of(&in_host(&[1, 2])), spec_of(&in_host(&[1, 2, 3])));
        host.apply(&two).unwrap();
        let before = dump();
        // One more guest: elements are added to a table that is gone.
        meanwhile(&mut host, BATCH, 1, "nft flush ruleset".into());
        undone(&mut host, &three);
        same(&before, &dump());
        converges(&mut host, &three);
        // One less: its elements go in a transaction of their own, when its link is gone.
        let before = dump();
        meanwhile(&mut host, BATCH, 1, "nft flush ruleset".into());
        undone(&mut host, &two);
        same(&without_vm3(&before), &without_vm3(&dump()));
        converges(&mut host, &two);
    }

    /// Before each act of an apply, of a host on which guests are and others come, somebody flushes something.
    fn a_flush_before_every_act_is_survived() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let walled = |guests: Vec<Value>| {
            let mut guests = guests;
            for guest in &mut guests {
                guest["interfaces"][0]["access"] = json!({ "ingress": [{}], "egress": [{}] });
            }
            spec(&json!({ "version": 1, "uplink": "uplink", "firewall": {}, "guests": guests }))
        };
        let two = walled(vec![guest("vm1", 1), guest_in_host("vm2", 2)]);
        let mut moved = guest_in_host("vm2", 2);
        moved["interfaces"][0]["public_ipv4"] = "203.0.113.200".into();
        let four = walled(vec![guest("vm1", 1), moved, guest("vm3", 3), guest_in_host("vm4", 4)]);
        let flushes = [
            "nft flush ruleset; ip netns exec vm1 nft flush ruleset",
            "ip route flush table main; ip -6 route flush table main; ip -n vm1 route flush table main",
            "ip address flush dev tapvm2; ip address flush dev vethovm1; ip -n vm1 address flush dev tapvm1",
        ];
        let links = || ["tapvm2", "vethovm1"].map(index_of);
        let mut acts = usize::MAX;
        let mut n = 0;
        while n < acts {
            n += 1;
            let mut host = host();
            host.apply(&two).unwrap();
            let before = links();
            let told = Arc::new(AtomicUsize::new(0));
            let (counted, here) = (Arc::clone(&told), Netns::here().unwrap());
            let flush = flushes[n % flushes.len()];
            host.watch(move |_: &Act<'_>| {
                if counted.fetch_add(1, Ordering::Relaxed) + 1 == n {
                    output(here.command("sh").args(["-ec", flush])).unwrap();
                }
            });
            let outcome = host.apply(&four);
            host.watch(|_| {});
            match outcome {
                Ok(_) => {}
                Err(Error::Apply(failure)) => {
                    assert!(!matches!(failure.state, State::PartlyUndone(_)), "act {n}, {flush}: {failure}");
                }
                Err(error) => panic!("act {n}, {flush}: {error}"),
            }
            converges(&mut host, &four);
            assert_eq!(links(), before, "act {n}, {flush}: links of guests that stay are made again");
            host.remove_all().unwrap();
            sh("ip route replace default via 198.51.100.1 dev uplink onlink");
            acts = acts.min(told.load(Ordering::Relaxed));
        }
        assert!(n > 20, "{n} acts");
    }

    fn a_dump_that_is_interrupted_is_taken_again() {
        let _outside = with_uplink();
        let addresses: Vec<Value> =
            (0..3000).map(|n| json!({ "dev": "uplink", "address": format!("10.{}.{}.1/32", n / 250, n % 250) })).collect();
        let wanted = objects_in_host(&json!({ "addresses": addresses }));
        sh("ip link add isp0 type veth peer name isp1");
        host().apply(&wanted).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        // What somebody else does to another link is no difference, whatever the moment; how often addresses are asked for.
        let verified = || {
            let mut host = Host::open().unwrap();
            let asked = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&asked);
            host.watch(move |act: &Act<'_>| {
                if act.to_string().starts_with("host: ask RTM_GETADDR") {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            match host.verify(&wanted) {
                Ok(plan) => assert!(plan.is_empty(), "{plan}"),
                Err(Error::Core(CoreError::Busy(_))) => {}
                Err(other) => panic!("{other}"),
            }
            asked.load(Ordering::Relaxed)
        };
        let alone = verified();
        let (here, end) = (Netns::here().unwrap(), Arc::clone(&done));
        let other = std::thread::spawn(move || {
            let change = "address add 10.99.0.1/32 dev isp0\naddress delete 10.99.0.1/32 dev isp0\n".repeat(200);
            std::fs::write("/run/changes", change).unwrap();
            while !end.load(Ordering::Relaxed) {
                output(here.command("ip").args(["-batch", "/run/changes"])).unwrap();
            }
        });
        let taken_again = (0..60).filter(|_| verified() > alone).count();
        done.store(true, Ordering::Relaxed);
        other.join().unwrap();
        assert!(taken_again > 0, "no dump was interrupted");
    }

    /// The generation of the rules is counted by transactions: one that the kernel has refused is none.
    fn a_change_by_another_behind_a_refused_transaction_is_found() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let (two, three) = (spec_of(&in_host(&[1, 2])), spec_of(&in_host(&[1, 2, 3])));
        host.apply(&two).unwrap();
        for others in 0..3 {
            // Elements are added to a table that is gone.
            meanwhile(&mut host, BATCH, 1, "nft delete table ip guestnet_nat".into());
            undone(&mut host, &three);
            for n in 0..others {
                sh(&format!("nft add table ip others{n}"));
            }
            sh("nft delete element ip guestnet_nat inbound32 '{ 203.0.113.1 }'");
            let plan = host.verify(&two).unwrap();
            assert_eq!(plan.changes().len(), 1, "{plan}");
            converges(&mut host, &two);
        }
    }

    fn a_namespace_that_was_made_anew_by_another_is_the_others() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let wanted = spec_of(&[guest("vm1", 1), guest("vm2", 2)]);
        // A host that stays open keeps the namespace alive, nameless.
        host().apply(&wanted).unwrap();
        sh("ip netns del vm1; ip netns add vm1");
        let gone = || !sh("ip link").contains("vethovm1");
        wait_until("the old one is gone", Duration::from_secs(10), gone).unwrap();
        let (mut host, before) = (host(), dump());
        let error = host.apply(&wanted).unwrap_err().to_string();
        assert!(error.contains("a namespace vm1 that guestnet did not make"), "{error}");
        same(&before, &dump());
        sh("ip netns del vm1");
        converges(&mut host, &wanted);
    }

    fn a_link_that_was_renamed_is_ours_still_and_made_again_under_its_name() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let wanted = spec_of(&in_host(&[1, 2]));
        host.apply(&wanted).unwrap();
        sh("ip link set tapvm1 down; ip link set tapvm1 name other");
        converges(&mut host, &wanted);
        assert!(!sh("ip link").contains("other"));
    }

    fn a_link_of_anothers_with_the_index_of_ours_stays_as_it_is() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let wanted = spec_of(&in_host(&[1, 2]));
        host.apply(&wanted).unwrap();
        let theirs = |index: &str| {
            format!(
                "ip link del tapvm1; ip link add theirs index {index} type veth peer name srieht; \
                 ip link set theirs up; ip link set srieht up"
            )
        };
        let ours = |link: &str| sh(&format!("ip address show {link}; ip route show dev {link}")).contains("proto 103");
        // Between two calls.
        sh(&theirs(&index_of("tapvm1")));
        converges(&mut host, &wanted);
        assert!(!ours("theirs") && ours("tapvm1"));
        sh("ip link del theirs");
        // While the plan is carried out: addresses and routes are sent by the index that the link had a moment ago.
        sh("ip address del 192.168.0.254/24 dev tapvm1");
        meanwhile(&mut host, "host: send RTM_NEWADDR", 1, theirs(&index_of("tapvm1")));
        drop(host.apply(&wanted));
        host.watch(|_| {});
        assert!(sh("ip link").contains("theirs"), "the race was not run");
        converges(&mut host, &wanted);
        assert!(!ours("theirs") && ours("tapvm1"));
    }
}

/// The guest was on its way out: its tap was made again, with another index.
fn without_vm3(dump: &str) -> String {
    let lines = dump.lines().filter(|line| !line.contains("vm3") && !line.contains("files:"));
    let lines = lines.filter(|line| !line.contains("link/ether") && !line.contains("inet6 fe80"));
    let mut lines: Vec<String> = lines.map(|line| format!("{line}\n")).collect();
    lines.sort();
    lines.concat()
}
