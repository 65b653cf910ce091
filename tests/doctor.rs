//! The doctor: each bad state is made, found with its remedy, mended as the remedy says, and found no more.

mod support;

use guestnet::HostSpec;
use guestnet::doctor::{Finding, Severity, examine};
use guestnet_lab::{Capability, has, lab_test, need, need_program};
use serde_json::{Value, json};
use support::{guest, guest_in_host, host, objects_in_host, sh, spec, with_uplink};

/// What is found of the host that the test is in.
fn findings(spec: &HostSpec) -> Vec<Finding> {
    examine(None, Some(spec)).unwrap().findings
}

/// Those with `id`.
fn found(id: &str, spec: &HostSpec) -> Vec<Finding> {
    findings(spec).into_iter().filter(|finding| finding.id == id).collect()
}

/// Makes a bad state, which is found once, as bad as `severity`; mends it, and it is found no more. Returns the finding.
fn comes_and_goes(id: &str, severity: Severity, spec: &HostSpec, make: &str, mend: &str) -> Finding {
    assert_eq!(found(id, spec), [], "before {make}");
    sh(make);
    let mut all = found(id, spec);
    assert_eq!((all.len(), all[0].severity), (1, severity), "after {make}: {all:?}");
    let all_said = all.remove(0);
    assert!(
        [&all_said.what, &all_said.meaning, &all_said.remedy].iter().all(|text| !text.contains('\n')),
        "{all_said}"
    );
    sh(mend);
    assert_eq!(found(id, spec), [], "after {mend}");
    all_said
}

/// The object that a remedy puts into the spec.
fn in_the_remedy(finding: &Finding) -> Value {
    let inside = finding.remedy.split_once('{').unwrap().1.split_once('}').unwrap().0;
    serde_json::from_str(&format!("{{{inside}}}")).unwrap()
}

fn two_guests() -> Value {
    json!({ "version": 1, "uplink": "uplink", "guests": [guest("own", 1), guest_in_host("in", 2)] })
}

