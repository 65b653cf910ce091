//! How often the command speaks to the kernel: a handful of times, however much it has to say.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;

use guestnet_lab::{Capability, lab_test, need, need_program};
use serde_json::{Value, json};
use support::{guest, host, sh, spec_of, with_uplink};

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
}
