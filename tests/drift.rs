//! The drift law: whatever ip(8) and bridge(8) can change of an object of ours is found by `verify` and mended by `apply`, but
//! for what docs/drift.md excepts.

mod support;

use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, Part, lab_test, need, note, sh as run};
use serde_json::json;
use support::{guest, guest_in_host, host, sh, spec, spec_of, still, with_uplink};

/// The wanted host; with a route that the kernel refuses, where `refused`.
fn wanted(refused: bool) -> HostSpec {
    let mut value = json!({"version": 1, "objects": {"host": {
        "links": [
            {"name": "br0", "kind": {"bridge": {}}, "mtu": 1500, "mac": "02:00:00:00:00:10"},
            {"name": "pair0", "kind": {"veth": {"peer": "pair1"}}, "bridge": "br0", "mac": "02:00:00:00:00:01", "mtu": 1500},
            {"name": "pair1", "kind": {"veth": {"peer": "pair0"}}},
            {"name": "d0", "kind": {"veth": {"peer": "d1"}}, "mac": "02:00:00:00:00:02"},
            {"name": "d1", "kind": {"veth": {"peer": "d0"}}},
            {"name": "near0", "kind": {"veth": {"peer": "far0", "namespace": "far"}}, "mac": "02:00:00:00:00:03", "mtu": 1500},
        ],
        "addresses": [
            {"dev": "d0", "address": "10.1.0.1/24"},
            {"dev": "d0", "address": "10.2.0.1/32"},
            {"dev": "d0", "address": "2001:db8:77::1/64", "nodad": true},
        ],
        "routes": [
            {"to": "10.9.0.0/16", "via": "10.1.0.2", "dev": "d0"},
            {"to": "10.7.0.0/16", "dev": "d0"},
            {"to": "10.8.0.0/16", "kind": "blackhole"},
            {"to": "2001:db8:99::/48", "via": "2001:db8:77::2", "dev": "d0"},
        ],
        "permanent_neighbours": [{"address": "10.1.0.7", "dev": "d0", "mac": "02:00:00:00:00:07"}],
        "neighbours": [{"address": "10.5.0.5", "dev": "d0"}, {"address": "2001:db8:55::5", "dev": "d0"}],
    }, "namespaces": {"far": {"links": [{"name": "far0", "kind": {"veth": {"peer": "near0"}}}]}}}});
    if refused {
        let routes = value["objects"]["host"]["routes"].as_array_mut().unwrap();
        routes.push(json!({"to": "10.66.0.0/16", "via": "192.0.2.99", "dev": "d0"}));
    }
    spec(&value)
}

/// Attributes of a bridge, as `ip link set br0 type bridge` takes them.
const BRIDGE: &str = "stp_state 1, vlan_filtering 1, mcast_snooping 0, ageing_time 20000, forward_delay 400, hello_time 300,
    max_age 1000, priority 100, vlan_protocol 802.1ad, group_fwd_mask 8, group_address 01:80:c2:00:00:0a, mcast_router 2,
    mcast_query_use_ifaddr 1, mcast_querier 1, mcast_last_member_count 5, mcast_startup_query_count 5,
    mcast_last_member_interval 200, mcast_membership_interval 20000, mcast_querier_interval 20000, mcast_query_interval 10000,
    mcast_query_response_interval 500, nf_call_iptables 1, nf_call_ip6tables 1, nf_call_arptables 1, vlan_default_pvid 0,
    vlan_stats_enabled 1, mcast_stats_enabled 1, mcast_igmp_version 3, mcast_mld_version 2, vlan_stats_per_port 1,
    no_linklocal_learn 1, mcast_vlan_snooping 1, fdb_max_learned 5";

/// Attributes of a port, as `ip link set pair0 type bridge_slave` takes them.
const PORT: &str = "hairpin on, guard on, root_block on, fastleave on, learning off, flood off, mcast_flood off,
    bcast_flood off, mcast_to_unicast on, neigh_suppress on, vlan_tunnel on, isolated on, locked on, locked on mab on,
    mcast_router 2, group_fwd_mask 8, proxy_arp on, proxy_arp_wifi on, mcast_max_groups 5, neigh_vlan_suppress on";