lab_test! {
    fn a_host_that_can_be_applied_has_no_errors() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let spec = spec(&two_guests());
        let errors: Vec<Finding> = findings(&spec).into_iter().filter(|f| f.severity == Severity::Error).collect();
        assert_eq!(errors, []);
        host().apply(&spec).unwrap();
        assert_eq!(findings(&spec).into_iter().filter(|f| f.severity == Severity::Error).collect::<Vec<_>>(), []);
        // Nothing is left of what was tried.
        assert!(host().verify(&spec).unwrap().is_empty());
        assert!(examine(None, None).unwrap().findings.iter().all(|f| f.severity != Severity::Error || f.id == "no-esp"));
    }

    fn the_uplink() {
        let _outside = with_uplink();
        let spec = spec(&two_guests());
        let said = comes_and_goes("no-uplink", Severity::Error, &spec,
            "ip link set uplink down; ip link set uplink name other", "ip link set other name uplink; ip link set uplink up");
        assert!(said.remedy.contains("other"), "{said}");
        comes_and_goes("small-uplink-mtu", Severity::Warning, &spec,
            "ip link set uplink mtu 1400", "ip link set uplink mtu 1500");
        comes_and_goes("strict-reverse-path", Severity::Note, &spec,
            "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.uplink.rp_filter=1", "sysctl -qw net.ipv4.conf.uplink.rp_filter=2");
        sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.uplink.rp_filter=2");
        assert_eq!(found("strict-reverse-path", &spec), [], "the larger of both counts");
    }

    fn a_default_route_that_is_announced() {
        need_program("dnsmasq");
        let outside = with_uplink();
        let mut value = two_guests();
        let plain = spec(&value);
        assert_eq!(found("announced-default-route", &plain), []);
        // A router outside announces itself.
        guestnet_lab::output(outside.command("sh").args(["-c", "
            sysctl -qw net.ipv6.conf.all.forwarding=1
            ip address add 2001:db8:1::1/64 dev isp nodad"])).unwrap();
        sh("sysctl -qw net.ipv6.conf.uplink.accept_ra=1");
        let mut router = outside.command("dnsmasq");
        router.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-ra", "--interface=isp",
            "--dhcp-range=2001:db8:1::,ra-only", "--pid-file=", "--user=root", "--leasefile-ro", "--log-facility=/dev/null"]);
        guestnet_lab::die_with_parent(&mut router);
        let mut router = router.spawn().unwrap();
        let announced = || sh("ip -6 route show default").contains("proto ra");
        guestnet_lab::wait_until("a default route is announced", std::time::Duration::from_secs(30), announced).unwrap();
        let said = found("announced-default-route", &plain);
        assert_eq!((said.len(), said[0].severity), (1, Severity::Error), "{said:?}");
        // The remedy is a sysctl of the spec, as it says.
        value["objects"] = json!({"host": {"sysctls": [in_the_remedy(&said[0])]}});
        assert_eq!(found("announced-default-route", &spec(&value)), []);
        router.kill().unwrap();
        router.wait().unwrap();
    }

    fn proxied_neighbours_that_wait() {
        let _outside = with_uplink();
        // Guests' own are taken care of.
        assert_eq!(found("slow-proxy", &spec(&two_guests())), []);
        let mut value = json!({"version": 1, "objects": {"host": {
            "neighbours": [{"address": "2001:db8:1::7", "dev": "uplink"}]}}});
        sh("sysctl -qw net.ipv6.neigh.uplink.proxy_delay=0");
        let said = comes_and_goes("slow-proxy", Severity::Warning, &spec(&value),
            "sysctl -qw net.ipv6.neigh.uplink.proxy_delay=80", "sysctl -qw net.ipv6.neigh.uplink.proxy_delay=0");
        sh("sysctl -qw net.ipv6.neigh.uplink.proxy_delay=80");
        value["objects"]["host"]["sysctls"] = json!([in_the_remedy(&said)]);
        assert_eq!(found("slow-proxy", &spec(&value)), []);
    }

    fn chains_of_others() {
        let spec = spec(&json!({"version": 1, "guests": [guest_in_host("in", 2)]}).as_object().map(|o| {
            let mut o = o.clone();
            o["guests"][0].as_object_mut().unwrap().remove("proxied");
            Value::Object(o)
        }).unwrap());
        let drop = "nft add table inet theirs; nft 'add chain inet theirs fw { type filter hook forward priority 0; policy drop; }'";
        let said = comes_and_goes("foreign-drop", Severity::Warning, &spec, drop, "nft delete table inet theirs");
        assert!(said.what.contains("chain fw of the table inet theirs"), "{said}");
        let legacy = "nft add table ip filter; nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'";
        let said = comes_and_goes("foreign-drop", Severity::Warning, &spec, legacy, "nft 'chain ip filter FORWARD { policy accept; }'");
        assert!(said.remedy.contains("iptables -I FORWARD"), "{said}");
        let nat = "nft add table ip nat; nft 'add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }'";
        comes_and_goes("foreign-nat", Severity::Note, &spec, nat, "nft delete table ip nat");
        // Ours are not others'.
        need(Capability::Tap);
        host().apply(&spec).unwrap();
        assert_eq!(found("foreign-drop", &spec), []);
    }

    fn frames_that_go_through_ip_rules() {
        if !std::path::Path::new("/proc/sys/net/bridge").exists() {
            guestnet_lab::skip("this kernel has no br_netfilter");
        }
        let bridged = spec(&json!({"version": 1, "bridges": [{"name": "br0"}], "guests": []}));
        sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0");
        comes_and_goes("br-netfilter", Severity::Warning, &bridged,
            "sysctl -qw net.bridge.bridge-nf-call-iptables=1", "sysctl -qw net.bridge.bridge-nf-call-iptables=0");
        sh("sysctl -qw net.bridge.bridge-nf-call-iptables=1");
        assert_eq!(found("br-netfilter", &spec(&json!({"version": 1}))), [], "where nothing is bridged");
    }

    fn packets_that_ipsec_drops() {
        let nothing = spec(&json!({"version": 1}));
        if std::fs::read_to_string("/proc/thread-self/net/xfrm_stat").is_err() {
            guestnet_lab::skip("this kernel does not count them (CONFIG_XFRM_STATISTICS)");
        }
        assert_eq!(found("ipsec-drops", &nothing), []);
        let _outside = with_uplink();
        sh("ip xfrm policy add dir out dst 198.51.100.1/32 action block; ping -c1 -W1 198.51.100.1 || true");
        let said = found("ipsec-drops", &nothing);
        assert_eq!((said.len(), said[0].severity), (1, Severity::Note), "{said:?}");
        assert!(said[0].what.contains("in the host (XfrmOutPolBlock)") && said[0].meaning.contains("blocks"), "{said:?}");
        // In the namespace of a guest too.
        need(Capability::Tap);
        host().apply(&spec(&json!({"version": 1, "guests": [guest("own", 1)], "uplink": "uplink"}))).unwrap();
        sh("ip -n own xfrm policy add dir out dst 198.51.100.0/24 action block; ip netns exec own ping -c1 -W1 198.51.100.9 || true");
        assert!(found("ipsec-drops", &nothing).iter().any(|f| f.what.contains("in namespace own (")));
    }

    fn xfrm_interfaces_are_tried_where_they_are_wanted() {
        let refused = guestnet_lab::sh("ip link add x0 type xfrm if_id 1; ip link del x0").is_err();
        let link = json!({"name": "xfrm7", "kind": {"xfrm": {"if_id": 7}}});
        let wanted = objects_in_host(&json!({"links": [link]}));
        assert_eq!(found("no-xfrm-interface", &wanted).len(), usize::from(refused));
        assert_eq!(found("no-xfrm-interface", &spec(&json!({"version": 1}))), []);
    }

    fn esp_is_tried() {
        let esp = has(Capability::Esp).is_ok();
        let of = |outer: [&str; 2]| {
            let mut guest = guest("own", 1);
            guest["placement"] = "host".into();
            guest.as_object_mut().unwrap().remove("proxied");
            guest.as_object_mut().unwrap().remove("endpoint");
            guest["tunnels"] = json!([{"local": outer[0], "remote": outer[1], "secret": "00112233445566778899aabbccddeeff".repeat(2),
                "pairs": [{"local": "192.168.0.1/32", "remote": "192.168.0.9/32"}]}]);
            spec(&json!({"version": 1, "guests": [guest]}))
        };
        for (outer, family, module) in [(["192.0.2.1", "192.0.2.2"], "IPv4", "esp4"), (["2001:db8::1", "2001:db8::2"], "IPv6", "esp6")] {
            let said = found("no-esp", &of(outer));
            assert_eq!(said.len(), usize::from(!esp), "{said:?}");
            // The family that is not needed is not asked for.
            assert!(said.iter().all(|f| f.what.contains(family) && f.remedy.contains(module)), "{said:?}");
        }
        assert_eq!(found("no-esp", &spec(&json!({"version": 1}))), []);
        eprintln!("this kernel has {} ESP", if esp { "" } else { "no" });
    }

    fn in_a_namespace_by_name() {
        sh("ip netns add there; ip -n there link add up0 type veth peer name up1");
        let mut value = two_guests();
        value["uplink"] = "up0".into();
        let spec = spec(&value);
        let ids = |netns: Option<&str>| -> Vec<String> {
            let name = netns.map(|name| name.parse().unwrap());
            examine(name.as_ref(), Some(&spec)).unwrap().findings.into_iter().map(|f| f.id).collect()
        };
        assert!(ids(None).contains(&"no-uplink".to_owned()));
        assert!(!ids(Some("there")).contains(&"no-uplink".to_owned()));
        assert!(examine(Some(&"missing".parse().unwrap()), None).is_err());
    }
}
