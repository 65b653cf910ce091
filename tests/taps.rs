//! Taps that a monitor of virtual machines has open: nothing that is applied takes them away, and what the opener decides
//! is as wanted.

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use guestnet::core::LinkName;
use guestnet::core::Namespace;
use guestnet::core::link::in_use;
use guestnet_lab::craft::{arp::Arp, ethernet};
use guestnet_lab::{Capability, Frame, Mac, Netns, Tap, frame, lab_test, need, wait_until};
use serde_json::{Value, json};
use support::{apply, guest, guest_in_host, host, lines, objects_in_host, sh, spec, spec_of, with_uplink};

const GUEST: Mac = Mac([0x02, 0, 0x5e, 0, 0x53, 7]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 7);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 254);

/// Who the guest behind `tap` is told its router is. It asks again, since the kernel sends nothing until it has settled
/// that a tap that was just opened has a carrier.
fn router(tap: &Tap) -> Mac {
    let request = Arp::request(GUEST, ADDRESS, ROUTER).bytes();
    let mut found = None;
    wait_until("the router answers", Duration::from_secs(10), || {
        tap.send(&ethernet::frame(Mac::BROADCAST, GUEST, frame::ARP, &request)).unwrap();
        while let Some(given) = tap.receive().map(Frame) {
            if given.ethertype() == Some(frame::ARP) && given.destination() == Some(GUEST) {
                found = given.source();
            }
        }
        found.is_some()
    })
    .unwrap();
    found.unwrap()
}

fn with_queues(mut guest: Value, multi_queue: bool) -> Value {
    guest["interfaces"][0]["kind"] = json!({ "tap": { "multi_queue": multi_queue } });
    guest
}

fn bridged(n: u8) -> Value {
    json!({ "name": "vm", "placement": "host", "interfaces": [{
        "name": "tapvm", "bridge": "br0", "mac": GUEST.to_string(), "private_ipv4": format!("192.168.0.{n}"),
    }]})
}

/// The specs in which `tapvm` is, and the namespace that it is in.
fn everywhere(multi_queue: bool) -> Vec<(Value, &'static str)> {
    let of = |guest| json!({ "version": 1, "uplink": "uplink", "guests": [with_queues(guest, multi_queue)] });
    let mut in_a_bridge = of(bridged(7));
    in_a_bridge["bridges"] = json!([{ "name": "br0", "addresses": [format!("{ROUTER}/24")] }]);
    vec![(of(guest("vm", 7)), "vm"), (of(guest_in_host("vm", 7)), ""), (in_a_bridge, "")]
}

fn netns(name: &str) -> Netns {
    if name.is_empty() { Netns::here() } else { Netns::open(name) }.unwrap()
}

