//! Records of another boot, on a machine whose `/run` lives on: they prove nothing, and none of them stays.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;

use call::said;
use guestnet::core::life::{Life, life};
use guestnet::core::owner::Owner;
use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, Netns, lab_test, need};
use serde_json::{Value, json};
use support::{apply, dump_of, guest, guest_in_host, host, same, settle, sh, spec, with_uplink};

const SPEC: &str = "/run/spec.json";
const OTHER_BOOT: &str = "00000000-0000-4000-8000-000000000000";

fn write(guests: &[Value]) -> HostSpec {
    let text = json!({"version": 1, "uplink": "uplink", "guests": guests});
    fs::write(SPEC, text.to_string()).unwrap();
    spec(&text)
}

/// Everything on the disk is as after a boot: `/run` is as it was, of names of namespaces the files beneath are left, and what
/// `gone` takes away is gone from the kernel. The lock of `owner` says that it was written in another boot.
fn reboot(owner: Owner, gone: impl FnOnce()) {
    sh("cp -a /run/guestnet /run/kept");
    let names = sh("ip netns list | cut -d' ' -f1");
    gone();
    sh("rm -r /run/guestnet; mv /run/kept /run/guestnet");
    for name in names.split_whitespace().map(|name| format!("/run/netns/{name}")) {
        if !fs::exists(&name).unwrap() {
            fs::write(name, owner.mark()).unwrap();
        }
    }
    let lock = format!("/run/guestnet/.host/{}.lock", owner.0);
    sh(&format!("sed -i 's/boot=[^ ]*/boot={OTHER_BOOT}/' {lock}"));
    assert!(fs::read_to_string(lock).unwrap().contains(OTHER_BOOT));
}

/// The files below `/run` that are `owner`'s: by name, or by mark.
fn left_of(owner: Owner) -> String {
    let Owner(cookie) = owner;
    sh(&format!(
        "find /run/guestnet -name '{cookie}.*'; grep -rlE 'owner={cookie}( |$)' /run/guestnet /run/netns 2>&- || true"
    ))
}

fn make(name: &str) {
    sh(&format!("ip netns add {name}; ip -n {name} link set lo up
        ip -n {name} link add uplink type veth peer name isp; ip -n {name} link set uplink up; ip -n {name} link set isp up
        ip -n {name} -6 address add 2001:db8:1::fffe/64 dev uplink nodad"));
}

fn open(name: &str) -> Host {
    Host::in_namespace(&name.parse().unwrap()).unwrap()
}

/// A host `h` of another boot, that had `guests`, and the host that is called so now.
fn after_a_boot(guests: &[Value]) -> Owner {
    make("h");
    let mut before = open("h");
    apply(&mut before, &write(guests));
    let owner = before.owner();
    drop(before);
    reboot(owner, || drop(sh("for name in $(ip netns list | cut -d' ' -f1); do ip netns del $name; done")));
    sh("rm -f /run/netns/h");
    make("h");
    assert!(!left_of(owner).is_empty());
    owner
}

lab_test! {
    fn an_apply_takes_over_what_a_host_of_another_boot_has_left() {
        need(Capability::Tap);
        let guests = [guest("own", 1), guest_in_host("in", 2), guest("former", 3)];
        let before = after_a_boot(&guests);
        let wanted = write(&guests[..2]);
        // No kernel is asked: no namespace outlives a boot.
        assert_eq!(life(before), Life::Gone);
        let left = left_of(before);
        let plan = open("h").plan(&wanted).unwrap();
        assert!(plan.conflicts().is_empty(), "{plan}");
        assert_eq!(left_of(before), left, "a plan changes nothing");
        let (code, out, err) = said(&["plan", "-n", "h", "-f", SPEC], "");
        assert!(code == 2 && out.contains("own/dnsmasq.conf") && out.contains("former/dnsmasq.conf"), "{code} {out} {err}");

        apply(&mut open("h"), &wanted);
        assert_eq!(left_of(before), "");
        open("h").remove_all().unwrap();
        assert_eq!(sh("ls /run/netns; find /run/guestnet -type f ! -name '*.lock'"), "h\n");
    }

    fn adopt_takes_it_over_without_a_spec() {
        need(Capability::Tap);
        let before = after_a_boot(&[guest("own", 1), guest_in_host("in", 2)]);
        let (code, out, err) = said(&["adopt", "-n", "h", &before.0.to_string()], "");
        assert!(code == 0 && out.contains("dnsmasq.conf"), "{out}{err}");
        let (code, out, _) = said(&["adopt", "-n", "h", &before.0.to_string()], "");
        assert!(code == 0 && out.contains("nothing to do"), "{out}");
        open("h").remove_all().unwrap();
        assert_eq!(left_of(before), "");
        assert_eq!(sh("ls /run/netns; find /run/guestnet -type f ! -name '*.lock'"), "h\n");
    }

    /// The first namespace has the same number in each boot.
    fn a_host_of_the_same_number_is_another() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let guests = [guest("own", 1), guest_in_host("in", 2)];
        let both = write(&guests);
        for add in [false, true] {
            let mut before = host();
            apply(&mut before, &both);
            let owner = before.owner();
            reboot(owner, || drop(before.remove_all().unwrap()));
            sh("find /run/guestnet -name dnsmasq.conf -delete");
            // Somebody else sets it in this boot.
            sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
            let kernel = || {
                settle();
                dump_of(&Netns::here().unwrap())
            };
            let is = kernel();
            if add {
                let one = spec(&json!({"version": 1, "uplink": "uplink", "guests": [guest("new", 3)]}));
                host().add(&one).unwrap();
                let left = host().verify(&one).unwrap();
                assert!(left.is_empty(), "{left}");
            } else {
                apply(&mut host(), &both);
            }
            host().remove_all().unwrap();
            same(&is, &kernel());
            assert_eq!(sh("ls /run/netns; find /run/guestnet -type f ! -name '*.lock'"), "outside\n");
            sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        }
    }
}
