//! Hosts on the running kernel: applied, changed, removed.

mod support;

use std::fs;
use std::path::Path;

use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, has, lab_test, need, note};
use serde_json::{Value, json};
use support::{
    apply, dump, files, guest, guest_in_host, host, lines, objects_in_host, same, sh, spec, spec_of,
    with_uplink,
};

lab_test! {
    fn guests_come_and_go() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let before = dump();
        let mut host = host();
        let (one, two, three) = (guest("one", 1), guest("two", 2), guest_in_host("three", 3));

        apply(&mut host, &spec_of(std::slice::from_ref(&one)));
        let with_one = dump();
        apply(&mut host, &spec_of(&[one.clone(), two.clone(), three.clone()]));
        assert!(sh("ip -n two route").contains("192.168.0.2 dev taptwo proto 103"));
        let routes = sh("ip route");
        let to_two = routes.lines().find(|line| line.starts_with("203.0.113.2 via inet6 fe80::")).unwrap();
        assert!(to_two.contains("dev vethotwo proto 103"), "{to_two}");
        assert!(sh("nft list map ip guestnet_nat inbound32").contains("203.0.113.3 : 192.168.0.3"));
        let plan = host.plan(&spec_of(&[one.clone(), three])).unwrap();
        assert!(plan.changes().iter().all(|c| c.sign() == '-' && c.text().contains("two")
            || c.text().contains("2001:db8:1::2") || c.text().contains("2001:db8:1:2::")), "{plan}");
        apply(&mut host, &spec_of(&[one]));
        same(&with_one, &dump());
        let report = host.remove_all().unwrap();
        assert!(report.left.is_empty(), "{report}");
        same(&before, &dump());
        assert_eq!(host.remove_all().unwrap().changes, 0);
    }

    fn what_a_host_shows_is_a_spec_of_it() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let wanted = spec_of(&[guest("one", 1), guest("two", 2), guest_in_host("three", 3)]);
        apply(&mut host, &wanted);
        let shown = HostSpec { objects: host.observe().unwrap(), ..HostSpec::new() };
        for again in [
            HostSpec::from_json(&serde_json::to_string(&shown).unwrap()).unwrap(),
            HostSpec::from_toml(&toml::to_string(&shown).unwrap()).unwrap(),
        ] {
            assert_eq!(again.objects().unwrap(), shown.objects);
            let plan = host.plan(&again).unwrap();
            assert!(plan.is_empty(), "{plan}");
        }
        // A host of the same kind can be made from it.
        let whole = dump();
        host.remove_all().unwrap();
        apply(&mut host, &shown);
        assert!(host.verify(&wanted).unwrap().is_empty());
        let stable = |dump: &str| dump.lines().filter(|line| !line.contains('@')).count();
        assert_eq!(stable(&whole), stable(&dump()));
    }

    fn a_changed_guest_is_the_difference_and_no_more() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let old = guest("vm", 7);
        apply(&mut host, &spec_of(std::slice::from_ref(&old)));
        let with_old = dump();
        let mut change = |change: &dyn Fn(&mut Value), wanted: &[&str]| {
            let mut new = old.clone();
            change(&mut new);
            let new = spec_of(&[new]);
            let made = without_settings(lines(&host.plan(&new).unwrap()));
            assert_eq!(made, wanted);
            apply(&mut host, &new);
            has_gateways();
            apply(&mut host, &spec_of(std::slice::from_ref(&old)));
            same(&without_indexes(&with_old), &without_indexes(&dump()));
        };
        change(&|guest| guest["interfaces"][0]["mtu"] = 1400.into(), &[
            "~ vm link tapvm tap mtu 1400 address MAC up (was: tapvm tap mtu 1500 address MAC up)",
            "~ host file vm/dnsmasq.conf mode 0644, 16 lines (2 lines new, 0 gone; was mode 0644)",
        ]);
        change(&|guest| guest["interfaces"][0]["public_ipv4"] = "203.0.113.77".into(), &[
            "+ host route 203.0.113.77/32 via inet6 fe80::287a:80ff:fe3a:8fda dev vethovm",
            "- host route 203.0.113.7/32 via inet6 fe80::287a:80ff:fe3a:8fda dev vethovm",
            "~ vm table ip guestnet_nat inbound32: -203.0.113.7 : 192.168.0.7 +203.0.113.77 : 192.168.0.7, \
             outbound32: ~192.168.0.7 : 203.0.113.77",
            "+ vm address 203.0.113.77/32 dev vethivm",
            "- vm address 203.0.113.7/32 dev vethivm",
        ]);
        change(&|guest| guest["interfaces"][0]["private_ipv4"] = "192.168.0.77".into(), &[
            "~ vm table ip guestnet_nat inbound32: ~203.0.113.7 : 192.168.0.77, \
             outbound32: -192.168.0.7 : 203.0.113.7 +192.168.0.77 : 203.0.113.7",
            "+ vm route 192.168.0.77/32 dev tapvm",
            "- vm route 192.168.0.7/32 dev tapvm",
            "~ host file vm/dnsmasq.conf mode 0644, 14 lines (2 lines new, 2 gone; was mode 0644)",
        ]);
        change(&|guest| guest["interfaces"][0]["private_ipv6"] = "fd00:0:0:770::/64".into(), &[
            "+ vm address fd00:0:0:770::1/64 dev tapvm nodad",
            "- vm address fd00:0:0:7::1/64 dev tapvm nodad",
            "~ host file vm/dnsmasq.conf mode 0644, 14 lines (2 lines new, 2 gone; was mode 0644)",
        ]);
        change(&|guest| guest["transit"] = json!({"mtu": 9000, "host_mac": "02:00:00:00:00:11"}), &[
            "~ host link vethovm veth peer vethivm netns vm mtu 9000 address MAC up \
             (was: vethovm veth peer vethivm netns vm mtu 1500 address MAC up)",
            "+ host address fe80::ff:fe00:11/64 dev vethovm nodad",
            "- host address fe80::b47a:75ff:fea5:870f/64 dev vethovm nodad",
            "~ vm link vethivm veth peer vethovm mtu 9000 address MAC up \
             (was: vethivm veth peer vethovm mtu 1500 address MAC up)",
            "~ vm route 0.0.0.0/0 via inet6 fe80::ff:fe00:11 dev vethivm \
             (was: 0.0.0.0/0 via inet6 fe80::b47a:75ff:fea5:870f dev vethivm)",
            "~ vm route 2000::/3 via fe80::ff:fe00:11 dev vethivm \
             (was: 2000::/3 via fe80::b47a:75ff:fea5:870f dev vethivm)",
        ]);
        change(&|guest| guest["proxied"] = json!(["2001:db8:1::77"]), &[
            "+ host proxied neighbour 2001:db8:1::77 dev uplink",
            "- host proxied neighbour 2001:db8:1::7 dev uplink",
        ]);
        change(&|guest| guest["nat"] = json!({"mode": "notrack", "untranslated": ["192.168.0.0/16"]}), &[
            "~ vm table ip guestnet_nat ~chain arrived, ~chain hairpin, ~chain icmp_inward, ~chain prerouting, \
             ~chain quoted_destination, ~chain quoted_source, -chain icmp_outward, -chain postrouting, \
             near: -10.0.0.0 -172.0.0.0, untranslated: -10.0.0.0/8 -172.16.0.0/12",
            "- vm sysctl net/ipv4/fwmark_reflect=1",
        ]);
        change(&|guest| guest["interfaces"].as_array_mut().unwrap().push(json!({"name": "second", "private_ipv4": "192.168.1.7", "serve": false})), &[
            "+ vm link second tap mtu 1500 address MAC up",
            "+ vm address 169.254.1.1/32 dev second noprefixroute",
            "+ vm route 192.168.1.7/32 dev second",
        ]);
        change(&|guest| guest["interfaces"][0]["kind"] = json!({"tap": {"multi_queue": true}}), &[
            "- vm link tapvm tap mtu 1500 address MAC up",
            "+ vm link tapvm tap multi_queue mtu 1500 address MAC up",
            "+ vm address 192.168.0.254/24 dev tapvm noprefixroute",
            "+ vm address 2001:db8:1:7::1/64 dev tapvm nodad",
            "+ vm address fd00:0:0:7::1/64 dev tapvm nodad",
            "+ vm address fe80::fcd3:7aff:fe46:f9ee/64 dev tapvm nodad",
            "+ vm route 192.168.0.7/32 dev tapvm",
        ]);
        change(&|guest| guest["interfaces"][0]["name"] = "renamed".into(), &[
            "+ vm link renamed tap mtu 1500 address MAC up",
            "- vm link tapvm tap mtu 1500 address MAC up",
            "+ vm address 192.168.0.254/24 dev renamed noprefixroute",
            "+ vm address 2001:db8:1:7::1/64 dev renamed nodad",
            "+ vm address fd00:0:0:7::1/64 dev renamed nodad",
            "+ vm address fe80::fc17:5bff:fe16:fc3/64 dev renamed nodad",
            "~ vm route 192.168.0.7/32 dev renamed (was: 192.168.0.7/32 dev tapvm)",
            "~ host file vm/dnsmasq.conf mode 0644, 14 lines (6 lines new, 6 gone; was mode 0644)",
        ]);
    }

    fn links_of_every_kind_are_made_changed_and_made_anew() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let before = dump();
        let mut host = host();
        let mut links = vec![
            json!({"name": "br0", "kind": {"bridge": {}}, "mtu": 1400, "mac": "02:00:00:00:00:b0"}),
            json!({"name": "t0", "kind": {"tap": {"multi_queue": true, "vnet_hdr": true}}, "bridge": "br0"}),
            json!({"name": "t1", "kind": {"tap": {"owner": 0, "group": 0}}, "up": false}),
            json!({"name": "v0", "kind": {"veth": {"peer": "v1"}}, "mtu": 1300}),
        ];
        match has(Capability::Dummy) {
            Ok(()) => links.push(json!({"name": "d0", "kind": "dummy"})),
            Err(words) => note(&format!("no dummies: {words}")),
        }
        let address = json!({"dev": "t1", "address": "10.0.0.1/24"});
        let all = json!({ "links": links, "addresses": [address] });
        apply(&mut host, &objects_in_host(&all));
        assert!(sh("ip -d link show t0").contains("vnet_hdr on multi_queue"), "{}", sh("ip -d link show t0"));
        assert!(sh("ip link show t0").contains("master br0"));
        assert!(sh("ip link show v1").contains("UP"));

        let mut changed = all.clone();
        changed["links"][0]["mtu"] = 1350.into();
        changed["links"][0]["mac"] = "02:00:00:00:00:b1".into();
        changed["links"][1].as_object_mut().unwrap().remove("bridge");
        changed["links"][2]["up"] = true.into();
        let changed = objects_in_host(&changed);
        let plan = host.plan(&changed).unwrap();
        assert_eq!(plan.changes().iter().map(|c| format!("{} {}", c.sign(), c.name())).collect::<Vec<_>>(),
            ["~ link br0", "~ link t0", "~ link t1"], "{plan}");
        apply(&mut host, &changed);
        assert!(sh("ip link show br0").contains("02:00:00:00:00:b1"));

        // A tap that becomes one end of a pair: with it goes what lives on it.
        let mut other = all;
        other["links"][2]["kind"] = json!({"veth": {"peer": "t1peer"}});
        let other = objects_in_host(&other);
        let plan = host.plan(&other).unwrap();
        let names: Vec<String> = plan.changes().iter().map(|c| format!("{} {}", c.sign(), c.name())).collect();
        assert!(names.iter().any(|n| n == "- link t1") && names.iter().any(|n| n == "+ link t1"), "{plan}");
        assert!(names.iter().any(|n| n == "+ address 10.0.0.1/24 dev t1"), "{plan}");
        apply(&mut host, &other);
        assert!(sh("ip address show t1").contains("10.0.0.1/24"));

        host.remove_all().unwrap();
        same(&before, &dump());
    }

    fn a_pair_moves_to_another_namespace() {
        let before = dump();
        let mut host = host();
        let pair = |namespace: &str| spec(&json!({"version": 1, "objects": {
            "host": {"links": [{"name": "v0", "kind": {"veth": {"peer": "v1", "namespace": namespace}}}],
                "addresses": [{"dev": "v0", "address": "10.0.0.1/24"}]},
            "namespaces": {"a": {}, "b": {}}}}));
        apply(&mut host, &pair("a"));
        apply(&mut host, &pair("b"));
        assert!(sh("ip -n b link").contains("v1@"));
        assert!(!sh("ip -n a link").contains("v1@"));
        host.remove_all().unwrap();
        same(&before, &dump());
    }

    fn routes_of_every_kind() {
        let before = dump();
        let mut host = host();
        let objects = json!({
            "links": [{"name": "v0", "kind": {"veth": {"peer": "v1"}}}],
            "addresses": [
                {"dev": "v0", "address": "10.1.0.1/24"},
                {"dev": "v0", "address": "10.1.0.9/32", "noprefixroute": true},
                {"dev": "v0", "address": "2001:db8:1::1/64", "nodad": true},
            ],
            "routes": [
                {"to": "10.2.0.0/16", "dev": "v0"},
                {"to": "10.3.0.0/16", "via": "10.1.0.2", "dev": "v0"},
                {"to": "10.3.0.0/16", "via": "10.1.0.3", "dev": "v0", "metric": 7},
                {"to": "10.3.0.0/16", "via": "10.1.0.4", "dev": "v0", "table": 1000},
                {"to": "10.4.0.0/16", "via": "192.0.2.1", "dev": "v0", "onlink": true},
                {"to": "10.5.0.0/16", "via": "fe80::5", "dev": "v0"},
                {"to": "10.6.0.0/16", "dev": "v0", "source": "10.1.0.9"},
                {"to": "10.7.0.0/16", "dev": "v0", "mtu": 1280},
                {"to": "10.8.0.0/16", "kind": "blackhole"},
                {"to": "10.9.0.0/16", "kind": "unreachable"},
                {"to": "10.10.0.0/16", "kind": "prohibit", "table": 77, "metric": 3},
                {"to": "0.0.0.0/0", "via": "10.1.0.2", "dev": "v0"},
                {"to": "2001:db8:2::/48", "dev": "v0"},
                {"to": "2001:db8:3::/48", "via": "fe80::3", "dev": "v0"},
                {"to": "2001:db8:4::/48", "via": "2001:db8:1::2", "dev": "v0", "metric": 7, "table": 99},
                {"to": "2001:db8:5::/48", "dev": "v0", "source": "2001:db8:1::1", "mtu": 1300},
                {"to": "2001:db8:6::/48", "via": "2001:db8:9::1", "dev": "v0", "onlink": true},
                {"to": "2001:db8:7::/48", "kind": "blackhole"},
                {"to": "2001:db8:8::/48", "kind": "unreachable"},
                {"to": "2001:db8:9::/48", "kind": "prohibit"},
                {"to": "::/0", "via": "fe80::1", "dev": "v0"},
            ],
        });
        let count = objects["routes"].as_array().unwrap().len();
        apply(&mut host, &objects_in_host(&objects));
        let shown = host.observe().unwrap();
        assert_eq!(shown.host.routes.len(), count);
        assert_eq!(host.plan(&HostSpec { objects: shown, ..HostSpec::new() }).unwrap().to_string(), "nothing to do");
        for line in ["10.5.0.0/16 via inet6 fe80::5 dev v0 proto 103", "10.7.0.0/16 dev v0 proto 103 scope link mtu 1280",
            "blackhole 10.8.0.0/16 proto 103", "10.6.0.0/16 dev v0 proto 103 scope link src 10.1.0.9"] {
            assert!(sh("ip route").contains(line), "{line}\n{}", sh("ip route"));
        }
        let mut changed = objects.clone();
        changed["routes"][1]["via"] = "10.1.0.5".into();
        changed["routes"][8]["kind"] = "unreachable".into();
        changed["routes"][13]["via"] = "fe80::4".into();
        changed["routes"][17]["kind"] = "prohibit".into();
        let changed = objects_in_host(&changed);
        assert_eq!(lines(&host.plan(&changed).unwrap()), [
            "~ host route 10.3.0.0/16 via 10.1.0.5 dev v0 (was: 10.3.0.0/16 via 10.1.0.2 dev v0)",
            "~ host route unreachable 10.8.0.0/16 (was: blackhole 10.8.0.0/16)",
            "~ host route 2001:db8:3::/48 via fe80::4 dev v0 (was: 2001:db8:3::/48 via fe80::3 dev v0)",
            "~ host route prohibit 2001:db8:7::/48 (was: blackhole 2001:db8:7::/48)",
        ]);
        apply(&mut host, &changed);
        host.remove_all().unwrap();
        same(&before, &dump());
    }

    fn part_of_a_host_is_removed() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let one = spec(&json!({"version": 1, "guests": [guest_without_uplink("one", 1)]}));
        let both = spec(&json!({"version": 1, "guests": [guest_without_uplink("one", 1), guest_without_uplink("two", 2)]}));
        apply(&mut host, &both);
        host.remove(&one).unwrap();
        assert_eq!(sh("ip netns list | cut -d' ' -f1"), "two\noutside\n");
        assert!(!sh("ip link").contains("vethoone"));
        assert!(!Path::new("/run/guestnet/one").exists());
        // The other guest is whole, and goes as a whole.
        let other = spec(&json!({"version": 1, "guests": [guest_without_uplink("two", 2)]}));
        assert_eq!(host.plan(&other).unwrap().to_string(), "nothing to do");
        host.remove(&other).unwrap();
        assert!(host.observe().unwrap().is_empty());
    }

    fn a_guest_leaves_the_tables_that_it_shares() {
        need(Capability::Tap);
        let mut host = host();
        let guest = |n: u8| json!({"name": format!("g{n}"), "placement": "host", "interfaces": [{
            "name": format!("tap{n}"),
            "public_ipv4": format!("203.0.113.{n}"),
            "private_ipv4": format!("192.168.0.{n}"),
        }]});
        let spec_of = |guests: &[serde_json::Value]| spec(&json!({"version": 1, "guests": guests}));
        let before = sh("nft list ruleset");
        apply(&mut host, &spec_of(&[guest(1), guest(2)]));
        host.remove(&spec_of(&[guest(1)])).unwrap();
        assert_eq!(host.plan(&spec_of(&[guest(2)])).unwrap().to_string(), "nothing to do");
        let shown = sh("nft list ruleset");
        assert!(shown.contains("203.0.113.2") && !shown.contains("203.0.113.1 "), "{shown}");
        host.remove(&spec_of(&[guest(2)])).unwrap();
        assert_eq!(sh("nft list ruleset"), before);
        assert!(host.observe().unwrap().is_empty());
    }

    fn files_are_written_changed_and_removed() {
        let mut host = Host::open().unwrap().files_in("/run/elsewhere");
        let folder = Path::new("/run/elsewhere");
        let file = |mode: &str, content: &str| spec(&json!({"version": 1, "objects": {"files": [
            {"path": "a/b/c.conf", "mode": mode, "content": content},
            {"path": "d.conf", "content": "d\n"},
        ]}}));
        let report = apply(&mut host, &file("0600", "one\n"));
        assert_eq!(report.files.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a/b/c.conf", "d.conf"]);
        let text = fs::read_to_string(folder.join("a/b/c.conf")).unwrap();
        assert!(text.starts_with("# guestnet owner=") && text.ends_with("\none\n"), "{text}");
        assert!(files(folder).iter().any(|line| line.starts_with("a/b/c.conf 600 # guestnet")), "{:?}", files(folder));

        let changed = file("0640", "two\n");
        assert_eq!(lines(&host.plan(&changed).unwrap()),
            ["~ host file a/b/c.conf mode 0640, 1 lines (1 lines new, 1 gone; was mode 0600)"]);
        let report = apply(&mut host, &changed);
        assert_eq!(report.files.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a/b/c.conf"]);
        assert!(files(folder).iter().any(|line| line.starts_with("a/b/c.conf 640 # guestnet")));

        fs::remove_file(folder.join("d.conf")).unwrap();
        assert_eq!(lines(&host.verify(&changed).unwrap()), ["+ host file d.conf mode 0644, 1 lines"]);
        apply(&mut host, &changed);
        host.remove_all().unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }
}

fn guest_without_uplink(name: &str, n: u8) -> Value {
    let mut guest = guest(name, n);
    guest.as_object_mut().unwrap().remove("proxied");
    guest
}

/// The MAC addresses that the kernel chose.
/// Lines of plans without what follows from the host: MAC addresses and settings of links.
fn without_settings(lines: Vec<String>) -> Vec<String> {
    let mac = |word: &str| word.len() == 17 && word.split(':').count() == 6;
    let word = |word: &str| if mac(word) { "MAC".to_owned() } else { word.to_owned() };
    let setting = |word: &&str| word.starts_with("ipv4/") || word.starts_with("ipv6/");
    let line =
        |line: &String| line.split(' ').filter(|word| !setting(word)).map(word).collect::<Vec<_>>().join(" ");
    lines.iter().map(line).collect()
}

/// A dump without what a link that is made again has anew: its index and the MAC address that the kernel chose.
fn without_indexes(dump: &str) -> String {
    let made_anew = |line: &&str| line.contains("tapvm") || line.contains("link/ether") || line.contains("#");
    dump.lines().filter(|line| !made_anew(line)).map(|line| format!("{line}\n")).collect()
}

/// Every link-local gateway of the guest's namespace is an address of the host's.
fn has_gateways() {
    let gateways = sh("ip -n vm -6 route | grep -o 'via fe80::[^ ]*' | cut -d' ' -f2 | sort -u");
    assert!(gateways.lines().count() > 0);
    // The kernel gives a link its address a moment after it came up.
    guestnet_lab::wait_until("the gateways are there", std::time::Duration::from_secs(5), || {
        let addresses = sh("ip -6 address");
        gateways.lines().all(|gateway| addresses.contains(&format!("{gateway}/")))
    })
    .unwrap();
}