/// Attributes of any link, as `ip link set` takes them.
const LINK: &str =
    "down, arp off, multicast off, allmulticast on, promisc on, trailers off, dynamic on, mtu 1400,
    address 02:00:00:00:00:09, nomaster";

/// Commands that change an address by hand, with or without taking it away first.
const ADDRESSES: &[&str] = &[
    "ip address del 10.1.0.1/24 dev d0",
    "ip address change 10.1.0.1/24 dev d0 valid_lft 1000 preferred_lft 500",
    "ip address change 10.1.0.1/24 dev d0 valid_lft 1000 preferred_lft 500 proto 103",
    "ip address change 10.1.0.1/24 dev d0 metric 50",
    "ip address del 10.1.0.1/24 dev d0; ip address add 10.1.0.1 peer 10.1.0.9/24 dev d0",
    "ip address del 10.2.0.1/32 dev d0; ip address add 10.2.0.1 peer 10.2.0.9/32 dev d0 proto 103",
    "ip address add 10.2.0.1 peer 10.2.0.9/32 dev d0 proto 103",
    "ip address del 10.2.0.1/32 dev d0; ip address add 10.2.0.1/32 dev d0 scope link",
    "ip address del 10.2.0.1/32 dev d0; ip address add 10.2.0.1/32 dev d0 scope link proto 103",
    "ip address del 10.2.0.1/32 dev d0; ip address add 10.2.0.1/32 dev d0 label d0:x",
    "ip address del 10.2.0.1/32 dev d0; ip address add 10.2.0.1/32 dev d0 noprefixroute",
    "ip address change 2001:db8:77::1/64 dev d0 valid_lft 1000 preferred_lft 500",
    "ip address change 2001:db8:77::1/64 dev d0 noprefixroute",
    "ip address change 2001:db8:77::1/64 dev d0 home",
    "ip address change 2001:db8:77::1/64 dev d0 mngtmpaddr",
    "ip address change 2001:db8:77::1/64 dev d0 metric 50",
    "ip address del 2001:db8:77::1/64 dev d0; ip address add 2001:db8:77::1 peer 2001:db8:77::9/64 dev d0 nodad",
];

/// Commands that take away the route to the prefix of an address, which the kernel has made with it.
const CONNECTED: &[&str] = &[
    "ip route del 10.1.0.0/24 dev d0",
    "ip -6 route del 2001:db8:77::/64 dev d0",
    "ip route flush table main",
    "ip -6 route flush root 2001:db8::/32 table main",
];

/// What `ip route change 10.9.0.0/16 via 10.1.0.2 dev d0` may say besides.
const ROUTE: &str = "mtu 1400, mtu lock 1500, advmss 1400, window 1000, rtt 100, rttvar 100, ssthresh 5, cwnd 5, reordering 5,
    hoplimit 5, initcwnd 5, initrwnd 5, quickack 1, features ecn, rto_min 100, congctl cubic, fastopen_no_cookie 1, realms 5,
    src 10.1.0.1, onlink";

/// The same of the IPv6 route.
const ROUTE6: &str =
    "mtu 1400, advmss 1400, hoplimit 5, initcwnd 5, pref high, pref low, src 2001:db8:77::1, expires 1000";

