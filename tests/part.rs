//! Parts of a host: added and taken away, and nothing else read or touched.

mod support;

use std::sync::{Arc, Mutex};

use guestnet::core::{Act, Deed};
use guestnet::{Host, HostSpec, Report};
use guestnet_lab::{Capability, lab_test, need};
use serde_json::{Value, json};
use support::{
    dump, guest, guest_in_host, host, lines, same, sh, spec, spec_of, with_uplink, without_indexes,
};

fn add(host: &mut Host, spec: &HostSpec) -> Report {
    let plan = host.plan_add(spec).unwrap_or_else(|e| panic!("{e}"));
    let report = host.add(spec).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report.changes == 0, plan.is_empty(), "{plan}\n{report}");
    let left = host.plan_add(spec).unwrap();
    assert!(left.is_empty(), "{left}");
    report
}

/// How many datagrams a host sends and how many bytes it asks for in `work`.
fn acts(host: &mut Host, work: impl FnOnce(&mut Host)) -> Vec<String> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    host.watch(move |act: &Act<'_>| {
        let sign = if matches!(act.deed, Deed::Ask(..)) { '?' } else { '!' };
        noted.lock().unwrap().push(format!("{sign} {act}"));
    });
    work(host);
    host.watch(|_| {});
    let told = told.lock().unwrap();
    told.clone()
}

