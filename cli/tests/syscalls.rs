//! How often the command speaks to the kernel: a handful of times, however much it has to say.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;

use guestnet_lab::{Capability, lab_test, need, need_program};
use serde_json::{Value, json};
use support::{guest, host, sh, spec_of, with_uplink};

/// How many sends `guestnet apply` of `guests` makes on an empty host.
fn sends(guests: &[Value]) -> usize {
    let (guestnet, log) = (env!("CARGO_BIN_EXE_guestnet"), "/run/strace.log");
    let spec = json!({ "version": 1, "uplink": "uplink", "guests": guests });
    fs::write("/run/spec.json", spec.to_string()).unwrap();
    sh(&format!(
        "strace -f -qq -e trace=sendto,sendmsg -e signal=none -o {log} {guestnet} apply -f /run/spec.json"
    ));
    let said = fs::read_to_string(log).unwrap();
    // A call that another thread's interrupts is printed on two lines.
    let count = said.lines().filter(|line| line.contains("sendto(") || line.contains("sendmsg(")).count();
    assert!(host().verify(&spec_of(guests)).unwrap().is_empty());
    host().remove_all().unwrap();
    count
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
        println!("sends: {of_one} with one interface, {of_eight} with eight");
        assert!(of_one > 0);
        // Each tap gets its mark before it is there to stay: one send, and the one thing that netlink cannot do.
        assert!(of_eight <= of_one + 7, "{of_one} with one interface, {of_eight} with eight");
        assert!(of_one <= 60, "{of_one}");
    }
}
