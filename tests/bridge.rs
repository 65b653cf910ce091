//! Bridges on the running kernel, ours and others', and guests in them.

mod support;

use guestnet::HostSpec;
use guestnet_lab::{Capability, Guest, lab_test, need, note, ping};
use serde_json::{Value, json};
use support::{apply, dump, host, lines, same, sh, spec};

/// Guest `n` of the bridge `bridge`.
fn member(bridge: &str, n: u8) -> Value {
    json!({ "name": format!("g{n}"), "placement": "host", "interfaces": [{
        "name": format!("tap{n}"), "bridge": bridge, "mac": format!("02:00:5e:00:53:{n:02x}"),
        "private_ipv4": format!("192.168.5.{n}"), "public_ipv6": format!("2001:db8:5::{n:x}/128"),
    }]})
}

fn spec_of(bridges: &Value, guests: &[Value]) -> HostSpec {
    spec(&json!({ "version": 1, "bridges": bridges, "guests": guests }))
}

fn gateway() -> Value {
    json!([{ "name": "br0", "addresses": ["192.168.5.1/24", "2001:db8:5::1/64"] }])
}

/// Plugs guest `n` in, with the addresses that its spec says.
fn plug(n: u8) -> Guest {
    let mac = guestnet_lab::Mac([2, 0, 0x5e, 0, 0x53, n]);
    let here = guestnet_lab::Netns::here().unwrap();
    let guest = Guest::plug(&format!("vm{n}"), &here, &format!("tap{n}"), Some(mac)).unwrap();
    guest.netns().ip(&format!("address add 192.168.5.{n}/24 dev eth0")).unwrap();
    guest.netns().ip(&format!("address add 2001:db8:5::{n:x}/64 dev eth0 nodad")).unwrap();
    guest
}

fn settle(guests: &[&Guest]) {
    for guest in guests {
        let tentative = || guest.netns().ip("-6 address show tentative").unwrap().contains("inet6");
        guestnet_lab::wait_until("addresses", std::time::Duration::from_secs(10), || !tentative()).unwrap();
    }
}

#[test]
fn mistakes_about_bridges_are_named_each_at_its_place() {
    let mut stray = member("br9", 16);
    stray["interfaces"][0]["gateway_ipv4"] = "192.168.5.1/24".into();
    let mut own = member("br0", 1);
    own["placement"] = "own".into();
    let mut outside = member("br0", 2);
    outside["interfaces"][0]["private_ipv4"] = "10.0.0.2".into();
    let mut translated = member("lan0", 3);
    translated["interfaces"][0]["public_ipv4"] = "203.0.113.3".into();
    let mut port = member("br0", 4);
    port["interfaces"][0].as_object_mut().unwrap().remove("bridge");
    port["interfaces"][0]["port"] = json!({ "isolated": true });
    let bridges = json!([
        { "name": "br0", "addresses": ["192.168.5.1/24", "ff02::1/64"], "mtu": 1000, "options": { "ageing": 5 } },
        { "name": "lan0", "existing": true, "mtu": 1400, "mac": "02:00:00:00:00:01", "options": { "stp": true } },
        { "name": "tap2" },
    ]);
    let spec = json!({ "version": 1, "bridges": bridges, "guests": [stray, own, outside, translated, port] });
    let Err(guestnet::core::Error::Spec(problems)) = HostSpec::from_json(&spec.to_string()) else {
        panic!("it was taken")
    };
    let mut places: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            "bridges[0].addresses[1]",
            "bridges[0].mtu",
            "bridges[0].options.ageing",
            "bridges[1].mac",
            "bridges[1].mtu",
            "bridges[1].options",
            "bridges[2].name",
            "guests[0].interfaces[0].bridge",
            "guests[1].interfaces[0].bridge",
            "guests[1].interfaces[0].private_ipv4",
            "guests[2].interfaces[0].private_ipv4",
            "guests[3].interfaces[0].public_ipv4",
            "guests[4].interfaces[0].bridge",
        ],
        "{problems}"
    );
}

