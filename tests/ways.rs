//! The host's own ways: what others have set there is not guestnet's to change, and every answer warns of it.

mod support;

use guestnet::HostSpec;
use guestnet::doctor::examine;
use guestnet_lab::lab_test;
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
    let ids = ["uplink-not-forwarding", "uplink-without-ipv6", "dropping-rule"];
    let found = found.iter().filter(|finding| ids.contains(&finding.id.as_str()));
    let found = found.map(|found| format!("{}: {}; {}", found.what, found.meaning, found.remedy));
    assert_eq!(found.collect::<Vec<_>>().join("\n"), plan);
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
}