/// Commands that change routes in other ways.
const ROUTES: &[&str] = &[
    "ip route del 10.9.0.0/16",
    "ip route del 10.9.0.0/16; ip route add 10.9.0.0/16 via 10.1.0.2 dev d0 tos 0x10 proto 103",
    "ip route add 10.9.0.0/16 via 10.1.0.2 dev d0 tos 0x10 proto 103",
    "ip route append 10.9.0.0/16 via 10.1.0.3 dev d0 proto 103",
    "ip route prepend 10.9.0.0/16 via 10.1.0.3 dev d0 proto 103",
    "ip route change 10.9.0.0/16 proto 103 nexthop via 10.1.0.2 dev d0 nexthop via 10.1.0.3 dev d0",
    "ip route change 10.9.0.0/16 via 10.1.0.3 dev d0",
    "ip nexthop replace id 5 via 10.1.0.2 dev d0; ip route change 10.9.0.0/16 nhid 5 proto 103",
    "ip route change 10.9.0.0/16 via 10.1.0.2 dev d0 proto 103 encap ip id 5 dst 10.1.0.3",
    "ip route change 10.7.0.0/16 dev d0 scope host",
    "ip route change 10.7.0.0/16 dev d0 scope global proto 103",
    "ip route change unreachable 10.8.0.0/16 proto 103",
    "ip route change throw 10.8.0.0/16 proto 103",
    "ip route change prohibit 10.9.0.0/16 proto 103",
    "ip -6 route del 2001:db8:99::/48",
    "ip -6 route append 2001:db8:99::/48 via 2001:db8:77::3 dev d0 proto 103",
    "ip -6 route change 2001:db8:99::/48 proto 103 nexthop via 2001:db8:77::2 dev d0 nexthop via 2001:db8:77::3 dev d0",
    "ip nexthop replace id 6 via 2001:db8:77::2 dev d0; ip -6 route change 2001:db8:99::/48 nhid 6 proto 103",
    "ip -6 route add 2001:db8:99::/48 from 2001:db8:1::/64 via 2001:db8:77::2 dev d0 proto 103",
    "ip -6 route change 2001:db8:99::/48 via 2001:db8:77::2 dev d0 proto 103 encap ip6 id 5 dst 2001:db8:77::3",
];

/// Others' objects in place of ours that look like them and have another key: they stay.
const OTHERS: &[&str] = &[
    "ip route del 10.9.0.0/16; ip route add 10.9.0.0/16 via 10.1.0.2 dev d0 tos 0x10",
    "ip route del 10.9.0.0/16; ip route add 10.9.0.0/16 via 10.1.0.2 dev d0 metric 5",
    "ip address del 10.2.0.1/32 dev d0; ip address add 10.2.0.1 peer 10.2.0.9/32 dev d0",
    "ip -6 route del 2001:db8:99::/48; ip -6 route add 2001:db8:99::/48 from 2001:db8:1::/64 via 2001:db8:77::2 dev d0",
];

/// What ip(8) undoes at once, and bridge(8) does not.
const STATES: &[&str] = &["bridge link set dev pair0 state 0"];

const NEIGHBOURS: &[&str] = &[
    "ip neigh del 10.1.0.7 dev d0",
    "ip neigh change 10.1.0.7 dev d0 lladdr 02:00:00:00:00:08",
    "ip neigh change 10.1.0.7 dev d0 nud stale",
    "ip neigh del proxy 10.5.0.5 dev d0",
    "ip neigh del proxy 2001:db8:55::5 dev d0",
    "ip neigh replace proxy 2001:db8:55::5 dev d0 router protocol 103",
];