lab_test! {
    /// A tap's virtio header is its last opener's to decide, and so is its MAC address.
    fn a_tap_that_is_open_stays() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _outside = with_uplink();
        for multi_queue in [false, true] {
            for (wanted, place) in everywhere(multi_queue) {
                let wanted = spec(&wanted);
                let mut host = host();
                apply(&mut host, &wanted);
                let netns = netns(place);
                let tap = Tap::open_as_monitor(&netns, "tapvm", multi_queue).unwrap();
                let index = netns.ip("-o link show tapvm").unwrap();
                let known = router(&tap);
                for mut host in [host, support::host()] {
                    apply(&mut host, &wanted);
                    assert_eq!(host.add(&wanted).unwrap().changes, 0);
                    assert_eq!(router(&tap), known, "{place}");
                }
                assert!(netns.ip("-d link show tapvm").unwrap().contains("vnet_hdr on"));

                // Cloud Hypervisor can be told which MAC address the tap shall have.
                netns.ip("link set tapvm address fe:00:5e:00:53:99").unwrap();
                apply(&mut support::host(), &wanted);
                netns.ip("link set tapvm mtu 1400").unwrap();
                apply(&mut support::host(), &wanted);
                let now = netns.ip("-o link show tapvm").unwrap();
                assert!(now.contains("fe:00:5e:00:53:99") && now.contains("mtu 1500"), "{now}");
                assert_eq!(now.split(':').next(), index.split(':').next(), "{now}");
                router(&tap);
                drop(tap);
                apply(&mut support::host(), &wanted);
                support::host().remove_all().unwrap();
            }
        }
    }

    /// What lives in the guest knows its router by a MAC address, and goes on when the tap is made anew.
    fn a_tap_that_is_made_anew_has_the_same_mac_address() {
        need(Capability::Tap);
        let _outside = with_uplink();
        for guest in [guest("vm", 7), guest_in_host("vm", 7)] {
            let mut known = Vec::new();
            for multi_queue in [false, true, false] {
                let wanted = spec_of(&[with_queues(guest.clone(), multi_queue)]);
                apply(&mut host(), &wanted);
                let netns = netns(if guest["placement"] == "host" { "" } else { "vm" });
                known.push(router(&Tap::open_as_monitor(&netns, "tapvm", multi_queue).unwrap()));
            }
            known.dedup();
            assert!(known.len() == 1 && known[0].0[0] == 0xfe, "{known:?}");
            host().remove_all().unwrap();
        }
    }

    /// Several queues can be had only by another tap: whoever has this one open would lose it.
    fn a_link_in_use_is_made_again_only_by_its_name() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _outside = with_uplink();
        for (guest, place) in [(guest("vm", 7), "vm"), (guest_in_host("vm", 7), "")] {
            let mut host = host();
            apply(&mut host, &spec_of(&[with_queues(guest.clone(), false)]));
            let netns = netns(place);
            let other = spec_of(&[with_queues(guest, true)]);
            // Nobody uses it yet.
            assert!(host.plan(&other).unwrap().in_use().is_empty());
            netns.ip("address add 10.77.0.1/24 dev tapvm").unwrap();
            let refused = |host: &mut guestnet::Host, users: &str| {
                let plan = host.plan(&other).unwrap();
                let [line] = plan.in_use() else { panic!("{plan}") };
                assert!(line.starts_with("link tapvm") && line.contains(&format!("in use ({users})")), "{line}");
                assert!(plan.to_string().contains(&format!("! {line}")), "{plan}");
                let before = support::dump_of(&netns);
                for refused in [host.apply(&other), support::host().apply(&other), host.add(&other)] {
                    let said = refused.unwrap_err().to_string();
                    assert!(said.contains("--remake tapvm") && said.contains("nothing was changed"), "{said}");
                }
                support::same(&before, &support::dump_of(&netns));
            };
            refused(&mut host, "it has the address 10.77.0.1/24");
            let tap = Tap::open_as_monitor(&netns, "tapvm", false).unwrap();
            let known = router(&tap);
            refused(&mut host, "a program has it open, it has the address 10.77.0.1/24");
            assert_eq!(router(&tap), known);
            netns.ip("link add others0 type bridge").unwrap();
            netns.ip("link set tapvm master others0").unwrap();
            refused(&mut host, "a program has it open, others0 is its master, it has the address 10.77.0.1/24");
            netns.ip("link delete others0").unwrap();
            host.may_remake(["other".parse().unwrap()]);
            assert!(host.apply(&other).is_err(), "another link was allowed");
            host.may_remake(["tapvm".parse().unwrap()]);
            host.apply(&other).unwrap();
            assert!(netns.ip("-d link show tapvm").unwrap().contains("multi_queue"));
            assert!(host.verify(&other).unwrap().is_empty());
            host.remove_all().unwrap();
        }
    }

    /// In another namespace there would be another tap.
    fn a_guest_does_not_move_while_its_tap_is_open() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let (own, on_host) = (guest("vm", 7), guest_in_host("vm", 7));
        let mut elsewhere = own.clone();
        elsewhere["placement"] = json!({ "namespace": "elsewhere" });
        // Another guest's tap of the same name is not in the way of its own.
        let mut other = guest("other", 8);
        other["interfaces"][0]["name"] = "tapvm".into();
        for (from, place, to) in
            [(&own, "vm", &on_host), (&on_host, "", &own), (&own, "vm", &elsewhere), (&elsewhere, "elsewhere", &own)]
        {
            let mut host = host();
            let wanted = spec_of(std::slice::from_ref(from));
            apply(&mut host, &wanted);
            let tap = Tap::open_as_monitor(&netns(place), "tapvm", false).unwrap();
            let known = router(&tap);
            let moved = spec_of(std::slice::from_ref(to));
            let plan = host.plan(&moved).unwrap();
            assert!(matches!(plan.in_use(), [line] if line.starts_with("link tapvm")), "{plan}");
            let before = support::dump_of(&netns(place));
            for refused in [host.apply(&moved), support::host().apply(&moved)] {
                let said = refused.unwrap_err().to_string();
                assert!(said.contains("--remake tapvm") && said.contains("nothing was changed"), "{said}");
            }
            support::same(&before, &support::dump_of(&netns(place)));
            assert_eq!(router(&tap), known);
            host.may_remake(["tapvm".parse().unwrap()]);
            host.apply(&moved).unwrap();
            assert!(host.verify(&moved).unwrap().is_empty());
            drop(tap);
            apply(&mut host, &wanted);
            // Who leaves takes the tap along, in use or not.
            let _tap = Tap::open_as_monitor(&netns(place), "tapvm", false).unwrap();
            let instead = spec_of(std::slice::from_ref(&other));
            assert!(host.plan(&instead).unwrap().in_use().is_empty());
            apply(&mut host, &instead);
            host.remove_all().unwrap();
        }
    }

    /// An existing bridge has the lowest MAC address of its ports', where nobody has given it one.
    fn a_bridge_of_others_keeps_its_mac_address_when_a_tap_joins() {
        need(Capability::Tap);
        need(Capability::Bridge);
        sh("ip link add br0 type bridge; ip link add eth0 type veth peer name wire
            ip link set eth0 address fa:00:00:00:00:01; ip link set eth0 master br0; ip link set br0 up");
        let mac = || Mac::of(&Netns::here().unwrap(), "br0").unwrap();
        let before = mac();
        let taps: Vec<Value> = (1..10).map(|n| {
            let mut guest = bridged(n);
            guest["name"] = format!("vm{n}").into();
            guest["interfaces"][0]["name"] = format!("tap{n}").into();
            guest["interfaces"][0]["mac"] = format!("02:00:5e:00:53:{n:02x}").into();
            guest
        }).collect();
        let bridges = json!([{ "name": "br0", "existing": true }]);
        apply(&mut host(), &spec(&json!({ "version": 1, "bridges": bridges, "guests": taps })));
        assert_eq!(mac(), before);
        host().remove_all().unwrap();
    }

    fn who_has_a_tap_open_is_told() {
        need(Capability::Tap);
        let links: Vec<Value> = [("one", false, true), ("two", true, true), ("three", false, true), ("four", true, false)]
            .map(|(name, multi_queue, up)| json!({ "name": name, "kind": { "tap": { "multi_queue": multi_queue } }, "up": up }))
            .into();
        apply(&mut host(), &objects_in_host(&json!({ "links": links })));
        sh("ip link add five type veth peer name six; ip link set five up; ip link set six up");
        let here = Netns::here().unwrap();
        let names = ["one", "two", "three", "four", "five", "seven"].map(|name| name.parse::<LinkName>().unwrap());
        let mut namespace = Namespace::current().unwrap();
        let mut used = || {
            let used = in_use(&mut namespace, &names).unwrap();
            used.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(used().is_empty());
        let one = Tap::open_as_monitor(&here, "one", false).unwrap();
        let two = [(); 2].map(|()| Tap::open_as_monitor(&here, "two", true).unwrap());
        let four = Tap::open_as_monitor(&here, "four", true).unwrap();
        assert_eq!(used(), ["four", "one", "two"]);
        drop((one, four));
        assert_eq!(used(), ["two"]);
        drop(two);
        assert!(used().is_empty());
    }

    /// Who may open a tap can be changed by none but its opener, and how many queues it has by nobody.
    fn what_cannot_be_changed_makes_a_tap_anew() {
        need(Capability::Tap);
        let of = |options: Value| objects_in_host(&json!({ "links": [{ "name": "one", "kind": { "tap": options } }] }));
        let mut host = host();
        apply(&mut host, &of(json!({})));
        for (options, anew) in [
            (json!({ "vnet_hdr": true }), false),
            (json!({ "owner": 0 }), true),
            (json!({ "owner": 0, "group": 0 }), true),
            (json!({ "owner": 0, "group": 0, "vnet_hdr": true }), false),
            (json!({ "owner": 0, "group": 0, "multi_queue": true }), true),
            (json!({}), true),
        ] {
            let wanted = of(options.clone());
            let signs: String = lines(&host.plan(&wanted).unwrap()).iter().map(|line| &line[..1]).collect();
            assert_eq!(signs, if anew { "-+" } else { "" }, "{options}");
            apply(&mut host, &wanted);
        }
        host.remove_all().unwrap();
    }
}