lab_test! {
    fn guests_of_a_bridge_reach_each_other_and_their_router() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let before = dump();
        let mut host = host();
        apply(&mut host, &spec_of(&gateway(), &[member("br0", 16), member("br0", 17)]));
        assert!(sh("ip link show tap16").contains("master br0"));
        assert!(sh("ip address show tap16").lines().all(|line| !line.contains("inet")), "a port has an address");
        assert!(sh("ip -o link show group 103103").lines().count() == 3);
        let (one, two) = (plug(16), plug(17));
        settle(&[&one, &two]);
        for to in ["192.168.5.17", "192.168.5.1", "2001:db8:5::11", "2001:db8:5::1"] {
            ping(one.netns(), None, to.parse().unwrap()).unwrap();
        }
        // For the addresses of its other links the host does not answer in the bridge.
        sh("ip link add other type veth peer name rehto; ip address add 192.0.2.7/24 dev other; ip link set other up");
        let patience = std::time::Duration::from_millis(300);
        let asker = "192.168.5.16".parse().unwrap();
        let asked = |target: &str| guestnet_lab::arp(one.netns(), "eth0", asker, target.parse().unwrap(), patience).unwrap();
        assert!(asked("192.168.5.1").is_some());
        assert_eq!(asked("192.0.2.7"), None);
        sh("ip link delete other");
        drop((one, two));
        host.remove_all().unwrap();
        same(&before, &dump());
    }

    fn isolated_ports_reach_the_router_alone_and_from_the_first_frame() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let mut host = host();
        let mut members = [member("br0", 16), member("br0", 17)];
        for member in &mut members {
            member["interfaces"][0]["port"] = json!({ "isolated": true });
        }
        apply(&mut host, &spec_of(&gateway(), &members));
        let (one, two) = (plug(16), plug(17));
        settle(&[&one, &two]);
        ping(one.netns(), None, "192.168.5.1".parse().unwrap()).unwrap();
        let patience = std::time::Duration::from_millis(300);
        let asker = "192.168.5.16".parse().unwrap();
        let arp = |target: &str| guestnet_lab::arp(one.netns(), "eth0", asker, target.parse().unwrap(), patience).unwrap();
        assert_eq!(arp("192.168.5.17"), None);
        // The same, not isolated: it is the option that keeps them apart.
        apply(&mut host, &spec_of(&gateway(), &[member("br0", 16), member("br0", 17)]));
        assert!(arp("192.168.5.17").is_some());
    }

    fn a_bridge_is_changed_in_place_and_drift_is_found() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let mut host = host();
        let old = spec_of(&gateway(), &[member("br0", 16)]);
        apply(&mut host, &old);
        let index = sh("cat /sys/class/net/br0/ifindex /sys/class/net/tap16/ifindex");
        let mut guest = member("br0", 16);
        guest["interfaces"][0]["port"] = json!({
            "isolated": true, "hairpin": true, "guard": true, "neigh_suppress": true, "learning": false, "flood": false,
        });
        let vlans = guestnet_lab::sh("ip link add t0 type bridge vlan_filtering 1 && ip link delete t0").is_ok();
        if !vlans {
            note("vlan_filtering: this kernel has no VLANs");
        }
        let bridges = json!([{ "name": "br0", "addresses": ["192.168.5.1/24", "2001:db8:5::1/64"], "mtu": 1400,
            "options": { "stp": true, "vlan_filtering": vlans, "mcast_snooping": false, "ageing": 0 } }]);
        let new = spec_of(&bridges, &[guest]);
        let made = lines(&host.plan(&new).unwrap());
        assert_eq!(made.len(), 2, "{made:#?}");
        let filtering = if vlans { " vlan_filtering 1" } else { "" };
        let options = format!("bridge stp_state 1{filtering} mcast_snooping 0 ageing_time 0 mtu 1400");
        assert!(made[0].starts_with(&format!("~ host link br0 {options}")), "{made:#?}");
        apply(&mut host, &new);
        let shown = sh("ip -d link show br0");
        for words in ["stp_state 1", filtering, "mcast_snooping 0", "ageing_time 0", "mtu 1400"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        let shown = sh("ip -d link show tap16");
        for words in ["isolated on", "hairpin on", "guard on", "neigh_suppress on", "learning off", "flood off"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        apply(&mut host, &old);
        assert_eq!(sh("cat /sys/class/net/br0/ifindex /sys/class/net/tap16/ifindex"), index, "made anew");

        for (drift, name) in [
            ("ip link set tap16 nomaster", "link tap16"),
            ("ip link set tap16 type bridge_slave isolated on", "link tap16"),
            ("ip link set tap16 type bridge_slave learning off", "link tap16"),
            ("ip link set br0 type bridge stp_state 1", "link br0"),
            ("ip link set br0 type bridge mcast_snooping 0", "link br0"),
            ("ip link set br0 type bridge ageing_time 1000", "link br0"),
            ("ip link set br0 address 02:00:00:00:00:77", "link br0"),
            ("ip link delete br0", "link br0"),
            ("ip address delete 192.168.5.1/24 dev br0", "address 192.168.5.1/24 dev br0"),
            ("ip -6 address flush dev br0 scope link", "address fe80::2c4b:5aff:fecd:e42d/64 dev br0"),
            ("sysctl -qw net.ipv4.conf.br0.arp_ignore=0", "link br0"),
            ("sysctl -qw net.ipv6.conf.tap16.disable_ipv6=0", "link tap16"),
        ] {
            sh(drift);
            let plan = host.verify(&old).unwrap();
            assert!(plan.changes().iter().any(|change| change.name() == name), "{drift}:\n{plan}");
            apply(&mut host, &old);
        }
    }

    fn a_bridge_of_somebody_elses_is_used_and_never_changed() {
        need(Capability::Tap);
        need(Capability::Bridge);
        sh("ip link add lan0 type bridge stp_state 0 ageing_time 12300
            ip link add eth0 type veth peer name switch
            ip link set eth0 master lan0 up
            ip link set switch up
            ip address add 192.168.5.1/24 dev lan0
            ip link set lan0 address 02:00:00:00:00:aa up");
        // The kernel gives links their own addresses some time after they came up.
        let settled = |dev: &str| sh(&format!("ip -6 address show dev {dev} scope link -tentative")).contains("inet6");
        guestnet_lab::wait_until("addresses", std::time::Duration::from_secs(10), || {
            ["lan0", "eth0", "switch"].into_iter().all(settled) && sh("bridge link show dev eth0").contains("forwarding")
        })
        .unwrap();
        let before = dump();
        let mut host = host();
        let existing = json!([{ "name": "lan0", "existing": true }]);
        apply(&mut host, &spec_of(&existing, &[member("lan0", 16), member("lan0", 17)]));
        let bridge = |dump: &str| dump.lines().filter(|line| line.contains("lan0")).map(str::to_owned).collect::<Vec<_>>();
        assert!(sh("ip link show master lan0").contains("tap16"));
        assert!(sh("ip -d link show lan0").contains("ageing_time 12300"));
        let guest = plug(16);
        settle(&[&guest]);
        ping(guest.netns(), None, "192.168.5.1".parse().unwrap()).unwrap();
        drop(guest);
        // One goes, the other stays.
        apply(&mut host, &spec_of(&existing, &[member("lan0", 17)]));
        assert!(!sh("ip link show master lan0").contains("tap16"));
        host.remove_all().unwrap();
        assert_eq!(bridge(&before), bridge(&dump()));
        same(&before, &dump());
        // A bridge of that name that we should make is in the way, and stays as it is.
        let refused = host.apply(&spec_of(&json!([{ "name": "lan0" }]), &[])).unwrap_err().to_string();
        assert!(refused.contains("lan0"), "{refused}");
        same(&before, &dump());
    }

    fn a_bridge_that_is_not_there_is_said_and_leaves_nothing() {
        need(Capability::Tap);
        let before = dump();
        let mut host = host();
        let existing = json!([{ "name": "lan0", "existing": true }]);
        let refused = host.apply(&spec_of(&existing, &[member("lan0", 16)])).unwrap_err().to_string();
        assert!(refused.contains("lan0") && refused.contains("no such interface"), "{refused}");
        same(&before, &dump());
    }

    fn a_removal_leaves_the_bridge_to_the_others_in_it() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let before = dump();
        let mut host = host();
        let (one, two) = (member("br0", 16), member("br0", 17));
        let both = spec_of(&gateway(), &[one.clone(), two.clone()]);
        let (first, second) = (spec_of(&gateway(), &[one]), spec_of(&gateway(), &[two]));
        apply(&mut host, &both);
        host.remove(&first).unwrap();
        assert!(host.verify(&second).unwrap().is_empty());
        host.remove(&second).unwrap();
        // The host was applied with it: it stays until the host is applied without.
        assert!(host.verify(&spec_of(&gateway(), &[])).unwrap().is_empty());
        host.remove_all().unwrap();
        same(&before, &dump());
        // One that parts brought goes with the last that names it.
        host.add(&first).unwrap();
        host.add(&second).unwrap();
        host.remove(&first).unwrap();
        assert!(host.verify(&second).unwrap().is_empty());
        host.remove(&second).unwrap();
        same(&before, &dump());
    }

    fn what_a_host_with_bridges_shows_is_a_spec_of_it() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let mut host = host();
        let mut guest = member("br0", 16);
        guest["interfaces"][0]["port"] = json!({ "isolated": true });
        apply(&mut host, &spec_of(&gateway(), &[guest]));
        let shown = HostSpec { objects: host.observe().unwrap(), ..HostSpec::new() };
        let again = HostSpec::from_json(&serde_json::to_string(&shown).unwrap()).unwrap();
        assert!(host.plan(&again).unwrap().is_empty());
        host.remove_all().unwrap();
        apply(&mut host, &again);
        assert!(sh("ip -d link show tap16").contains("isolated on"));
    }
}
