//! Hosts that are gone, and what they have left: taken over where it is proved that they are gone or where somebody says so,
//! and never from a host that lives.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use call::{GUESTNET, said};
use guestnet::core::life::{Life, life};
use guestnet::core::owner::Owner;
use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, lab_test, need, need_program, wait_until};
use serde_json::json;
use support::{apply, guest, guest_in_host, sh, spec_of};

const SPEC: &str = "/run/spec.json";

fn make(name: &str) {
    sh(&format!("ip netns add {name}; ip -n {name} link set lo up
        ip -n {name} link add uplink type veth peer name isp; ip -n {name} link set uplink up; ip -n {name} link set isp up
        ip -n {name} -6 address add 2001:db8:1::fffe/64 dev uplink nodad"));
}

fn open(name: &str) -> Host {
    Host::in_namespace(&name.parse().unwrap()).unwrap()
}

fn both() -> HostSpec {
    let guests = [guest("own", 1), guest_in_host("in", 2)];
    fs::write(SPEC, json!({"version": 1, "uplink": "uplink", "guests": guests}).to_string()).unwrap();
    spec_of(&guests)
}

/// The owner of the namespace `name`.
fn owner(name: &str) -> Owner {
    let alias = sh(&format!("ip -n {name} -d link show lo | grep alias"));
    Owner::read(alias.trim().strip_prefix("alias ").unwrap()).unwrap()
}

/// Whether this kernel proves that a host is gone.
fn is_provable() -> bool {
    make("proof");
    open("proof").apply(&spec_of(&[])).unwrap();
    let cookie = sh("ls -t /run/guestnet/.host/*.lock | head -1");
    let cookie = cookie.trim().rsplit('/').next().unwrap().trim_end_matches(".lock").parse().unwrap();
    let lives = life(Owner(cookie)) == Life::Lives;
    sh("ip netns del proof");
    if lives {
        is_let_go_of(Owner(cookie));
    }
    lives
}

/// Waits until the kernel has let go of a namespace that lost its name, which it does a moment after.
fn is_let_go_of(host: Owner) {
    let gone = || life(host) != Life::Lives;
    wait_until("the host is gone", Duration::from_secs(10), gone).unwrap();
}

/// Makes the namespace of the host `h` again, which has guests. Whose they are.
fn made_again() -> Owner {
    make("h");
    apply(&mut open("h"), &both());
    let before = owner("own");
    sh("ip netns del h");
    is_let_go_of(before);
    make("h");
    before
}

lab_test! {
    fn a_host_that_was_made_again_has_its_guests_back() {
        need(Capability::Tap);
        if !is_provable() {
            guestnet_lab::skip("this kernel does not say whether a namespace is gone (Linux 6.18)");
        }
        let before = made_again();
        assert_eq!(life(before), Life::Gone);
        let inode = || sh("stat -L -c %i /run/netns/own");
        let own = inode();
        let plan = open("h").plan(&both()).unwrap();
        assert!(plan.conflicts().is_empty(), "{plan}");
        assert!(plan.warnings().iter().any(|w| w.contains("namespace own") && w.contains("gone")), "{plan}");
        assert_eq!(owner("own"), before, "a plan changes nothing");
        apply(&mut open("h"), &both());
        assert_eq!(inode(), own, "who runs in it keeps it");
        assert_ne!(owner("own"), before);
        for path in ["own", "in"] {
            let text = fs::read_to_string(format!("/run/guestnet/netns/h/{path}/dnsmasq.conf")).unwrap();
            assert!(text.contains(&owner("own").mark()), "{text}");
        }
        assert_eq!(sh(&format!("find /run/guestnet -name '*{}*'", before.0)), "", "what it has left");
        // What is not wanted any more goes, since the host is called as before; that of another stays.
        sh("ip netns del h");
        make("h");
        make("other");
        apply(&mut open("other"), &spec_of(&[]));
        assert_eq!(inode(), own);
        open("h").remove_all().unwrap();
        assert_eq!(sh("ip netns list | sort"), "h\nother\n");
        assert_eq!(sh("find /run/guestnet -type f ! -path '*/.host/*'"), "");
    }

    fn another_host_takes_over_what_it_wants_of_one_that_is_gone() {
        need(Capability::Tap);
        if !is_provable() {
            guestnet_lab::skip("this kernel does not say whether a namespace is gone (Linux 6.18)");
        }
        let before = made_again();
        make("other");
        apply(&mut open("other"), &both());
        assert_ne!(owner("own"), before);
        open("other").remove_all().unwrap();
        assert_eq!(sh("ip netns list | sort"), "h\nother\n");
    }

    fn who_is_held_by_somebody_lives() {
        need(Capability::Tap);
        make("h");
        let mut host = open("h");
        apply(&mut host, &both());
        let before = owner("own");
        let held = fs::File::open("/run/netns/h").unwrap();
        drop(host);
        sh("ip netns del h");
        make("h");
        let error = open("h").apply(&both()).unwrap_err().to_string();
        assert!(error.contains(&format!("owner {}", before.0)) && error.contains("nothing was changed"), "{error}");
        assert!(open("h").adopt(before).is_err() || life(before) == Life::Unknown);
        drop(held);
        if life(before) == Life::Gone {
            apply(&mut open("h"), &both());
        }
    }

    fn what_nothing_proves_is_said() {
        need(Capability::Tap);
        let before = made_again();
        // As on a kernel that does not know, or when somebody has tidied up.
        sh("rm /run/guestnet/.host/*.lock");
        assert_eq!(life(before), Life::Unknown);
        let (code, _, err) = said(&["apply", "-n", "h", "-f", SPEC], "");
        assert_eq!(code, 1);
        let remedy = format!("guestnet adopt {}", before.0);
        assert!(err.contains(&remedy) && err.contains("nothing was changed"), "{err}");
        // Told even where what it has to say cannot be written.
        let adopt = format!("{GUESTNET} adopt -n h {} 2>&1 >/dev/full || echo $?", before.0);
        let told = sh(&adopt);
        assert!(told.ends_with("74\n") && told.contains("the change was made"), "{told}");
        assert!(told.contains("taken over: namespace own"), "{told}");
        let (code, out, _) = said(&["adopt", "-n", "h", &before.0.to_string()], "");
        assert!(code == 0 && out.contains("nothing to do"), "{out}");
        apply(&mut open("h"), &both());
        open("h").remove_all().unwrap();
        assert_eq!(sh("ip netns list"), "h\n");
    }

    fn two_that_live_never_take_each_others() {
        need(Capability::Tap);
        make("a");
        make("b");
        let (mut a, mut b) = (open("a"), open("b"));
        apply(&mut a, &both());
        let of_a = owner("own");
        let before = support::dump();
        for without_records in [false, true] {
            if without_records {
                sh("for lock in /run/guestnet/.host/*.lock; do : > $lock; done");
            }
            let error = b.apply(&both()).unwrap_err().to_string();
            assert!(error.contains("in the way"), "{error}");
            let error = b.adopt(of_a).unwrap_err().to_string();
            assert!(error.contains("lives"), "{error}");
            assert!(b.adopt(b.owner()).is_err());
            b.apply(&spec_of(&[])).unwrap();
            b.remove_all().unwrap();
            assert_eq!(owner("own"), of_a);
        }
        support::same(&before, &support::dump());
        assert!(a.verify(&both()).unwrap().is_empty());
    }

    fn killed_in_the_middle_of_it() {
        need(Capability::Tap);
        need_program("strace");
        if !is_provable() {
            guestnet_lab::skip("this kernel does not say whether a namespace is gone (Linux 6.18)");
        }
        let mut kills = 0;
        for call in ["sendto,sendmsg", "rename,renameat,renameat2", "unlink,unlinkat", "pwrite64,write,ftruncate"] {
            for n in (1..40).step_by(if call.starts_with("send") { 2 } else { 1 }) {
                made_again();
                let inject = format!("inject={call}:signal=SIGKILL:when={n}");
                let status = Command::new("strace")
                    .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
                    .args([GUESTNET, "apply", "-n", "h", "-f", SPEC])
                    .output().unwrap().status;
                apply(&mut open("h"), &both());
                open("h").remove_all().unwrap();
                assert_eq!(sh("ip netns list"), "h\n", "{call} {n}");
                sh("ip netns del h");
                if status.success() {
                    break;
                }
                kills += 1;
            }
        }
        assert!(kills > 15, "{kills} kills");
    }
}
