//! The command, killed at every kind of moment: the next apply completes the host, and nothing stays that should not.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use guestnet::core::Error as CoreError;
use guestnet::{Error, Host, HostSpec};
use guestnet_lab::{Capability, Netns, lab_test, need, need_program};
use serde_json::{Value, json};
use support::{dump, dump_of, guest, guest_in_host, host, same, sh, spec, with_uplink, without_indexes};

const SPEC: &str = "/run/spec.json";
const GUESTNET: &str = env!("CARGO_BIN_EXE_guestnet");

/// Many guests, in both places, and objects of the kinds that guests do not have.
fn many() -> Value {
    let mut guests: Vec<Value> = (1..=5).map(|n| guest(&format!("own{n}"), n)).collect();
    guests.extend((6..=10).map(|n| guest_in_host(&format!("in{n}"), n)));
    json!({ "version": 1, "uplink": "uplink", "guests": guests, "objects": {
        "host": {"links": [{"name": "v0", "kind": {"veth": {"peer": "v1", "namespace": "extra"}}}],
            "routes": [{"to": "10.77.0.0/16", "kind": "blackhole"}]},
        "namespaces": {"extra": {"addresses": [{"dev": "v1", "address": "10.78.0.1/24"}]}},
    }})
}

/// A host before and after a change: `gone` goes and `new` comes, the address of `stays` and lists of the firewall are others,
/// and so are a bridge and objects.
fn changed() -> [Value; 2] {
    let of = |guests: Value, ports: &str, objects: Value, bridge: &str| {
        json!({ "version": 1, "uplink": "uplink", "guests": guests, "objects": objects,
            "bridges": [{"name": bridge}],
            "firewall": {"groups": [{"name": "web", "ingress": [{"protocol": "tcp", "ports": [ports]}]}]} })
    };
    let in_group = |mut guest: Value| {
        guest["access"] = json!({"groups": ["web"], "egress": [{"protocol": "tcp"}]});
        guest
    };
    let mut stays = in_group(guest("stays", 2));
    let before = json!([in_group(guest("gone", 1)), stays, in_group(guest_in_host("in", 3))]);
    stays["interfaces"][0]["public_ipv4"] = "203.0.113.77".into();
    let mut inside = in_group(guest_in_host("in", 3));
    inside["access"]["egress"] = json!([{"protocol": "udp", "prefixes": ["10.0.0.0/8"]}]);
    let after = json!([stays, inside, in_group(guest_in_host("new", 4))]);
    let files = |content: &str| json!([{"path": "note.txt", "content": content}]);
    [
        of(
            before,
            "80",
            json!({"files": files("a\n"), "host": {"routes": [{"to": "10.77.0.0/16", "kind": "blackhole"}]}}),
            "br0",
        ),
        of(
            after,
            "443",
            json!({"files": files("b\n"), "host": {"routes": [{"to": "10.77.0.0/17", "kind": "blackhole"}],
            "sysctls": [{"key": "net.ipv4.ip_default_ttl", "value": "65"}]}}),
            "br1",
        ),
    ]
}

fn write(spec: &Value) -> HostSpec {
    fs::write(SPEC, spec.to_string()).unwrap();
    support::spec(spec)
}

