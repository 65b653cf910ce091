//! The firewall as part of a host: where it stands, when it is there, and what is said of it.

mod support;

use guestnet::core::Error;
use guestnet::{HostSpec, Problems};
use guestnet_lab::{Capability, Netns, lab_test, need};
use serde_json::{Value, json};
use support::{apply, guest_in_host, host, lines, ruleset, spec, tables, with_uplink};

/// The spec of the golden folder.
fn golden() -> HostSpec {
    HostSpec::from_json(include_str!("golden/firewall/spec.json")).unwrap()
}

/// `n` guests behind a firewall.
fn behind(guests: &[Value]) -> HostSpec {
    spec(&json!({
        "version": 1, "uplink": "uplink", "guests": guests,
        "firewall": {"groups": [{"name": "all", "egress": [{}], "ingress": [{"protocol": "tcp", "ports": ["22"]}]}]},
    }))
}

fn on_host(name: &str, n: u8) -> Value {
    let mut guest = guest_in_host(name, n);
    guest["access"] = json!({"groups": ["all"]});
    guest
}

/// What is wrong with a spec.
fn problems(spec: &Value) -> Problems {
    match HostSpec::from_json(&spec.to_string()) {
        Err(Error::Spec(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

/// What `explain` says of the golden spec: whether it passes, and by which paragraph at last.
fn said(words: &str) -> (bool, String) {
    let said = golden().explain(words).unwrap_or_else(|e| panic!("{words}: {e}"));
    (said.passes, said.steps.last().unwrap().decision.paragraph.to_string())
}

#[test]
fn packets_are_explained_from_the_spec_alone() {
    for (words, passes, paragraph) in [
        ("from guest web1 to 2001:db8:f::1 tcp 443", true, "6.1"),
        ("from guest web1 to 198.51.100.77 udp 53", true, "6.1"),
        ("from guest db1 to 198.51.100.77 udp 53", false, "6.1"),
        ("from 198.51.100.77 to guest web1 tcp 443", true, "6.1"),
        ("from 198.51.100.77 to 203.0.113.17 tcp 443", true, "6.1"),
        ("from 198.51.100.77 to guest web1 tcp 22", false, "6.1"),
        ("from 2001:db8:f::1 to guest web1 icmpv6 128", true, "5.1"),
        ("from 2001:db8:f::1 to guest web1 icmpv6 139", false, "6.1"),
        ("from guest web1 to 198.51.100.77 source 192.168.0.86 udp 53", false, "3.1"),
        ("from guest web1 to 2001:db8:f::1 source 2001:db8:1::1 udp 53", false, "3.3"),
        ("from guest web1 to 2001:db8:f::1 mac 02:00:5e:00:53:09 udp 53", false, "2.1"),
        ("from guest web1 to 2001:db8:f::1 icmpv6 134", false, "4.3"),
        // The tier: the web may ask the database, and nobody else.
        ("from guest web1 to guest db1 tcp 5432", true, "6.1"),
        ("from guest web1 to guest db1 tcp 5433", false, "6.1"),
        ("from guest old1 to guest db1 tcp 5432", false, "6.1"),
        ("from 198.51.100.77 to guest db1 tcp 5432", false, "6.1"),
        ("from guest web1 to host udp 53", true, "7.1"),
        ("from guest web1 to host tcp 22", false, "7.1"),
        ("from 192.0.2.7 to host tcp 22", true, "7.2"),
        ("from 198.51.100.7 to host tcp 22", false, "7.2"),
        ("from 198.51.100.7 to host icmp 8", true, "5.2"),
        ("from 198.51.100.7 to 198.51.100.8 tcp 22", false, "1.1"),
        ("from 198.51.100.7 to guest old1 udp 5432", true, "6.1"),
        // What the host sends meets the lists that do not stand in its own namespace.
        ("from host to guest web1 tcp 22", true, "1.5"),
        ("from host to guest db1 tcp 5432", false, "6.1"),
        ("from host to guest db1 icmp 8", true, "5.2"),
        // What is for everybody on a routed link, and for all routers of a prefix, is for the host there.
        ("from guest web1 to 224.0.0.1 udp 53", true, "7.1"),
        ("from guest web1 to 255.255.255.255 udp 123", false, "7.1"),
        ("from guest web1 to ff02::1 udp 53", true, "7.1"),
        ("from guest db1 to ff02::1 udp 123", false, "7.1"),
        ("from guest web1 to 192.168.5.255 udp 53", true, "7.1"),
        ("from guest web1 to 2001:db8:1:: udp 53", true, "7.1"),
        ("from guest web1 to 2001:db8:1:: udp 123", false, "7.1"),
        ("from guest db1 to 2001:db8:2:: udp 53", true, "7.1"),
        ("from guest db1 to 169.254.1.1 udp 53", true, "7.1"),
        ("from guest web1 to 2001:db8:2:: udp 53", false, "7.2"),
        ("from 2001:db8:f::1 to 2001:db8:2::1 icmpv6 128", true, "7.3"),
        ("from 2001:db8:f::1 to 2001:db8:2::1 tcp 22", false, "7.2"),
    ] {
        assert_eq!(said(words), (passes, paragraph.to_owned()), "{words}");
    }
    for words in [
        "",
        "from guest nobody to host tcp 22",
        "from guest web1 to host tcp",
        "to host from guest web1",
        "from guest web1 to host tcp 22 23",
        "from guest web1 to 2001:db8::1 source 192.0.2.1 tcp 22",
        // A bridge carries it to each: which one is meant?
        "from guest old1 to 224.0.0.1 udp 53",
        "from guest old1 to 192.168.5.255 udp 53",
        "from 198.51.100.7 to 255.255.255.255 udp 53",
    ] {
        golden().explain(words).expect_err(words);
    }
    HostSpec::new().explain("from 192.0.2.1 to host tcp 22").expect_err("there is no firewall");
}

/// Others give addresses to the host, too, and links to whom they like.
#[test]
fn what_the_spec_does_not_know_is_said() {
    for (words, unknown) in [
        ("from guest old1 to 198.51.100.77 udp 53", vec!["not in the spec: if it is, passes by 7.1"]),
        ("from guest web1 to 198.51.100.77 tcp 22", vec!["not in the spec: if it is, dropped by 7.1"]),
        // So or so it passes, or is dropped.
        ("from guest web1 to 198.51.100.77 udp 53", vec![]),
        ("from guest db1 to 198.51.100.77 tcp 22", vec![]),
        ("from guest web1 to guest db1 tcp 5432", vec![]),
        ("from guest web1 to host tcp 22", vec![]),
        ("from guest web1 to 192.168.5.1 tcp 22", vec![]),
        ("from 198.51.100.7 to 198.51.100.8 tcp 22", vec!["whether both are behind links of \"trusted\""]),
        (
            "from 192.0.2.7 to 198.51.100.8 tcp 22",
            vec!["whether 198.51.100.8 is an address of the host", "if they are, passes by 1.1"],
        ),
    ] {
        let said = golden().explain(words).unwrap();
        assert_eq!(said.unknown.len(), unknown.len(), "{words}: {:?}", said.unknown);
        for (said, words) in said.unknown.iter().zip(unknown) {
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn who_locks_himself_out_is_warned() {
    let of = |services: Value| {
        spec(&json!({"version": 1, "firewall": {"host": {"services": services}}})).warnings().len()
    };
    assert_eq!(of(json!([{"protocol": "tcp", "ports": ["443"]}])), 1);
    assert_eq!(of(json!([{"protocol": "udp", "ports": ["22"]}])), 1);
    assert_eq!(of(json!([{"protocol": "tcp", "ports": ["20-30"]}])), 0);
    assert_eq!(of(json!([{}])), 0);
    assert_eq!(HostSpec::new().warnings().len(), 0);
}

#[test]
fn mistakes_are_told_all_at_once() {
    let text = json!({
        "version": 1,
        "firewall": {
            "groups": [{"name": "web", "ingress": [{"ports": ["80"]}]}, {"name": "web"}],
            "tiers": [{"from": "web", "to": "db"}],
            "guard": {"links": ["tap1"], "addresses": ["10.0.0.1"]},
        },
        "guests": [{"name": "one", "placement": "host", "access": {"groups": ["app"]}, "interfaces": [
            {"name": "tap1", "private_ipv4": "192.168.0.1", "ethertypes": [35020], "sources": ["10.0.0.1/8"]},
        ]}],
    });
    let problems = problems(&text);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    for path in [
        "firewall.groups[1].name",
        "firewall.groups[0].ingress[0].protocol",
        "firewall.tiers[0].to",
        "firewall.guard.links[0]",
        "guests[0].access.groups[0]",
        "guests[0].interfaces[0].mac",
        "guests[0].interfaces[0].ethertypes",
        "guests[0].interfaces[0].sources[0]",
    ] {
        assert!(paths.contains(&path), "{path} is not in {paths:#?}");
    }
    assert_eq!(paths.len(), 8, "{problems:?}");
}

/// Whatever could pass for somebody else's, and not only what is equal.
#[test]
fn what_is_anothers_is_a_mistake() {
    let guest = |n: u8, interface: Value| {
        let mut all = json!({"name": format!("tap{n}"), "mac": format!("02:00:5e:00:53:0{n}")});
        all.as_object_mut().unwrap().extend(interface.as_object().unwrap().clone());
        json!({"name": format!("g{n}"), "placement": "host", "interfaces": [all]})
    };
    let own = |n: u8, interface: Value, more: Value| {
        let mut guest = guest(n, interface);
        guest["placement"] = "own".into();
        guest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        guest
    };
    let nat = json!({"untranslated": ["10.0.0.0/8"]});
    let (web, db) =
        (json!({"groups": ["web"], "stateless": true}), json!({"groups": ["db"], "stateless": true}));
    let derived = guestnet::core::Mac::derived("bridge br0").to_string();
    for (guests, path, words) in [
        (
            [
                guest(1, json!({"bridge": "br0", "public_ipv6": "2001:db8:1::5/128"})),
                guest(2, json!({"bridge": "br0", "public_ipv6": "2001:db8:1::/64"})),
            ],
            "guests[0].interfaces[0].public_ipv6",
            "is inside 2001:db8:1::/64",
        ),
        (
            [
                guest(1, json!({"bridge": "br0", "private_ipv4": "192.168.5.1"})),
                guest(2, json!({"bridge": "br0", "sources": ["192.168.5.0/24"]})),
            ],
            "guests[0].interfaces[0].private_ipv4",
            "is inside 192.168.5.0/24",
        ),
        (
            [
                guest(1, json!({"public_ipv6": "2001:db8:1::/64"})),
                guest(2, json!({"bridge": "br0", "sources": ["2001:db8:1::7/128"]})),
            ],
            "guests[1].interfaces[0].sources[0]",
            "is inside 2001:db8:1::/64",
        ),
        (
            [guest(1, json!({})), guest(2, json!({"bridge": "br0", "sources": ["fe80::/10"]}))],
            "guests[1].interfaces[0].sources[0]",
            "all neighbours",
        ),
        (
            [guest(1, json!({})), guest(2, json!({"bridge": "br0", "mac": derived}))],
            "guests[1].interfaces[0].mac",
            "is taken",
        ),
        (
            [
                guest(1, json!({"bridge": "br0"})),
                guest(2, json!({"bridge": "others0", "mac": "02:00:5e:00:53:01"})),
            ],
            "guests[1].interfaces[0].mac",
            "each has its own",
        ),
        (
            [guest(1, json!({})), guest(2, json!({"bridge": "others0", "link_local": "any"}))],
            "guests[1].interfaces[0].link_local",
            "is not known here",
        ),
        (
            [
                own(1, json!({"private_ipv4": "10.0.0.1"}), json!({"access": web, "nat": nat})),
                own(2, json!({"private_ipv4": "10.0.0.1"}), json!({"access": db})),
            ],
            "guests[1].interfaces[0].private_ipv4",
            "tell the two apart",
        ),
    ] {
        let spec = json!({
            "version": 1, "guests": guests,
            "bridges": [{"name": "br0"}, {"name": "others0", "existing": true}],
            "firewall": {"groups": [{"name": "web"}, {"name": "db"}]},
        });
        let found = problems(&spec);
        let told = |problem: &guestnet::Problem| {
            problem.path.as_str() == path && problem.to_string().contains(words)
        };
        assert!(found.iter().any(told), "{path}: {words}: {found}");
    }
}

/// A list that narrows something down is not empty: that would be no list, and let everything pass.
#[test]
fn nothing_is_not_everything() {
    let entry = |entry: Value| json!({"version": 1, "firewall": {"guest_services": [entry]}});
    for (text, path) in [
        (json!({"prefixes": []}), "prefixes"),
        (json!({"groups": []}), "groups"),
        (json!({"protocol": "tcp", "ports": []}), "ports"),
        (json!({"protocol": "icmp", "types": []}), "types"),
    ] {
        let found = problems(&entry(text)).to_string();
        assert!(found.contains(&format!("firewall.guest_services[0].{path}: is an empty list")), "{found}");
    }
    let found = problems(&entry(json!({"protocol": "icmp", "prefixes": ["10.0.0.0/8", "2001:db8::/32"]})));
    let found = found.to_string();
    assert!(
        found.contains("firewall.guest_services[0].prefixes[1]: 2001:db8::/32 never has icmp"),
        "{found}"
    );
}

#[test]
fn access_without_a_firewall_is_a_mistake() {
    let one = |access: Value| json!({"version": 1, "guests": [{"name": "one", "access": access}]});
    let problems = problems(&one(json!({"egress": [{}]})));
    assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), ["firewall"]);
    spec(&one(json!({})));
}

lab_test! {
    fn the_filter_stands_where_the_guests_are() {
        need(Capability::Tap);
        let _outside = with_uplink();
        support::sh("ip link add fabric type veth peer name fabricp");
        let mut host = host();
        apply(&mut host, &golden());
        let mut tables = tables(&mut host);
        tables.retain(|table| table.ends_with("guestnet_firewall"));
        tables.sort_unstable();
        let families = ["arp", "bridge", "inet", "netdev"];
        assert_eq!(tables, families.map(|family| format!("{family} guestnet_firewall")));
        let inside = ruleset(&Netns::open("db1").unwrap());
        assert!(inside.contains("\"tapdb1\""), "{inside}");
        assert!(!inside.contains("\"tapweb1\""), "{inside}");
        // The web is known inside by its public address, too.
        assert!(inside.contains("tcp . 5432 . 203.0.113.17"), "{inside}");
    }

    fn a_flushed_filter_is_found_and_made_again() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let spec = behind(&[on_host("one", 1)]);
        apply(&mut host, &spec);
        support::sh("nft flush ruleset");
        let plan = host.verify(&spec).unwrap();
        assert!(lines(&plan).iter().any(|l| l.starts_with('+') && l.contains("inet guestnet_firewall")), "{plan}");
        apply(&mut host, &spec);
    }

    fn a_guest_more_is_elements_more() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        apply(&mut host, &behind(&[on_host("one", 1), on_host("two", 2)]));
        let plan = host.plan(&behind(&[on_host("one", 1), on_host("two", 2), on_host("three", 3)])).unwrap();
        let filter: Vec<String> =
            lines(&plan).into_iter().filter(|line| line.contains("guestnet_firewall")).collect();
        assert_eq!(filter.len(), 2, "{filter:#?}");
        for line in filter {
            assert!(line.starts_with('~') && !line.contains("chain") && !line.contains("set "), "{line}");
        }
    }

    fn who_stays_stays_filtered() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let (one, two) = (behind(&[on_host("one", 1)]), behind(&[on_host("two", 2)]));
        let both = behind(&[on_host("one", 1), on_host("two", 2)]);
        apply(&mut host, &both);
        host.remove(&one).unwrap();
        let left = host.verify(&two).unwrap();
        assert!(left.is_empty(), "{left}");
        host.remove(&two).unwrap();
        // The host was applied with it.
        assert!(host.verify(&behind(&[])).unwrap().is_empty());
        host.remove_all().unwrap();
        assert_eq!(tables(&mut host), Vec::<String>::new());
        // What parts brought goes with the last guest.
        host.add(&one).unwrap();
        host.add(&two).unwrap();
        host.remove(&one).unwrap();
        assert!(host.verify(&two).unwrap().is_empty());
        host.remove(&two).unwrap();
        assert_eq!(tables(&mut host), Vec::<String>::new());
    }

    fn drops_are_counted_by_paragraph() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        apply(&mut host, &behind(&[on_host("one", 1)]));
        let drops = host.drops().unwrap();
        assert!(drops.to_string().contains("inet: the MAC address is the guest's"), "{drops}");
    }
}
