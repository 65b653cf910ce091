//! The host's own ways: what others have set there is not guestnet's to change, and every answer warns of it.

mod support;

use guestnet::HostSpec;
use guestnet::doctor::examine;
use guestnet_lab::{Capability, lab_test, need};
use serde_json::json;
use support::{guest, guest_in_host, host, settle, sh, spec, with_uplink};

/// What plan, apply, add, verify and the doctor all say.
fn warned(wanted: &HostSpec) -> String {
    let mut host = host();
    let plan = host.plan(wanted).unwrap().warnings().join("\n");
    assert_eq!(host.apply(wanted).unwrap().warnings.join("\n"), plan);
    assert_eq!(host.verify(wanted).unwrap().warnings().join("\n"), plan);
    assert_eq!(host.add(wanted).unwrap().warnings.join("\n"), plan);
    let found = examine(None, Some(wanted)).unwrap().findings;
    let ids = ["uplink-not-forwarding", "uplink-without-ipv6", "dropping-rule", "address-of-the-host"];
    let found = found.iter().filter(|finding| ids.contains(&finding.id.as_str()));
    let found = found.map(|found| format!("{}: {}; {}", found.what, found.meaning, found.remedy));
    let (mut found, mut lines): (Vec<_>, Vec<_>) = (found.collect(), plan.lines().collect());
    // The doctor looks at namespaces in the order of their names.
    found.sort();
    lines.sort_unstable();
    assert_eq!(found, lines);
    plan
}

