//! The doctor: each bad state is made, found with its remedy, mended as the remedy says, and found no more.

mod support;

use guestnet::HostSpec;
use guestnet::doctor::{Finding, Severity, examine};
use guestnet_lab::{Capability, Guest, Mac, Netns, has, lab_test, need, need_program};
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

/// The command that a remedy says.
fn command_in(finding: &Finding) -> String {
    finding.remedy.split('`').nth(1).unwrap_or_else(|| panic!("{finding}")).to_owned()
}

/// A guest in the host's namespace of which nothing is proxied.
fn routed_guest() -> Value {
    let mut guest = guest_in_host("in", 2);
    guest.as_object_mut().unwrap().remove("proxied");
    guest
}

/// A host that protects itself and lets pass what is right (nftables.conf as many distributions show it).
const CAREFUL_HOST: &str = "
chain input { type filter hook input priority 0; policy drop;
  iif lo accept
  ct state vmap { established : accept, related : accept, invalid : drop }
  meta l4proto { icmp, ipv6-icmp } accept
  udp dport { 67, 547 } accept
  tcp dport 22 accept
}
chain forward { type filter hook forward priority 0; policy drop;
  ct state established,related accept
  iifname . oifname { \"vethoown\" . \"uplink\", \"uplink\" . \"vethoown\", \"tapin\" . \"uplink\", \"uplink\" . \"tapin\" } accept
}";

/// One that thinks of IPv4 and ssh alone.
const STRICT_HOST: &str = "
chain input { type filter hook input priority 0; policy drop;
  iif lo accept
  ct state established,related accept
  tcp dport 22 accept
}";

/// What Docker makes with iptables (28), shortened to what decides.
const DOCKER: &str = "
iptables-nft -P FORWARD DROP
for c in DOCKER DOCKER-USER DOCKER-FORWARD DOCKER-CT DOCKER-BRIDGE DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do iptables-nft -N $c; done
iptables-nft -A FORWARD -j DOCKER-USER
iptables-nft -A FORWARD -j DOCKER-FORWARD
iptables-nft -A DOCKER-FORWARD -j DOCKER-CT
iptables-nft -A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables-nft -A DOCKER-FORWARD -j DOCKER-BRIDGE
iptables-nft -A DOCKER-FORWARD -i docker0 -j ACCEPT
iptables-nft -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A DOCKER-BRIDGE -o docker0 -j DOCKER
iptables-nft -A DOCKER ! -i docker0 -o docker0 -j DROP
iptables-nft -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
iptables-nft -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
iptables-nft -t nat -N DOCKER
iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE";

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

    fn an_uplink_that_nothing_needs_or_that_has_two_names() {
        // Nothing is proxied.
        let unneeded = spec(&json!({"version": 1, "uplink": "absent0", "guests": [routed_guest()]}));
        assert_eq!(found("no-uplink", &unneeded), []);
        let _outside = with_uplink();
        sh("ip link property add dev uplink altname enp7s0 altname wan");
        let mut value = two_guests();
        value["uplink"] = "wan".into();
        let said = found("alternative-name", &spec(&value));
        assert_eq!((said.len(), said[0].severity), (1, Severity::Error), "{said:?}");
        assert_eq!(found("no-uplink", &spec(&value)), []);
        value["uplink"] = said[0].remedy.rsplit('"').nth(1).unwrap().into();
        assert_eq!(found("alternative-name", &spec(&value)), [], "{value}");
    }

    fn neighbour_tables_are_those_of_the_whole_kernel() {
        need(Capability::FirstNamespace);
        // Two neighbours of each family for each of them: more than the table has room for by default (1024).
        let guests: Vec<Value> = (0..600).map(|n| json!({"name": format!("g{n}")})).collect();
        let spec = spec(&json!({"version": 1, "guests": guests}));
        sh("ip netns add there");
        let ids = |netns: Option<&str>| -> usize {
            let name = netns.map(|name| name.parse().unwrap());
            let all = examine(name.as_ref(), Some(&spec)).unwrap().findings;
            all.iter().filter(|finding| finding.id == "small-neighbour-table").count()
        };
        // What a namespace shows does not decide.
        assert!(ids(None) > 0, "the tables of this kernel have room for them");
        assert_eq!(ids(Some("there")), ids(None));
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
        // Whether the spec names an uplink or not.
        let without = spec(&json!({"version": 1, "guests": [routed_guest()]}));
        assert_eq!(found("announced-default-route", &without), said);
        assert_eq!(found("announced-default-route", &spec(&json!({"version": 1}))), [], "where nobody forwards");
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
        let spec = spec(&json!({"version": 1, "guests": [routed_guest()]}));
        let drop = "nft add table inet theirs; nft 'add chain inet theirs fw { type filter hook forward priority 0; policy drop; }'";
        let said = comes_and_goes("foreign-drop", Severity::Warning, &spec, drop, "nft delete table inet theirs");
        assert!(said.what.contains("the chain fw of the table inet theirs") && said.what.ends_with("by its policy"), "{said}");
        // What the remedy says is done as it says.
        sh(drop);
        sh(&command_in(&said));
        assert_eq!(found("foreign-drop", &spec), []);
        let iptables = "nft add table ip filter; nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'";
        let said = comes_and_goes("foreign-drop", Severity::Warning, &spec, iptables, "nft 'chain ip filter FORWARD { policy accept; }'");
        assert!(said.remedy.contains("`iptables -I FORWARD -i tapin -j ACCEPT; iptables -I FORWARD -o tapin -j ACCEPT`"), "{said}");
        let nat = "nft add table ip nat; nft 'add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }'";
        sh(nat);
        assert_eq!(found("foreign-nat", &spec), [], "what translates nobody is no finding");
        comes_and_goes("foreign-nat", Severity::Note, &spec, "nft add rule ip nat POSTROUTING masquerade", "nft delete table ip nat");
        // Ours are not others'.
        need(Capability::Tap);
        host().apply(&spec).unwrap();
        assert_eq!(found("foreign-drop", &spec), []);
    }

    fn what_others_drop_is_told_by_what_it_is_needed_for() {
        need(Capability::Conntrack);
        let _outside = with_uplink();
        let spec = spec(&two_guests());
        // Rules, and of each thing that is needed what is said to be dropped.
        for (rules, dropped) in [
            (CAREFUL_HOST, &[][..]),
            (STRICT_HOST, &["neighbour solicitations from guest own", "neighbour solicitations from guest in", "DHCP requests of guest in", "neighbour solicitations on uplink"]),
            ("chain input { type filter hook input priority 0\n udp dport 67 drop\n }", &["DHCP requests of guest in"]),
            ("chain input { type filter hook input priority 0\n iifname \"vetho*\" meta l4proto ipv6-icmp drop\n }", &["neighbour solicitations from guest own"]),
            ("chain output { type filter hook output priority 0\n icmpv6 type nd-neighbor-solicit drop\n }", &["the host's neighbour solicitations to guest own", "the host's neighbour solicitations to guest in"]),
            ("chain input { type filter hook input priority 0\n iifname \"uplink\" icmpv6 type nd-neighbor-solicit drop\n }", &["neighbour solicitations on uplink"]),
            ("chain forward { type filter hook forward priority 0\n ct state established,related accept\n iifname != \"uplink\" accept\n drop\n }", &["connections to guest own over IPv4", "connections to guest in over IPv4"]),
            ("chain forward { type filter hook forward priority 0\n ip saddr 192.168.0.0/24 drop\n }", &["connections from guest in over IPv4"]),
            ("chain forward { type filter hook forward priority 0\n ip saddr 203.0.113.0/24 drop\n }", &["connections from guest own over IPv4"]),
            ("chain forward { type filter hook forward priority 0\n icmpv6 type packet-too-big drop\n }", &["ICMP \"packet too big\" to guest own over IPv6", "ICMP \"packet too big\" to guest in over IPv6"]),
            ("chain raw { type filter hook prerouting priority -300\n fib saddr . iif oif missing drop\n }", &[]),
        ] {
            sh(&format!("printf 'table inet theirs {{\n{rules}\n}}\n' | nft -f -"));
            let all = found("foreign-drop", &spec);
            let said: Vec<&str> = all.iter().map(|finding| finding.what.as_str()).collect();
            assert_eq!(said.len(), dropped.len(), "{rules}:\n{said:#?}");
            for what in dropped {
                assert!(said.iter().any(|said| said.contains(&format!("drops {what}"))), "{what} by {rules}:\n{said:#?}");
            }
            assert_eq!(found("foreign-unknown", &spec), [], "{rules}");
            // All remedies followed, nothing is left.
            all.iter().map(command_in).for_each(|command| drop(sh(&command)));
            assert_eq!(found("foreign-drop", &spec), [], "after the remedies for {rules}: {}", sh("nft list ruleset"));
            sh("nft delete table inet theirs");
        }
    }

    fn rules_that_are_not_known_are_no_alarm() {
        let spec = spec(&json!({"version": 1, "guests": [routed_guest()]}));
        let unknown = "nft add table inet theirs; nft 'add chain inet theirs fw { type filter hook forward priority 0; }'
            nft add rule inet theirs fw numgen random mod 2 1 drop";
        let said = comes_and_goes("foreign-unknown", Severity::Note, &spec, unknown, "nft delete table inet theirs");
        assert!(said.what.contains("numgen"), "{said}");
        sh(unknown);
        assert_eq!(found("foreign-drop", &spec), []);
    }

    fn rules_of_iptables() {
        need(Capability::Conntrack);
        need_program("iptables-nft");
        need(Capability::Tap);
        let outside = with_uplink();
        let spec = spec(&two_guests());
        sh(DOCKER);
        let theirs = || sh("nft -s list ruleset | sed '/table .* guestnet_/,/^}/d'");
        let before = theirs();
        host().apply(&spec).unwrap();
        outside.ip("address add 198.51.100.1/30 dev isp").unwrap();
        outside.ip("route add 203.0.113.0/24 via 198.51.100.2").unwrap();
        let vm = Guest::plug("vm", &Netns::here().unwrap(), "tapin", Some(Mac([2, 0, 0x5e, 0, 0x53, 2]))).unwrap();
        vm.netns().ip("address add 192.168.0.2/24 dev eth0").unwrap();
        vm.netns().ip("route add default via 192.168.0.254").unwrap();
        let reaches = || guestnet_lab::ping(vm.netns(), None, "198.51.100.1".parse().unwrap());
        assert!(reaches().is_err(), "nothing is dropped");
        let said = found("foreign-drop", &spec);
        // Of both kinds of guests, what is forwarded.
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said.iter().all(|f| f.what.contains("the chain FORWARD of the table ip filter") && f.remedy.contains("DOCKER-USER")), "{said:#?}");
        assert_eq!(found("foreign-unknown", &spec), []);
        said.iter().map(command_in).for_each(|command| drop(sh(&command)));
        assert_eq!(found("foreign-drop", &spec), [], "{}", sh("nft list ruleset"));
        // It is as the doctor says, and what is Docker's stays Docker's.
        reaches().unwrap();
        let with_remedies = theirs();
        assert!(before != with_remedies && host().verify(&spec).unwrap().is_empty());
        host().remove_all().unwrap();
        assert_eq!(theirs(), with_remedies);
    }

    fn bridges_of_others_that_the_firewall_cuts_off() {
        need(Capability::Conntrack);
        let _outside = with_uplink();
        let mut value = json!({"version": 1, "uplink": "uplink", "firewall": {}, "guests": [guest("own", 1)]});
        let plain = spec(&value);
        let container = "ip link add docker0 type bridge; ip link set docker0 up
            ip netns add box; ip link add p0 master docker0 type veth peer name eth0 netns box";
        sh(container);
        if std::path::Path::new("/proc/sys/net/bridge").exists() {
            sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0");
            // Frames between its own ports are shown to the filter, too.
            comes_and_goes("others-cut-off", Severity::Warning, &plain,
                "sysctl -qw net.bridge.bridge-nf-call-iptables=1", "sysctl -qw net.bridge.bridge-nf-call-iptables=0");
        }
        assert_eq!(found("others-cut-off", &plain), [], "nothing is forwarded");
        sh("sysctl -qw net.ipv4.ip_forward=1");
        let said = found("others-cut-off", &plain);
        assert_eq!((said.len(), said[0].severity), (1, Severity::Warning), "{said:?}");
        assert!(said[0].what.contains("docker0") && !said[0].what.contains("p0"), "{said:?}");
        let list = said[0].remedy.split_once("\"trusted\": ").unwrap().1.split_once(" in").unwrap().0;
        value["firewall"]["trusted"] = serde_json::from_str(list).unwrap();
        assert_eq!(found("others-cut-off", &spec(&value)), [], "{value}");
        value["firewall"]["trusted"] = json!(["docker*", "up*"]);
        assert_eq!(found("others-cut-off", &spec(&value)), [], "{value}");
        // Without a filter nothing is cut off.
        value.as_object_mut().unwrap().remove("firewall");
        assert_eq!(found("others-cut-off", &spec(&value)), []);
    }

    fn guests_that_the_firewall_does_not_know() {
        need(Capability::Tap);
        need(Capability::Conntrack);
        let mut value = json!({"version": 1, "firewall": {}, "guests": [routed_guest()]});
        let plain = spec(&value);
        host().apply(&plain).unwrap();
        let vm = Guest::plug("vm", &Netns::here().unwrap(), "tapin", Some(Mac([2, 0, 0x5e, 0, 0x53, 2]))).unwrap();
        assert_eq!(found("unknown-sources", &plain), []);
        vm.netns().ip("-6 address add fe80::1234/64 dev eth0 nodad").unwrap();
        let ask = "ping -c1 -W1 -I fe80::1234%eth0 ff02::1%eth0 || true";
        guestnet_lab::output(vm.netns().command("sh").args(["-c", ask])).unwrap();
        let said = found("unknown-sources", &plain);
        assert_eq!((said.len(), said[0].severity), (1, Severity::Note), "{said:?}");
        assert!(said[0].what.contains("guest in"), "{said:?}");
        value["guests"][0]["interfaces"][0]["link_local"] = "any".into();
        host().apply(&spec(&value)).unwrap();
        assert_eq!(found("unknown-sources", &spec(&value)), []);
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