fn sorted(dump: &str) -> String {
    let mut lines: Vec<&str> = dump.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

lab_test! {
    fn one_guest_after_another_is_as_all_at_once() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let guests = [guest("one", 1), guest_in_host("two", 2), guest("three", 3), guest_in_host("four", 4)];
        let whole = spec_of(&guests);
        host.apply(&whole).unwrap();
        let at_once = dump();
        host.remove_all().unwrap();
        for guest in &guests {
            add(&mut host, &spec_of(std::slice::from_ref(guest)));
        }
        let left = host.verify(&whole).unwrap();
        assert!(left.is_empty(), "{left}");
        same(&without_indexes(&at_once), &without_indexes(&dump()));
        // Again by a host that knows nothing yet.
        for guest in &guests {
            assert_eq!(add(&mut Host::open().unwrap(), &spec_of(std::slice::from_ref(guest))).changes, 0);
        }
        host.remove(&spec_of(&guests[1..2])).unwrap();
        let left = host.verify(&spec_of(&[guests[0].clone(), guests[2].clone(), guests[3].clone()])).unwrap();
        assert!(left.is_empty(), "{left}");
        add(&mut host, &spec_of(&guests[1..2]));
        assert!(host.verify(&whole).unwrap().is_empty());
    }

    fn what_is_read_does_not_grow() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let sizes = |acts: &[String]| -> Vec<String> {
            // Names differ in their length; what is asked and sent shall not differ otherwise.
            acts.iter().map(|line| line.split(" (").next().unwrap().to_owned()).collect()
        };
        let mut of = |make: fn(&str, u8) -> Value, few: &[u8], more: &[u8], last: u8| {
            let names = |of: &[u8]| of.iter().map(|n| make(&format!("g{n:02}"), *n)).collect::<Vec<_>>();
            let one = spec_of(&[make(&format!("g{last:02}"), last)]);
            // The first time the rules are read too.
            host.apply(&spec_of(&names(few))).unwrap();
            host.add(&one).unwrap();
            host.remove(&one).unwrap();
            let with_few = acts(&mut host, |host| drop(host.add(&one).unwrap()));
            let again = acts(&mut host, |host| assert_eq!(host.add(&one).unwrap().changes, 0));
            let less_of_few = acts(&mut host, |host| drop(host.remove(&one).unwrap()));
            host.apply(&spec_of(&names(more))).unwrap();
            let with_more = acts(&mut host, |host| drop(host.add(&one).unwrap()));
            host.add(&one).unwrap();
            let less_of_more = acts(&mut host, |host| drop(host.remove(&one).unwrap()));
            for acts in [&with_few, &less_of_few] {
                assert!(acts.iter().any(|line| line.starts_with('!')), "{acts:#?}");
            }
            assert_eq!(sizes(&with_few), sizes(&with_more));
            assert_eq!(sizes(&less_of_few), sizes(&less_of_more));
            assert!(again.iter().all(|line| line.starts_with('?')), "{again:#?}");
            for name in names(more) {
                let name = format!("tap{}", name["name"].as_str().unwrap());
                let all = again.iter().chain(&with_more).chain(&less_of_more);
                assert!(!all.into_iter().any(|line| line.contains(&name)), "{again:#?}");
            }
            // Of who was never there nothing is looked for.
            let nobody = acts(&mut host, |host| assert_eq!(host.remove(&one).unwrap().changes, 0));
            assert_eq!(nobody, Vec::<String>::new());
            host.remove_all().unwrap();
        };
        of(guest_in_host, &[1, 2], &(1..20).collect::<Vec<_>>(), 50);
        of(guest, &[1, 2], &(1..10).collect::<Vec<_>>(), 50);
    }

    fn the_same_again_is_asked_and_not_read() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let wanted = spec_of(&[guest("one", 1), guest_in_host("two", 2)]);
        host.apply(&wanted).unwrap();
        // What was written this very moment cannot be told from what is written next.
        std::thread::sleep(std::time::Duration::from_millis(30));
        let first = acts(&mut host, |host| assert_eq!(host.apply(&wanted).unwrap().changes, 0));
        let again = acts(&mut host, |host| assert_eq!(host.apply(&wanted).unwrap().changes, 0));
        let elements = |acts: &[String]| acts.iter().filter(|line| line.contains("NFT_MSG_GETSETELEM")).count();
        assert!(elements(&first) > 0, "{first:#?}");
        assert_eq!(elements(&again), 0, "the generation says that nothing has changed: {again:#?}");
        assert!(again.iter().any(|line| line.contains("RTM_GETLINK")), "{again:#?}");
        // And yet what changes is found, in each namespace.
        sh("nft delete element ip guestnet_nat inbound32 '{ 203.0.113.2 }'; ip -n one link set tapone mtu 1400");
        let plan = host.verify(&wanted).unwrap();
        assert_eq!(plan.changes().len(), 2, "{plan}");
        assert_eq!(host.apply(&wanted).unwrap().changes, 2);
        assert!(host.verify(&wanted).unwrap().is_empty());
        // Links tell their sysctls: another value is found also where no link has another name, and where one has.
        for meanwhile in ["ip link set uplink mtu 1490", "ip link add mine type veth peer name yours"] {
            sh(&format!("{meanwhile}; sysctl -qw net.ipv4.conf.taptwo.proxy_arp=0"));
            let plan = host.verify(&wanted).unwrap();
            assert!(lines(&plan).len() == 1 && plan.to_string().contains("link taptwo"), "{plan}");
            assert_eq!(host.apply(&wanted).unwrap().changes, 1);
            assert!(host.verify(&wanted).unwrap().is_empty());
        }
    }

    fn others_guests_and_others_objects_are_not_touched() {
        need(Capability::Tap);
        let _outside = with_uplink();
        sh("ip route add 10.9.0.0/16 via 198.51.100.1; nft add table ip others; ip link add mine type veth peer name yours");
        let mut host = host();
        let (one, two) = (guest_in_host("one", 1), guest_in_host("two", 2));
        host.apply(&spec_of(std::slice::from_ref(&one))).unwrap();
        let before = dump();
        add(&mut host, &spec_of(std::slice::from_ref(&two)));
        host.remove(&spec_of(std::slice::from_ref(&two))).unwrap();
        same(&without_indexes(&before), &without_indexes(&dump()));
        // A place that is taken is found before anything is touched.
        sh("ip link add taptwo type veth peer name other");
        let with_other = dump();
        let error = host.add(&spec_of(std::slice::from_ref(&two))).unwrap_err().to_string();
        assert!(error.contains("link taptwo") && error.contains("nothing was changed"), "{error}");
        same(&without_indexes(&with_other), &without_indexes(&dump()));
    }

    fn an_addition_that_is_refused_is_undone() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        host.apply(&spec_of(&[guest_in_host("one", 1), guest("two", 2)])).unwrap();
        let before = dump();
        let mut bad: Value = json!({"version": 1, "uplink": "uplink",
            "guests": [guest_in_host("three", 3), guest("four", 4)]});
        bad["objects"]["host"]["routes"] = json!([{"to": "10.1.0.0/16", "via": "192.0.2.1", "dev": "uplink"}]);
        let error = host.add(&spec(&bad)).unwrap_err().to_string();
        assert!(error.contains("10.1.0.0/16") && error.contains("undone, the host is as before"), "{error}");
        same(&without_indexes(&before), &without_indexes(&dump()));
        add(&mut host, &spec_of(&[guest_in_host("three", 3), guest("four", 4)]));
    }

    fn what_changes_behind_our_back_is_found() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let (one, two) = (guest_in_host("one", 1), guest("two", 2));
        let whole = spec_of(&[one.clone(), two.clone()]);
        host.apply(&whole).unwrap();
        let made = dump();
        for (change, word) in [
            ("nft delete element ip guestnet_nat inbound32 '{ 203.0.113.1 }'", "inbound32"),
            ("nft add element ip guestnet_nat inbound32 '{ 203.0.113.99 : 192.168.0.99 }'", ""),
            ("ip link set tapone mtu 1400", "tapone"),
            ("ip route del 192.168.0.1 dev tapone", "192.168.0.1"),
            ("ip address del 192.168.0.254/24 dev tapone", "192.168.0.254"),
            ("sysctl -qw net.ipv4.conf.tapone.proxy_arp=0", "proxy_arp"),
            ("sysctl -qw net.ipv4.ip_forward=0", "ip_forward"),
            ("ip neigh del proxy 2001:db8:1::2 dev uplink", "2001:db8:1::2"),
            ("ip -n two link set taptwo down", "taptwo"),
            ("ip netns exec two nft delete element ip guestnet_nat outbound32 '{ 192.168.0.2 }'", "outbound32"),
            ("ip -n two route del 2000::/3", "2000::/3"),
            ("echo >> /run/guestnet/one/dnsmasq.conf", "one/dnsmasq.conf"),
            ("rm /run/guestnet/two/dnsmasq.conf", "two/dnsmasq.conf"),
            ("nft flush ruleset", "guestnet_nat"),
            ("nft add rule ip guestnet_nat prerouting counter", "guestnet_nat"),
            ("nft delete table ip guestnet_nat", "guestnet_nat"),
        ] {
            sh(change);
            let plan = host.plan_add(&whole).unwrap();
            let planned = lines(&plan);
            assert!(word.is_empty() == plan.is_empty(), "{change}\n{plan}");
            assert!(planned.iter().any(|line| line.contains(word)) || word.is_empty(), "{change}\n{plan}");
            add(&mut host, &whole);
            host.apply(&whole).unwrap();
            same(&without_indexes(&made), &without_indexes(&dump()));
        }
    }

    fn a_link_of_another_kind_takes_what_lives_on_it_and_gets_it_back() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        host.apply(&spec_of(&[guest_in_host("one", 1), guest_in_host("two", 2)])).unwrap();
        host.apply(&spec(&json!({"version": 1, "uplink": "uplink", "guests": [guest_in_host("one", 1)], "objects":
            {"host": {"routes": [{"to": "10.5.0.0/16", "dev": "tapone"}]}}}))).unwrap();
        let mut other = guest_in_host("one", 1);
        other["interfaces"][0]["kind"] = json!({"tap": {"multi_queue": true}});
        add(&mut host, &spec_of(&[other]));
        let link = sh("ip -d link show tapone");
        assert!(link.contains("multi_queue"), "{link}");
        assert!(sh("ip route").contains("10.5.0.0/16 dev tapone"), "{}", sh("ip route"));
    }

    fn what_a_guest_has_no_more_goes_from_its_own_tables() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let mut first = guest("one", 1);
        let mut second = guest("two", 2)["interfaces"][0].clone();
        second["name"] = "tapsecond".into();
        first["interfaces"].as_array_mut().unwrap().push(second);
        first["nat"] = json!({"mode": "tracked"});
        host.apply(&spec_of(&[first.clone(), guest("three", 3)])).unwrap();
        let public = first["interfaces"][1]["public_ipv4"].as_str().unwrap().to_owned();
        let mut other = first.clone();
        other["nat"]["untranslated"] = json!(["10.0.0.0/8"]);
        other["interfaces"][1].as_object_mut().unwrap().remove("public_ipv4");
        for (guest, is_translated) in [(other, false), (first, true)] {
            assert!(add(&mut host, &spec_of(std::slice::from_ref(&guest))).changes > 0);
            let left = host.verify(&spec_of(&[guest, self::guest("three", 3)])).unwrap();
            assert!(left.is_empty(), "{left}");
            let tables = sh("ip netns exec one nft list ruleset");
            assert_eq!(tables.contains(&public), is_translated, "{tables}");
            assert_eq!(tables.contains("172.16.0.0/12"), is_translated, "{tables}");
        }
    }

    fn a_part_has_the_settings_of_the_host() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _outside = with_uplink();
        let mut host = host();
        let guests = [guest_in_host("one", 1), guest("two", 2)];
        let wide = json!({"version": 1, "uplink": "uplink", "nat": {"mode": "tracked"},
            "bridges": [{"name": "br0", "addresses": ["192.168.5.1/24"]}],
            "firewall": {
                "groups": [{"name": "web", "ingress": [{"protocol": "tcp", "ports": ["80"]}]}, {"name": "db"}],
                "guest_services": [{"protocol": "udp", "ports": ["53"]}],
                "host": {"services": [{"protocol": "tcp", "ports": ["22"]}]}},
            "objects": {"host": {"routes": [{"to": "10.9.0.0/16", "kind": "blackhole"}]}}});
        let whole = |guests: &[Value]| {
            let mut whole = wide.clone();
            whole["guests"] = guests.into();
            spec(&whole)
        };
        host.apply(&whole(&guests)).unwrap();
        // Nothing is said of the filter, and yet whoever comes is filtered, in both places.
        let more = [guest_in_host("three", 3), guest("four", 4)];
        add(&mut host, &spec(&json!({"version": 1, "uplink": "uplink", "guests": more})));
        let left = host.verify(&whole(&[guests.as_slice(), more.as_slice()].concat())).unwrap();
        assert!(left.is_empty(), "{left}");
        assert!(sh("nft list set inet guestnet_firewall guests").contains("tapthree"));
        assert!(sh("nft list set inet guestnet_firewall inner").contains("vethofour"));
        // A group that nobody is in yet, and that is somebody's peer later.
        let mut five = guest_in_host("five", 5);
        five["access"] = json!({"groups": ["db"], "ingress": [{"groups": ["web"]}]});
        let mut six = guest("six", 6);
        six["access"] = json!({"groups": ["web"]});
        let named = json!({"groups": [{"name": "web"}, {"name": "db"}]});
        for guest in [&five, &six] {
            add(&mut host, &spec(&json!({"version": 1, "uplink": "uplink", "firewall": named, "guests": [guest]})));
        }
        let all = [guests.as_slice(), more.as_slice(), &[five.clone(), six.clone()]].concat();
        let left = host.verify(&whole(&all)).unwrap();
        assert!(left.is_empty(), "{left}");
        assert!(sh("nft list ruleset").contains("192.168.0.6"));
        // Whoever gets the address next is not let in by it.
        host.remove(&spec(&json!({"version": 1, "guests": [{"name": "six"}]}))).unwrap();
        assert!(!sh("nft list ruleset").contains("192.168.0.6"));
        let left = host.verify(&whole(&all[..5])).unwrap();
        assert!(left.is_empty(), "{left}");
        // Who was never there takes nothing along.
        host.remove(&spec(&json!({"version": 1, "uplink": "uplink", "firewall": {}, "guests": [guest_in_host("seven", 7)]}))).unwrap();
        let left = host.verify(&whole(&all[..5])).unwrap();
        assert!(left.is_empty(), "{left}");

        let before = host.observe().unwrap();
        for (path, part) in [
            ("uplink", json!({"uplink": "eth9"})),
            ("nat", json!({"nat": {"mode": "tracked", "untranslated": []}})),
            ("bridges[0]", json!({"bridges": [{"name": "br0", "addresses": ["192.168.6.1/24"]}]})),
            ("firewall.groups[0]", json!({"firewall": {"groups": [{"name": "web", "ingress": [{}]}]}})),
            ("firewall.tiers[0]", json!({"firewall": {"groups": [{"name": "web"}, {"name": "db"}], "tiers": [{"from": "web", "to": "db"}]}})),
            ("firewall.trusted", json!({"firewall": {"trusted": ["eth9"]}})),
            ("firewall.guest_services", json!({"firewall": {"guest_services": [{}]}})),
            ("firewall.host", json!({"firewall": {"host": {"services": [{}]}}})),
            ("firewall.log", json!({"firewall": {"log": {}}})),
            ("objects.host.routes[0]", json!({"objects": {"host": {"routes": [{"to": "10.9.0.0/16", "kind": "prohibit"}]}}})),
        ] {
            let mut part = part;
            part["version"] = 1.into();
            let part = spec(&part);
            let error = host.add(&part).unwrap_err().to_string();
            assert!(error.contains(&format!("{path}: ")) && error.contains("but the host has"), "{path}\n{error}");
            assert!(host.plan_add(&part).is_err());
        }
        assert_eq!(host.observe().unwrap(), before);
        // What is kept can be lost, and then nothing is done that might be wrong.
        sh("rm -r /run/guestnet/.host/*.whole");
        let part = spec_of(&[guest_in_host("seven", 7)]);
        for error in [host.add(&part).unwrap_err(), host.remove(&part).unwrap_err(), host.plan_add(&part).unwrap_err()] {
            assert!(error.to_string().contains("apply the spec of the whole"), "{error}");
        }
        assert_eq!(host.observe().unwrap(), before);
        host.apply(&whole(&all[..5])).unwrap();
        add(&mut host, &part);
        // None of it is anybody's but root's.
        let modes = sh("find /run/guestnet/.host/*.whole -printf '%m\n' | sort -u");
        assert_eq!(modes.split_whitespace().collect::<Vec<_>>(), ["600", "700"]);
    }

    fn a_guest_that_never_was_there_takes_nothing_of_the_host_along() {
        need(Capability::Tap);
        need(Capability::Conntrack);
        let _outside = with_uplink();
        let whole = |guests: Value| spec(&json!({
            "version": 1, "uplink": "uplink", "guests": guests,
            "firewall": {
                "host": {"services": [{"protocol": "tcp", "ports": ["22"]}]},
                "guard": {"links": ["uplink"], "addresses": ["203.0.113.77"]},
                "groups": [{"name": "web", "ingress": [{}]}],
            },
        }));
        let mut host = host();
        let ghost = whole(json!([{"name": "ghost"}]));
        for there in [json!([guest("one", 1), guest_in_host("two", 2)]), json!([])] {
            host.apply(&whole(there.clone())).unwrap();
            let before = dump();
            assert_eq!(host.remove(&ghost).unwrap().changes, 0);
            assert_eq!(Host::open().unwrap().remove(&ghost).unwrap().changes, 0);
            same(&before, &dump());
            let left = host.verify(&whole(there)).unwrap();
            assert!(left.is_empty(), "{left}");
        }
        // Where nothing is known of the whole, too.
        sh("rm -rf /run/guestnet/.host/*.whole");
        let before = dump();
        let refused = Host::open().unwrap().remove(&ghost).unwrap_err().to_string();
        assert!(refused.contains("apply the spec of the whole host once"), "{refused}");
        same(&before, &dump());
    }

    /// A part needs what it is a part of: tables that somebody has flushed are made again for all.
    fn a_flush_just_before_a_part_is_mended() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let with_firewall = |guests: &[Value]| {
            let mut guests = guests.to_vec();
            for guest in &mut guests {
                guest["interfaces"][0]["access"] = json!({ "groups": ["web"], "egress": [{}] });
            }
            spec(&json!({ "version": 1, "uplink": "uplink", "guests": guests, "firewall": {
                "groups": [{ "name": "web", "ingress": [{ "protocol": "tcp", "ports": ["80"] }] }],
                "host": { "services": [{ "protocol": "tcp", "ports": ["22"] }] },
            }}))
        };
        let stay = [guest("one", 1), guest_in_host("two", 2)];
        let flush = "nft flush ruleset; ip netns exec one nft flush ruleset";
        for part in [guest("three", 3), guest_in_host("four", 4)] {
            let mut host = host();
            host.apply(&with_firewall(&stay)).unwrap();
            let before = dump();
            let whole = with_firewall(&[&stay[..], std::slice::from_ref(&part)].concat());
            let one = with_firewall(&[part]);
            let here = |made: &str| sh(&format!("ip netns exec {made} nft list ruleset; nft list ruleset"));
            sh("nft flush ruleset");
            host.add(&one).unwrap();
            let left = Host::open().unwrap().verify(&whole).unwrap();
            assert!(left.is_empty(), "{left}");
            sh(flush);
            host.remove(&one).unwrap();
            // What is in the other guest's own namespace is its own affair.
            host.apply(&with_firewall(&stay)).unwrap();
            same(&before, &dump());
            assert!(here("one").contains("guestnet_firewall"));
            host.remove_all().unwrap();
        }
    }

    fn what_a_part_has_brought_goes_with_it() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _outside = with_uplink();
        let bridged = json!({ "name": "port", "placement": "host", "interfaces": [{
            "name": "tapport", "bridge": "br0", "mac": "02:00:5e:00:53:09", "private_ipv4": "192.168.9.9",
        }]});
        let part = |guest: &Value| {
            let mut guest = guest.clone();
            // Not every kernel knows connections in bridges.
            let stateless = guest["name"] == "port";
            guest["interfaces"][0]["access"] = json!({ "groups": ["web"], "egress": [{}], "stateless": stateless });
            spec(&json!({
                "version": 1, "uplink": "uplink", "guests": [guest],
                "bridges": if stateless { json!([{ "name": "br0", "addresses": ["192.168.9.1/24"] }]) } else { json!([]) },
                "firewall": {
                    "groups": [{ "name": "web", "ingress": [{ "protocol": "tcp", "ports": ["80"], "groups": ["web"] }] }],
                    "host": { "services": [{ "protocol": "tcp", "ports": ["22"] }] },
                },
            }))
        };
        let guests = [guest("one", 1), guest_in_host("two", 2), bridged];
        // On an empty host, and beside each of the others.
        let beside = [None, Some(&guests[0]), Some(&guests[1]), Some(&guests[2])];
        for (other, guest) in beside.iter().flat_map(|other| guests.iter().map(move |guest| (other, guest))) {
            if other.is_some_and(|other| other == guest) {
                continue;
            }
            let mut host = host();
            if let Some(other) = other {
                host.add(&part(other)).unwrap();
            }
            let before = dump();
            host.add(&part(guest)).unwrap();
            assert!(sh("nft list ruleset").contains("22"));
            host.remove(&part(guest)).unwrap();
            // Tables that were made anew for more are listed in another order.
            same(&sorted(&before), &sorted(&dump()));
            host.remove_all().unwrap();
        }
    }

    fn a_part_that_is_refused_leaves_what_is_kept_as_it_was() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        host.apply(&spec_of(&[guest_in_host("one", 1), guest("two", 2)])).unwrap();
        let kept = || sh("cd /run/guestnet/.host/*.whole && for f in *; do echo $f; cat $f; echo; done");
        let before = kept();
        let mut bad: Value = json!({"version": 1, "uplink": "uplink", "guests": [guest_in_host("three", 3)]});
        bad["objects"]["host"]["routes"] = json!([{"to": "10.1.0.0/16", "via": "192.0.2.1", "dev": "uplink"}]);
        host.add(&spec(&bad)).unwrap_err();
        assert_eq!(kept(), before);
        // Two that have one address: the other is named, and nothing is taken from it.
        let mut other = guest_in_host("three", 3);
        other["interfaces"][0]["public_ipv4"] = "203.0.113.1".into();
        let error = host.add(&spec_of(&[other])).unwrap_err().to_string();
        assert!(error.contains("203.0.113.1") && error.contains("public"), "{error}");
        assert_eq!(kept(), before);
        // The same again writes nothing.
        host.add(&spec_of(&[guest("two", 2)])).unwrap();
        assert_eq!(kept(), before);
    }
}