lab_test! {
    fn a_link_to_the_outside_that_passes_nothing_on_is_warned_of() {
        let _outside = with_uplink();
        let with = |uplink: Option<&str>| {
            let mut wanted = json!({ "version": 1, "guests": [guest("web", 7)] });
            match uplink {
                Some(uplink) => wanted["uplink"] = uplink.into(),
                None => drop(wanted["guests"][0].as_object_mut().unwrap().remove("proxied")),
            }
            spec(&wanted)
        };
        // The kernel switches all links on with the host.
        sh("sysctl -qw net.ipv4.conf.uplink.forwarding=0");
        assert_eq!(warned(&with(Some("uplink"))), "");
        sh("sysctl -qw net.ipv4.conf.uplink.forwarding=0");
        // By name, and as that which the default route leads to.
        for uplink in [Some("uplink"), None] {
            let said = warned(&with(uplink));
            assert!(said.starts_with("net/ipv4/conf/uplink/forwarding is 0, and net/ipv4/ip_forward is 1 already: "), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        sh("sysctl -qw net.ipv4.conf.uplink.forwarding=1 net.ipv6.conf.uplink.forwarding=0");
        assert!(warned(&with(Some("uplink"))).contains("net/ipv6/conf/uplink/forwarding is 0"));
        sh("sysctl -qw net.ipv6.conf.uplink.forwarding=1 net.ipv6.conf.uplink.disable_ipv6=1");
        let said = warned(&with(Some("uplink")));
        assert!(said.contains("net/ipv6/conf/uplink/disable_ipv6 is 1: uplink has no IPv6, and guests have"), "{said}");
        // The remedy ends it.
        sh("sysctl -w net.ipv6.conf.uplink.disable_ipv6=0");
        settle();
        assert_eq!(warned(&with(Some("uplink"))), "");
        host().remove_all().unwrap();
    }

    fn rules_that_drop_what_guests_send_are_warned_of() {
        let _outside = with_uplink();
        let wanted = spec(&json!({ "version": 1, "uplink": "uplink", "guests": [guest("web", 7), guest_in_host("db", 8)] }));
        assert_eq!(warned(&wanted), "");
        sh("ip rule add from 198.51.100.99 blackhole priority 90
            ip rule add from 198.51.100.98 blackhole priority 100
            ip rule add from 203.0.113.0/24 blackhole priority 100
            ip rule add to 192.168.0.8 prohibit priority 101
            ip rule add fwmark 7 blackhole priority 102
            ip -6 rule add from 2001:db8:1:8::/64 unreachable priority 103");
        let said = warned(&wanted);
        let rules: Vec<&str> = said.lines().filter_map(|line| line.split('"').nth(1)).collect();
        let expected = [
            "100: from 203.0.113.0/24 blackhole",
            "101: from all to 192.168.0.8/32 prohibit",
            "103: from 2001:db8:1:8::/64 unreachable",
        ];
        assert_eq!(rules, expected, "{said}");
        // The remedy takes this one away, and not another of the same priority.
        for line in said.lines() {
            sh(line.split('`').nth(3).unwrap());
        }
        assert_eq!(warned(&wanted), "");
        assert_eq!(sh("ip rule show priority 100").trim(), "100:\tfrom 198.51.100.98 blackhole");
        host().remove_all().unwrap();
    }
    fn rules_in_the_namespace_of_a_guest_are_warned_of() {
        let _outside = with_uplink();
        let wanted = spec(&json!({ "version": 1, "uplink": "uplink", "guests": [guest("web", 7), guest("db", 8)] }));
        assert_eq!(warned(&wanted), "");
        sh("ip -n web rule add from 192.168.0.7 blackhole priority 100
            ip -n db -6 rule add to 2001:db8:1:8::/64 unreachable priority 101
            ip -n db rule add from 192.168.0.7 blackhole priority 102");
        let said = warned(&wanted);
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.contains("\"100: from 192.168.0.7/32 blackhole\" (`ip -n web rule`)"), "{said}");
        for line in said.lines() {
            sh(line.split('`').nth(3).unwrap());
        }
        assert_eq!(warned(&wanted), "");
        host().remove_all().unwrap();
    }

    fn an_address_of_a_guest_that_the_host_has_is_in_the_way() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut alone = guest_in_host("six", 5);
        alone["interfaces"][0]["public_ipv6"] = "2001:db8:1:5::7/128".into();
        alone["interfaces"][0].as_object_mut().unwrap().remove("private_ipv6");
        let special = [guest("web", 7), guest_in_host("db", 8), alone];
        let own = [
            ("203.0.113.7/32", "uplink"), ("192.168.0.8/32", "lo"), ("2001:db8:1:5::7/128", "uplink"),
            ("2001:db8:1::7/128", "uplink"),
        ];
        // That of a guest in the host's namespace is translated, whoever answers for it.
        sh("ip address add 203.0.113.8/32 dev uplink");
        let all = |count: u8| {
            let more = (20..20 + count).map(|n| guest(&format!("g{n}"), n));
            spec(&json!({ "version": 1, "uplink": "uplink", "guests": more.chain(special.clone()).collect::<Vec<_>>() }))
        };
        let before = support::dump();
        for (own, link) in own {
            sh(&format!("ip address add {own} dev {link}"));
            settle();
            let (mut host, wanted) = (host(), all(0));
            assert!(host.plan(&wanted).unwrap().to_string().contains("! "), "{own}");
            for refused in [host.apply(&wanted), host.add(&wanted)] {
                let said = refused.unwrap_err().to_string();
                assert!(said.contains(own.split('/').next().unwrap()) && said.contains(link), "{said}");
            }
            sh(&format!("ip address delete {own} dev {link}"));
            settle();
            support::same(&before, &support::dump());
        }
        // Guests that are there stay; they are asked for one by one, or looked for link by link.
        for count in [0, 20] {
            let wanted = all(count);
            host().apply(&wanted).unwrap();
            assert_eq!(host().verify(&wanted).unwrap().warnings(), Vec::<String>::new());
            for (own, link) in own {
                sh(&format!("ip address add {own} dev {link}"));
                settle();
                let report = host().apply(&wanted).unwrap();
                let [said] = &report.warnings[..] else { panic!("{report}") };
                assert!(said.contains(&format!("and {own} is on {link}: ")), "{said}");
                sh(said.split('`').nth(1).unwrap());
                assert_eq!(host().verify(&wanted).unwrap().warnings(), Vec::<String>::new());
            }
            host().remove_all().unwrap();
        }
    }
}
