//! How often the command speaks to the kernel: a handful of times, however much it has to say.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;

use guestnet::HostSpec;
use guestnet_lab::{Capability, lab_test, need, need_program};
use serde_json::{Value, json};
use support::{guest, guest_in_host, host, sh, spec_of, with_uplink};

/// How many sends `guestnet apply` of `guests` makes on an empty host: those that change something, and those that
/// ask.
fn sends(guests: &[Value]) -> (usize, usize) {
    let (guestnet, log) = (env!("CARGO_BIN_EXE_guestnet"), "/run/strace.log");
    let spec = json!({ "version": 1, "uplink": "uplink", "guests": guests });
    fs::write("/run/spec.json", spec.to_string()).unwrap();
    sh(&format!(
        "strace -f -qq -e trace=sendto,sendmsg -e signal=none -o {log} {guestnet} apply -f /run/spec.json"
    ));
    let said = fs::read_to_string(log).unwrap();
    // A call that another thread's interrupts is printed on two lines.
    let all = said.lines().filter(|line| line.contains("sendto(") || line.contains("sendmsg("));
    // NLM_F_DUMP is 0x300, NFT_MSG_GETGEN 0xa10.
    let asks =
        |line: &str| ["NLM_F_DUMP", "REQUEST|0x300", "GETGEN", "type=0xa10"].iter().any(|w| line.contains(w));
    let (asked, changed): (Vec<&str>, Vec<&str>) = all.partition(|line| asks(line));
    assert!(host().verify(&spec_of(guests)).unwrap().is_empty());
    host().remove_all().unwrap();
    (changed.len(), asked.len())
}

/// How many bytes `guestnet COMMAND` of `spec` reads. Libraries are mapped, but for their first bytes.
fn bytes_read(command: &str, spec: &str) -> usize {
    let (guestnet, log) = (env!("CARGO_BIN_EXE_guestnet"), "/run/strace.log");
    fs::write("/run/spec.json", spec).unwrap();
    sh(&format!(
        "strace -f -qq -e trace=read,pread64,readv,recvfrom,recvmsg,recvmmsg,getdents64 -e signal=none -o {log} \
         {guestnet} {command} -f /run/spec.json"
    ));
    let said = fs::read_to_string(log).unwrap();
    said.lines().filter_map(|line| line.rsplit_once(" = ")?.1.split(' ').next()?.parse::<usize>().ok()).sum()
}

lab_test! {
    fn what_is_sent_does_not_grow_with_the_objects() {
        need(Capability::Tap);
        need_program("strace");
        let _outside = with_uplink();
        let one = guest("vm", 1);
        let mut eight = one.clone();
        for n in 2..=8 {
            let mut interface = guest(&format!("vm{n}"), n)["interfaces"][0].clone();
            interface["private_ipv4"] = format!("192.168.0.{n}").into();
            eight["interfaces"].as_array_mut().unwrap().push(interface);
        }
        eight["proxied"] = (0..20).map(|n| format!("2001:db8:1::{n:x}00")).collect();
        let of_one = sends(&[one]);
        let of_eight = sends(&[eight]);
        // In each of the two namespaces one for each phase.
        assert!((5..=16).contains(&of_one.0), "{of_one:?}");
        // Each tap gets its mark before it is there to stay: one send, beside the one thing that netlink cannot do.
        assert!(of_eight.0 <= of_one.0 + 7, "{of_eight:?} where with one interface {of_one:?}");
        assert!(of_one.1 <= 45, "{of_one:?}");
        assert!(of_eight.1 <= of_one.1, "{of_eight:?} where with one interface {of_one:?}");
    }

    /// Whatever a call reads, of the kernel, of files and of directories, it reads by these.
    fn what_is_read_for_one_guest_does_not_grow_with_the_others() {
        need(Capability::Tap);
        need_program("strace");
        let _outside = with_uplink();
        let walls = [None, Some(json!({
            "groups": [{ "name": "web", "ingress": [{ "protocol": "tcp", "ports": ["80"] }] }],
            "host": { "services": [{ "protocol": "tcp", "ports": ["22"] }] },
        }))];
        let makes: [fn(&str, u8) -> Value; 2] = [guest, guest_in_host];
        for (wall, make) in walls.iter().flat_map(|wall| makes.map(|make| (wall, make))) {
            let spec = |numbers: &[u8]| {
                let guests = numbers.iter().map(|n| {
                    let mut guest = make(&format!("vm{n}"), *n);
                    if wall.is_some() {
                        guest["interfaces"][0]["access"] = json!({ "groups": ["web"], "egress": [{}] });
                    }
                    guest
                });
                let mut spec = json!({ "version": 1, "uplink": "uplink", "guests": guests.collect::<Vec<_>>() });
                if let Some(wall) = wall {
                    spec["firewall"] = wall.clone();
                }
                spec.to_string()
            };
            let one = spec(&[200]);
            let read = |others: u8| {
                host().apply(&HostSpec::from_json(&spec(&(1..=others).collect::<Vec<_>>())).unwrap()).unwrap();
                // What was written this very moment cannot be told from what is written next.
                std::thread::sleep(std::time::Duration::from_millis(30));
                let read = ["add", "remove"].map(|command| bytes_read(command, &one));
                host().remove_all().unwrap();
                read
            };
            let (few, many) = (read(4), read(64));
            for (few, many) in few.into_iter().zip(many) {
                assert!(few > 1000, "{few}");
                assert!(many <= few + few / 5, "{many} bytes beside 64 guests, {few} beside 4; {wall:?}");
            }
        }
    }
}
