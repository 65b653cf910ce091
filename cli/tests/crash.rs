//! The command, killed at every kind of moment: the next apply completes the host, and nothing stays that should not.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use guestnet::core::Error as CoreError;
use guestnet::{Error, Host, HostSpec};
use guestnet_lab::{Capability, lab_test, need, need_program};
use serde_json::{Value, json};
use support::{dump, guest, guest_in_host, host, same, sh, spec, with_uplink};

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
    let left = host.verify(wanted).unwrap();
    assert!(left.is_empty(), "{when}:\n{left}");
}

/// How many system calls of `which` an apply makes.
fn count(which: &str) -> u32 {
    let log = "/run/strace.count";
    sh(&format!("strace -f -qq -e trace={which} -e signal=none -o {log} {GUESTNET} apply -f {SPEC}"));
    u32::try_from(fs::read_to_string(log).unwrap().lines().filter(|line| line.contains('(')).count()).unwrap()
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
        let spec = json!({ "version": 1, "uplink": "uplink", "guests": [guest("own", 1), guest_in_host("in", 2)] });
        let wanted = write(&spec);
        // All that changes anything goes through these. Each thread counts its own calls.
        let mut kills = 0;
        for call in ["sendto,sendmsg", "mount", "umount2", "ioctl", "rename,renameat,renameat2", "write", "mkdir,mkdirat", "unlink,unlinkat"] {
            let all = count(call);
            host.remove_all().unwrap();
            for n in 1..=all {
                let inject = format!("inject={call}:signal=SIGKILL:when={n}");
                let status = Command::new("strace")
                    .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
                    .args([GUESTNET, "apply", "-f", SPEC])
                    .stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
                let when = format!("killed at {call} {n} of {all} ({status})");
                kills += u32::from(!status.success());
                completes(&mut host, &wanted, &when);
                host.remove_all().unwrap_or_else(|e| panic!("{when}: {e}"));
                same(&before, &dump());
                if status.success() {
                    break;
                }
            }
            assert!(all > 0 || call.starts_with("un") || call.starts_with("um"), "{call} was not made");
        }
        assert!(kills > 30, "{kills} kills");
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