/// Runs the command until it ends or `after` has passed, then kills it. Whether it was killed.
fn killed_after(after: Duration, arguments: &[&str]) -> bool {
    let mut command = Command::new(GUESTNET);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    guestnet_lab::die_with_parent(&mut command);
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while began.elapsed() < after {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

fn completes(host: &mut Host, wanted: &HostSpec, when: &str) {
    host.apply(wanted).unwrap_or_else(|e| panic!("{when}: {e}"));
    // Who knows nothing of what was there finds the same.
    let left = support::host().verify(wanted).unwrap();
    assert!(left.is_empty(), "{when}:\n{left}");
}

/// The system calls by which anything is changed, kind by kind.
const CALLS: [&str; 7] = [
    "sendto,sendmsg",
    "write,pwrite64,ftruncate",
    "ioctl",
    "mount,umount2",
    "rename,renameat,renameat2",
    "mkdir,mkdirat,rmdir,unlink,unlinkat",
    "fchmod,fchmodat,fchown",
];

/// Runs the command under strace(1), which traces `calls` and does `what` with them. Whether it succeeded.
fn traced(calls: &str, what: &[&str], arguments: &[&str]) -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={calls}")]).args(what).arg(GUESTNET).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Whether a call, as strace(1) shows it, sends a question: strace names only some of them. NLM_F_DUMP is 0x300, RTM_GETLINK
/// 0x12, NFT_MSG_GETTABLE 0xa01, NFT_MSG_GETGEN 0xa10.
fn asks(call: &str) -> bool {
    let questions = ["NLM_F_DUMP", "|0x300", "=RTM_GET", "_GETGEN", "=0x12 ", "=0xa01 ", "=0xa10 "];
    questions.iter().any(|word| call.contains(word))
}

/// Kills the command at one call after the other by which it changes something, and says each time at which to `after`, who
/// makes the host again as it was. Returns how often it was killed. Of each kind of call it is at most at `moments`, all along the
/// way, unless `GUESTNET_CRASH` asks for every one, questions too: that takes ten minutes.
fn killed_at_every_call(arguments: &[&str], moments: usize, mut after: impl FnMut(&str)) -> u32 {
    let log = "/run/strace.log";
    assert!(traced(&CALLS.join(","), &["-e", "signal=none", "-o", log], arguments), "{arguments:?}");
    after("not killed");
    let log = fs::read_to_string(log).unwrap();
    // The number of the process, and the call.
    let calls: Vec<(&str, &str)> = log.lines().filter_map(|line| line.split_once('(')).collect();
    let is_whole = std::env::var_os("GUESTNET_CRASH").is_some();
    let mut kills = 0;
    for kind in CALLS {
        let is_one = |before: &str| kind.split(',').any(|call| before.split(' ').next_back() == Some(call));
        let all: Vec<&str> =
            calls.iter().filter(|(before, _)| is_one(before)).map(|(_, rest)| *rest).collect();
        let places: Vec<usize> = (1..=all.len()).filter(|n| is_whole || !asks(all[n - 1])).collect();
        let stride = if is_whole { 1 } else { places.len().div_ceil(moments).max(1) };
        for n in places.into_iter().step_by(stride) {
            let inject = format!("inject={kind}:signal=SIGKILL:when={n}");
            let ended = traced(kind, &["-o", "/dev/null", "-e", &inject], arguments);
            after(&format!("{arguments:?} killed at {kind} {n} of {}", all.len()));
            // Each thread counts its own calls.
            if ended {
                break;
            }
            kills += 1;
        }
    }
    kills
}

/// All that the host and its guests have, but for the numbers that the kernel gives to links.
fn everything() -> String {
    let names = sh("ip netns list | cut -d' ' -f1 | sort");
    let guests =
        names.lines().filter(|name| *name != "outside").map(|name| dump_of(&Netns::open(name).unwrap()));
    without_indexes(&guests.fold(dump(), |all, guest| all + &guest))
}

#[track_caller]
fn is_as(before: &str, when: &str) {
    let now = everything();
    let said = catch_unwind(AssertUnwindSafe(|| same(before, &now)));
    assert!(said.is_ok(), "{when}");
}

lab_test! {
    fn killed_at_many_moments() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let before = dump();
        let mut host = host();
        let wanted = write(&many());
        let began = Instant::now();
        completes(&mut host, &wanted, "at first");
        let whole = began.elapsed();
        host.remove_all().unwrap();

        let mut kills = 0;
        for step in 0..40 {
            let after = whole.mul_f64(f64::from(step) / 32.0);
            kills += u32::from(killed_after(after, &["apply", "-f", SPEC]));
            let when = format!("killed after {after:?}");
            if step % 2 == 0 {
                completes(&mut host, &wanted, &when);
                // The way back is killed too.
                kills += u32::from(killed_after(after, &["remove"]));
            }
            host.remove_all().unwrap_or_else(|e| panic!("{when}: {e}"));
            // What is left to be seen by the next apply only: an empty name, an empty directory.
            sh("find /run/netns -type f -empty -delete 2>&- || true; find /run/guestnet -mindepth 1 -type d -empty -delete");
            same(&before, &dump());
        }
        assert!(kills > 10, "{kills} kills");
    }

    fn killed_at_every_step() {
        need(Capability::Tap);
        need_program("strace");
        let _outside = with_uplink();
        let before = dump();
        let mut host = host();
        let wanted = write(&json!({ "version": 1, "uplink": "uplink", "guests": [guest("own", 1), guest_in_host("in", 2)] }));
        let kills = killed_at_every_call(&["apply", "-f", SPEC], 12, |when| {
            completes(&mut host, &wanted, when);
            host.remove_all().unwrap_or_else(|e| panic!("{when}: {e}"));
            same(&before, &dump());
        });
        assert!(kills > 20, "{kills} kills");
    }

    fn a_change_killed_at_every_step() {
        need(Capability::Tap);
        need(Capability::Bridge);
        need_program("strace");
        let _outside = with_uplink();
        let [a, b] = changed();
        let (a, b) = (support::spec(&a), write(&b));
        let mut host = host();
        completes(&mut host, &a, "at first");
        let before = everything();
        let kills = killed_at_every_call(&["apply", "-f", SPEC], 12, |when| {
            completes(&mut host, &b, when);
            completes(&mut host, &a, when);
            is_as(&before, when);
        });
        assert!(kills > 20, "{kills} kills");
    }

    fn a_part_killed_at_every_step() {
        need(Capability::Tap);
        need_program("strace");
        let _outside = with_uplink();
        for last in [guest("last", 3), guest_in_host("last", 3)] {
            let of = |guests: &[Value]| json!({ "version": 1, "uplink": "uplink", "firewall": {}, "guests": guests });
            let two = [guest("own", 1), guest_in_host("in", 2)];
            let part = write(&of(std::slice::from_ref(&last)));
            let with = support::spec(&of(&[&two[..], &[last]].concat()));
            let without = support::spec(&of(&two));
            let mut host = host();
            let holds = |wanted: &HostSpec, when: &str| {
                let left = support::host().verify(wanted).unwrap();
                assert!(left.is_empty(), "{when}:\n{left}");
            };

            completes(&mut host, &without, "at first");
            let before = everything();
            let mut kills = killed_at_every_call(&["add", "-f", SPEC], 6, |when| {
                host.add(&part).unwrap_or_else(|e| panic!("{when}: {e}"));
                holds(&with, when);
                completes(&mut host, &without, when);
                is_as(&before, when);
            });
            completes(&mut host, &with, "with it");
            let before = everything();
            kills += killed_at_every_call(&["remove", "-f", SPEC], 6, |when| {
                host.remove(&part).unwrap_or_else(|e| panic!("{when}: {e}"));
                holds(&without, when);
                completes(&mut host, &with, when);
                is_as(&before, when);
            });
            assert!(kills > 20, "{kills} kills");
            host.remove_all().unwrap();
        }
    }

    fn a_part_that_is_killed_is_completed_by_the_next() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let of = |guests: &[Value]| json!({ "version": 1, "uplink": "uplink", "firewall": {}, "guests": guests });
        let all = [guest("one", 1), guest_in_host("two", 2), guest("three", 3), guest_in_host("four", 4)];
        let (part, next) = (write(&of(&all[2..3])), support::spec(&of(&all[3..])));
        let began = Instant::now();
        host.apply(&support::spec(&of(&all[..3]))).unwrap();
        let whole = began.elapsed();
        let holds = |host: &mut Host, guests: &[Value]| host.verify(&support::spec(&of(guests))).unwrap().is_empty();
        let mut kills = 0;
        for step in 0..24 {
            host.apply(&support::spec(&of(&all[..2]))).unwrap();
            let after = whole.mul_f64(f64::from(step) / 24.0);
            kills += u32::from(killed_after(after, &["add", "-f", SPEC]));
            // Whether the one that was killed is among the guests or not, it is whole or not there.
            host.add(&next).unwrap();
            let without = [&all[..2], &all[3..]].concat();
            assert!(holds(&mut host, &all) || holds(&mut host, &without), "killed after {after:?}");
            host.add(&part).unwrap();
            assert!(holds(&mut host, &all), "killed after {after:?}");
            kills += u32::from(killed_after(after, &["remove", "-f", SPEC]));
            host.remove(&part).unwrap();
            assert!(holds(&mut host, &without), "killed after {after:?}");
        }
        assert!(kills > 10, "{kills} kills");
    }

    fn two_at_once_do_not_disturb_each_other() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let wanted = write(&many());
        let apply = || {
            let mut command = Command::new(GUESTNET);
            command.args(["apply", "-f", SPEC]).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let both = [apply(), apply()].map(|child| child.wait_with_output().unwrap());
        let said = both.each_ref().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        assert!(both.iter().all(|output| output.status.success()), "{both:?}");
        assert_eq!(said.iter().filter(|words| words.contains("nothing to do")).count(), 1, "{said:?}");
        assert!(host().verify(&wanted).unwrap().is_empty());
    }

    fn who_does_not_wait_is_told_so() {
        let wanted = spec(&json!({"version": 1, "objects": {"namespaces": {"a": {}}}}));
        fs::write(SPEC, serde_json::to_string(&wanted).unwrap()).unwrap();
        host().apply(&wanted).unwrap();
        let lock = sh("ls /run/guestnet/.host/*.lock");
        assert_eq!(sh(&format!("stat -c %a {lock}")).trim(), "600", "others can take it, and keep everybody waiting");
        let mut holder = Command::new("flock").args(["--no-fork", lock.trim(), "sleep", "60"]).spawn().unwrap();
        let busy = || matches!(host().wait_at_most(Duration::ZERO).apply(&wanted), Err(Error::Core(CoreError::Busy(_))));
        guestnet_lab::wait_until("the lock is held", Duration::from_secs(10), busy).unwrap();
        let output = Command::new(GUESTNET).args(["apply", "-f", SPEC, "--wait", "0"]).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        // Those who change nothing need not wait.
        assert!(host().plan(&wanted).unwrap().is_empty());
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
}
