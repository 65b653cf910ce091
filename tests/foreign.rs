//! What is somebody else's, beside ours and in our way: it survives byte for byte.

mod support;

use std::fs;
use std::path::Path;

use guestnet_lab::{Capability, Netns, has, lab_test, need, note};
use serde_json::json;
use support::{
    apply, dump, dump_of, guest, guest_in_host, host, lines, objects_in_host, same, sh, spec_of, with_uplink,
};

/// Things of others, of every kind, made in the namespace `netns` on the link `dev`; by the tools that others use.
fn others(netns: &Netns, dev: &str) {
    let script = format!(
        "ip address add 10.99.0.1/24 dev {dev}
         ip -6 address add 2001:db8:99::1/64 dev {dev} nodad
         ip route add 10.98.0.0/16 via 10.99.0.2 dev {dev}
         ip route add 10.98.0.0/16 via 10.99.0.3 dev {dev} metric 9 proto static
         ip route add blackhole 10.97.0.0/16 table 99
         ip -6 route add 2001:db8:98::/48 via 2001:db8:99::2 dev {dev} proto bird
         ip neigh add proxy 2001:db8:99::9 dev {dev}
         ip neigh add proxy 10.99.0.9 dev {dev}
         ip neigh add 10.99.0.7 lladdr 02:00:00:00:00:07 dev {dev} nud permanent
         ip rule add from 10.99.0.0/24 table 99
         ip link add other type veth peer name rehto
         ip link set other up
         ip link set rehto alias mine
         sysctl -qw net.ipv4.conf.{dev}.rp_filter=2 net.ipv4.conf.all.accept_redirects=0 net.ipv6.conf.{dev}.hop_limit=61"
    );
    guestnet_lab::output(netns.command("sh").args(["-ec", &script])).unwrap();
    netns
        .nft(
            "table ip nat {
                map inbound32 { type ipv4_addr : ipv4_addr; elements = { 10.0.0.1 : 10.0.0.2 }; }
                chain prerouting {
                    type filter hook prerouting priority -150;
                    ip daddr set ip daddr map @inbound32 counter
                }
            }
            table inet filter {
                set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
                chain forward { type filter hook forward priority 0; ip saddr @s ct state new accept; }
            }",
        )
        .unwrap();
    support::settle();
}

fn policy(netns: &Netns) {
    let policy = "ip xfrm policy add src 10.99.1.0/24 dst 10.99.2.0/24 dir out \
                  tmpl src 2001:db8:99::1 dst 2001:db8:99::2 proto esp reqid 7 mode tunnel";
    netns.ip(policy.trim_start_matches("ip ")).unwrap();
}