/// What tools show of the objects, in no order: an address that is made again comes last.
fn portrait() -> Vec<String> {
    let shown = sh("ip -d link; ip -d address; ip -d route show table all; ip -d -6 route show table all
        ip -d neigh show nud permanent; ip -d neigh show proxy; ip -6 -d neigh show proxy");
    let mut lines: Vec<String> = shown.lines().map(still).collect();
    lines.sort();
    lines
}

/// Where this says a part of all changes (`3/12`), only those are tried: under emulation each takes ten seconds.
const PART: &str = "GUESTNET_DRIFT_PART";

/// Does `change`, which has to be found and mended, without a trace but for others' objects; `false` where this kernel or its
/// tools do not know it.
fn is_mended(host: &mut Host, wanted: &HostSpec, change: &str) -> bool {
    let before = portrait();
    if run(change).is_err() {
        host.apply(wanted).unwrap_or_else(|e| panic!("after what was refused of {change}: {e}"));
        return false;
    }
    // A kernel without the feature takes some of them and does nothing.
    if portrait() == before {
        return false;
    }
    let found = host.verify(wanted).unwrap_or_else(|e| panic!("{change}: {e}"));
    assert!(!found.is_empty(), "not found: {change}\n{}", portrait().join("\n"));
    let changed = portrait();
    let refused = host.apply(&self::wanted(true)).unwrap_err().to_string();
    // An attribute that was mended meanwhile may stay so.
    let states = ["undone, the host is as before", "as before, but for attributes that were mended"];
    match refused.contains("state: nothing was changed") {
        true => assert_eq!(portrait(), changed, "{change}: {refused}"),
        false => assert!(states.iter().any(|state| refused.contains(state)), "{change}: {refused}"),
    }
    host.apply(wanted).unwrap_or_else(|e| panic!("{change}: {e}\n{found}"));
    let left = Host::open().unwrap().verify(wanted).unwrap();
    assert!(left.is_empty(), "not mended: {change}\n{left}");
    sh("ip nexthop flush 2>/dev/null || true");
    let now = portrait();
    let (gone, new): (Vec<_>, Vec<_>) = (
        before.iter().filter(|line| !now.contains(line)).collect(),
        now.iter().filter(|line| !before.contains(line)).collect(),
    );
    let left = OTHERS.contains(&change);
    assert!(
        gone.is_empty() && new.is_empty() != left,
        "not as before: {change}\ngone: {gone:#?}\nnew: {new:#?}"
    );
    true
}

lab_test! {
    fn what_tools_change_of_ours_is_found_and_mended() {
        need(Capability::Bridge);
        // Without the search for duplicates, so that a dump after a link came up again does not wait for it.
        sh("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
        let wanted = wanted(false);
        let mut host = host();
        host.apply(&wanted).unwrap();
        let each = |list: &'static str, line: &'static str| {
            list.split(',').map(move |word| line.replace('*', word.trim()))
        };
        let changes: Vec<String> = each(BRIDGE, "ip link set br0 type bridge *")
            .chain(each(PORT, "ip link set pair0 type bridge_slave *"))
            .chain(each(LINK, "ip link set pair0 *"))
            .chain(each(LINK, "ip link set near0 *"))
            .chain(each(ROUTE, "ip route change 10.9.0.0/16 via 10.1.0.2 dev d0 *"))
            .chain(each(ROUTE, "ip route change 10.9.0.0/16 via 10.1.0.2 dev d0 proto 103 *"))
            .chain(each(ROUTE6, "ip -6 route change 2001:db8:99::/48 via 2001:db8:77::2 dev d0 *"))
            .chain(each(ROUTE6, "ip -6 route change 2001:db8:99::/48 via 2001:db8:77::2 dev d0 proto 103 *"))
            .chain([STATES, ADDRESSES, CONNECTED, ROUTES, NEIGHBOURS, OTHERS].concat().into_iter().map(str::to_owned))
            .collect();
        let part = Part::said(PART).unwrap();
        let changes: Vec<String> = changes
            .into_iter()
            .enumerate()
            .filter(|(n, _)| part.is_none_or(|part| part.has(*n)))
            .map(|(_, change)| change)
            .collect();
        let unknown: Vec<&String> = changes.iter().filter(|change| !is_mended(&mut host, &wanted, change)).collect();
        for change in &unknown {
            note(&format!("this kernel or its tools refuse: {change}"));
        }
        assert!(unknown.len() * 4 < changes.len(), "too few were tried: {unknown:#?}");
    }
    fn a_flush_of_all_routes_is_mended() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let wanted = spec_of(&[guest("own", 1), guest_in_host("in", 2)]);
        let mut host = host();
        host.apply(&wanted).unwrap();
        let of_guests = || {
            let all = sh("ip route; ip -6 route; ip netns exec own ip route; ip netns exec own ip -6 route");
            let mut lines: Vec<String> = all.lines().filter(|l| !l.contains("uplink")).map(still).collect();
            lines.sort();
            lines
        };
        let before = of_guests();
        for place in ["", "ip netns exec own "] {
            for family in ["-4", "-6"] {
                let flush = format!("{place}ip {family} route flush table main");
                sh(&flush);
                assert_ne!(of_guests(), before, "{flush}");
                assert!(!host.verify(&wanted).unwrap().is_empty(), "not found: {flush}");
                host.apply(&wanted).unwrap_or_else(|e| panic!("{flush}: {e}"));
                let left = Host::open().unwrap().verify(&wanted).unwrap();
                assert!(left.is_empty(), "not mended: {flush}\n{left}");
                assert_eq!(of_guests(), before, "{flush}");
            }
        }
    }

    fn what_nft_changes_of_ours_is_found_and_mended() {
        need(Capability::Tap);
        need(Capability::Conntrack);
        let _outside = with_uplink();
        let guests = [guest_in_host("in", 2)];
        let wanted = spec(&json!({"version": 1, "uplink": "uplink", "firewall": {}, "guests": guests}));
        let mut host = host();
        host.apply(&wanted).unwrap();
        let shown = || sh("nft -s list ruleset");
        let before = shown();
        let mut refused = Vec::new();
        for change in RULES {
            if run(change).is_err() {
                note(&format!("this kernel refuses: {change}"));
                refused.push(change);
                continue;
            }
            assert_ne!(shown(), before, "{change}");
            let found = host.verify(&wanted).unwrap();
            assert!(!found.is_empty(), "not found: {change}\n{}", shown());
            host.apply(&wanted).unwrap_or_else(|e| panic!("{change}: {e}"));
            let left = Host::open().unwrap().verify(&wanted).unwrap();
            assert!(left.is_empty(), "not mended: {change}\n{left}");
            let (now, then) = (shown(), before.clone());
            assert_eq!(sorted(&now), sorted(&then), "not as before: {change}");
        }
        assert!(refused.len() * 4 < RULES.len(), "too few were tried: {refused:#?}");
    }

    fn esp_what_ip_xfrm_changes_of_ours_is_found_and_mended() {
        need(Capability::Esp);
        let key = "00".repeat(35) + "01";
        let wanted = spec(&json!({"version": 1, "objects": {"namespaces": {"vm": {
            "states": [{"src": "2001:db8:1::1", "dst": "2001:db8:2::1", "spi": 4096, "reqid": 7, "key": key}],
            "policies": [{"selector": {"src": "10.0.0.1/32", "dst": "10.0.0.2/32"}, "direction": "out", "templates": [
                {"src": "2001:db8:1::1", "dst": "2001:db8:2::1", "reqid": 7}]}],
        }}}}));
        let mut host = host();
        host.apply(&wanted).unwrap();
        let state = "src 2001:db8:1::1 dst 2001:db8:2::1 proto esp spi 0x1000";
        let aead = format!("aead 'rfc4106(gcm(aes))' 0x{key} 128");
        let again = format!("ip xfrm state delete {state}; ip xfrm state add {state} reqid 7 mode tunnel {aead}");
        let policy = "ip xfrm policy update src 10.0.0.1/32 dst 10.0.0.2/32 dir out";
        let tmpl = "tmpl src 2001:db8:1::1 dst 2001:db8:2::1 proto esp reqid 7 mode tunnel";
        let shown = || sh("ip netns exec vm sh -c 'ip xfrm state; ip xfrm policy'");
        let before = shown();
        for change in [
            format!("ip xfrm state delete {state}"),
            format!("{again} flag noecn"),
            format!("{again} flag decap-dscp"),
            format!("{again} flag nopmtudisc"),
            format!("{again} flag icmp"),
            format!("{again} flag af-unspec extra-flag dont-encap-dscp"),
            format!("{again} flag af-unspec extra-flag oseq-may-wrap"),
            format!("{again} flag af-unspec replay-window 32"),
            format!("{again} flag af-unspec tfcpad 100"),
            format!("{again} flag af-unspec sel src 10.0.0.1"),
            format!("{again} flag af-unspec encap espinudp 4500 4500 ::"),
            format!("{again} flag af-unspec output-mark 5"),
            format!("{again} flag af-unspec if_id 5"),
            format!("{again} flag af-unspec limit packet-hard 1000"),
            "ip xfrm state flush".into(),
            "ip xfrm policy flush".into(),
            format!("{policy} {tmpl} priority 5"),
            format!("{policy} {tmpl} flag localok"),
            format!("{policy} {tmpl} flag icmp"),
            format!("{policy} {tmpl} limit packet-hard 1000"),
            format!("{policy} action block {tmpl}"),
            format!("{policy} {tmpl} tmpl src 2001:db8:1::1 dst 2001:db8:2::1 proto ah reqid 7 mode tunnel"),
            policy.into(),
        ] {
            sh(&format!("ip netns exec vm sh -ec \"{change}\""));
            let found = host.verify(&wanted).unwrap();
            assert!(!found.is_empty(), "not found: {change}\n{}", shown());
            host.apply(&wanted).unwrap_or_else(|e| panic!("{change}: {e}"));
            let left = Host::open().unwrap().verify(&wanted).unwrap();
            assert!(left.is_empty(), "not mended: {change}\n{left}");
            assert_eq!(shown(), before, "not as before: {change}");
        }
    }
}

/// The lines of a ruleset: a chain or a set that is made again comes last.
fn sorted(ruleset: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = ruleset.lines().collect();
    lines.sort_unstable();
    lines
}

/// Changes of tables of ours that nft(8) knows.
const RULES: &[&str] = &[
    "nft flush ruleset",
    "nft delete table ip guestnet_nat",
    "nft 'table ip guestnet_nat { flags dormant; }'",
    "nft add rule ip guestnet_nat arrived accept",
    "nft insert rule ip guestnet_nat arrived counter",
    "nft flush chain ip guestnet_nat arrived",
    "nft add chain ip guestnet_nat theirs",
    "nft 'add chain ip guestnet_nat theirs { type filter hook forward priority 0; policy drop; }'",
    "nft 'chain ip guestnet_nat prerouting { policy drop; }'",
    "nft rename chain ip guestnet_nat arrived theirs",
    "nft flush set ip guestnet_nat near",
    "nft 'add element ip guestnet_nat near { 100.0.0.0 }'",
    "nft 'delete element ip guestnet_nat near { 192.0.0.0 }'",
    "nft 'delete element ip guestnet_nat near { 192.0.0.0 }; add element ip guestnet_nat near { 192.0.0.0 comment \"x\" }'",
    "nft 'add set ip guestnet_nat theirs { type ipv4_addr; }'",
    "nft 'add map ip guestnet_nat theirs { type ipv4_addr : verdict; }'",
    "nft add counter ip guestnet_nat theirs",
    "nft add quota ip guestnet_nat theirs 1 mbytes",
    "nft 'add limit ip guestnet_nat theirs rate 1/second'",
    "nft 'add flowtable ip guestnet_nat theirs { hook ingress priority 0; devices = { uplink }; }'",
    "nft 'add ct timeout ip guestnet_nat theirs { protocol tcp; policy = { established : 100 }; }'",
    "nft 'add ct helper ip guestnet_nat theirs { type \"ftp\" protocol tcp; }'",
    "nft 'add synproxy ip guestnet_nat theirs { mss 1460 wscale 7 }'",
    "nft 'add secmark ip guestnet_nat theirs { \"system_u:object_r:ssh_server_packet_t:s0\" }'",
    "nft 'add chain ip guestnet_nat theirs { comment \"x\"; }'",
];