lab_test! {
    fn others_survive_everything() {
        need(Capability::Tap);
        need(Capability::Conntrack);
        let _outside = with_uplink();
        let here = Netns::here().unwrap();
        others(&here, "uplink");
        let theirs = Netns::make("theirs").unwrap();
        theirs.ip("link add t0 up type veth peer name t1").unwrap();
        others(&theirs, "t0");
        // In a namespace that guestnet made all of IPsec is guestnet's.
        match has(Capability::XfrmPolicy) {
            Ok(()) => [&here, &theirs].into_iter().for_each(policy),
            Err(words) => note(&format!("policies: {words}")),
        }
        fs::create_dir_all("/run/guestnet/one").unwrap();
        fs::write("/run/guestnet/one/note", "mine\n").unwrap();
        fs::write("/run/guestnet/other.conf", "# guestnet owner=1 - of another host\n").unwrap();
        let (before, theirs_before) = (dump(), dump_of(&theirs));

        let mut host = host();
        let guests = [guest("one", 1), guest("two", 2), guest_in_host("three", 3)];
        apply(&mut host, &spec_of(&guests));
        // Somebody adds things inside of a guest's namespace.
        let one = Netns::open("one").unwrap();
        others(&one, "vethione");
        let one_before = dump_of(&one);
        let mut changed = guests.clone();
        changed[0]["interfaces"][0]["public_ipv4"] = "203.0.113.99".into();
        changed[1]["interfaces"][0]["mtu"] = 1400.into();
        changed[2]["interfaces"][0]["private_ipv4"] = "192.168.0.99".into();
        apply(&mut host, &spec_of(&changed));
        apply(&mut host, &spec_of(&guests));
        // Addresses stand in the order in which they were added, and one of ours was another for a while.
        let sorted = |dump: &str| {
            let mut lines: Vec<&str> = dump.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        same(&sorted(&one_before), &sorted(&dump_of(&one)));

        // The namespace cannot go while somebody's things are in it; what is ours in it goes.
        let report = host.remove_all().unwrap();
        assert_eq!(report.left.len(), 1, "{report}");
        for word in ["namespace one", "link other", "link rehto", "table ip nat", "table inet filter"] {
            assert!(report.left[0].contains(word), "{report}");
        }
        assert!(report.to_string().contains("left: namespace one"), "{report}");
        let left = dump_of(&one);
        for word in ["vethione", "tapone", "guestnet_nat", "proto 103"] {
            assert!(!left.contains(word), "{word} in\n{left}");
        }
        for word in ["table ip nat", "table inet filter", "other@rehto"] {
            assert_eq!(left.contains(word), one_before.contains(word), "{word} in\n{left}");
        }
        assert_eq!(host.remove_all().unwrap().changes, 0);
        // When they are gone, it goes.
        one.ip("link del other").unwrap();
        guestnet_lab::output(one.command("nft").arg("flush ruleset")).unwrap();
        let report = host.remove_all().unwrap();
        assert!(report.left.is_empty() && report.changes == 1, "{report}");
        drop(one);

        same(&before, &dump());
        same(&theirs_before, &dump_of(&theirs));
    }

    fn what_is_in_the_way_is_named_and_nothing_is_changed() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let _theirs = Netns::make("taken").unwrap();
        sh("ip link add vethovm type veth peer name x; ip link set vethovm up; ip link set x up
            ip address add 10.5.0.1/24 dev x
            ip route add 203.0.113.7/32 via 198.51.100.1
            ip -6 route add blackhole 2001:db8:1:7::/64
            mkdir -p /run/guestnet/vm; echo other > /run/guestnet/vm/dnsmasq.conf");
        support::settle();
        let before = dump();
        let wanted = spec_of(&[guest("vm", 7)]);
        let plan = host.plan(&wanted).unwrap();
        assert!(!plan.is_empty());
        let error = host.apply(&wanted).unwrap_err().to_string();
        for words in [
            "link vethovm veth peer vethivm",
            ": there is vethovm veth peer x",
            "route 203.0.113.7/32 via inet6 fe80::287a:80ff:fe3a:8fda dev vethovm: there is 203.0.113.7/32 via 198.51.100.1 dev uplink",
            "file vm/dnsmasq.conf mode",
            "/run/guestnet/vm/dnsmasq.conf without guestnet's mark",
            "nothing was changed",
        ] {
            assert!(error.contains(words), "{words:?} is not in\n{error}");
        }
        assert!(plan.to_string().contains("! link vethovm"), "{plan}");
        same(&before, &dump());

        let mut elsewhere = guest("vm", 7);
        elsewhere["placement"] = json!({"namespace": "taken"});
        let error = host.apply(&spec_of(&[elsewhere])).unwrap_err().to_string();
        assert!(error.contains("a namespace taken that guestnet did not make"), "{error}");
        same(&before, &dump());
    }

    fn what_is_as_wanted_already_is_used_and_left() {
        let mut host = host();
        sh("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
            ip address add 10.1.0.1/24 dev v0
            ip route add 10.2.0.0/16 via 10.1.0.2 dev v0
            sysctl -qw net.ipv4.conf.v0.proxy_arp=1");
        support::settle();
        let before = dump();
        let wanted = objects_in_host(&json!({
            "addresses": [{"dev": "v0", "address": "10.1.0.1/24"}, {"dev": "v0", "address": "10.1.0.2/24"}],
            "routes": [{"to": "10.2.0.0/16", "via": "10.1.0.2", "dev": "v0"}],
            "sysctls": [{"key": "net.ipv4.conf.v0.proxy_arp", "value": "1"}],
        }));
        assert_eq!(lines(&host.plan(&wanted).unwrap()), ["+ host address 10.1.0.2/24 dev v0"]);
        apply(&mut host, &wanted);
        host.remove_all().unwrap();
        same(&before, &dump());
    }

    fn what_is_undone_by_hand_is_seen_and_repaired() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let wanted = spec_of(&[guest("vm", 7), guest_in_host("three", 3)]);
        apply(&mut host, &wanted);
        let whole = dump();
        for (damage, seen) in [
            ("ip netns exec vm nft flush ruleset", "+ vm table ip guestnet_nat"),
            ("nft delete element ip guestnet_nat inbound32 '{ 203.0.113.3 }'", "inbound32: +203.0.113.3 : 192.168.0.3"),
            ("nft add element ip guestnet_nat inbound32 '{ 203.0.113.4 : 192.168.0.4 }'", "inbound32: -203.0.113.4"),
            ("nft flush chain ip guestnet_nat postrouting", "~ host table ip guestnet_nat"),
            ("ip route del 203.0.113.7", "+ host route 203.0.113.7/32"),
            ("ip route replace 203.0.113.7 via 169.254.0.9 dev vethovm onlink proto 103", "~ host route 203.0.113.7/32"),
            ("ip -n vm address del 2001:db8:1:7::1/64 dev tapvm", "+ vm address 2001:db8:1:7::1/64"),
            ("ip -6 neigh del proxy 2001:db8:1::7 dev uplink", "+ host proxied neighbour 2001:db8:1::7"),
            ("ip netns exec vm sysctl -qw net.ipv4.conf.tapvm.proxy_arp=0", "~ vm link tapvm"),
            ("ip link set vethovm mtu 1400", "~ host link vethovm"),
            ("echo extra >> /run/guestnet/vm/dnsmasq.conf", "~ host file vm/dnsmasq.conf"),
            ("chmod 600 /run/guestnet/three/dnsmasq.conf", "~ host file three/dnsmasq.conf"),
        ] {
            sh(damage);
            let plan = host.verify(&wanted).unwrap();
            let lines = lines(&plan);
            assert!(lines.len() == 1 && lines[0].contains(seen), "{damage}: {plan}");
            let report = host.apply(&wanted).unwrap();
            assert_eq!(report.changes, 1, "{damage}: {report}");
            same(&whole, &dump());
        }
        // With these goes more than what they say.
        for damage in ["sysctl -qw net.ipv4.ip_forward=0", "ip -n vm link set tapvm down", "ip link del vethovm",
            // With the last IPv4 address of a link go its IPv4 routes.
            "ip -n vm address del 192.168.0.254/24 dev tapvm", "ip -n vm link del tapvm", "ip netns del vm",
            "ip -n vm link set vethivm down"] {
            sh(damage);
            assert!(!host.verify(&wanted).unwrap().is_empty(), "{damage}");
            apply(&mut host, &wanted);
        }
        host.remove_all().unwrap();
        assert!(!Path::new("/run/guestnet/vm").exists());
    }
}
