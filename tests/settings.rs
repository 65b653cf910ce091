//! Sysctls are what their files say, however they were read, and are put back.

mod support;

use std::fs;

use guestnet::{Host, HostSpec};
use guestnet_lab::lab_test;
use serde_json::json;
use support::{apply, dump, host, objects_in_host, same, sh};

/// All that a link's message tells, and some that it does not.
const IPV4: [&str; 18] = [
    "forwarding",
    "proxy_arp",
    "accept_redirects",
    "secure_redirects",
    "send_redirects",
    "shared_media",
    "rp_filter",
    "accept_source_route",
    "log_martians",
    "arp_filter",
    "arp_announce",
    "arp_ignore",
    "arp_accept",
    "arp_notify",
    "accept_local",
    "proxy_arp_pvlan",
    "route_localnet",
    "src_valid_mark",
];
const IPV6: [&str; 12] = [
    "forwarding",
    "hop_limit",
    "accept_ra",
    "accept_redirects",
    "autoconf",
    "dad_transmits",
    "proxy_ndp",
    "accept_source_route",
    "disable_ipv6",
    "accept_dad",
    "keep_addr_on_down",
    "use_tempaddr",
];

/// Some that all links have, and those to come.
const OF_ALL: [&str; 7] = [
    "ipv4/conf/WHOSE/forwarding",
    "ipv4/conf/WHOSE/rp_filter",
    "ipv4/conf/WHOSE/proxy_arp",
    "ipv4/conf/WHOSE/ignore_routes_with_linkdown",
    "ipv6/conf/WHOSE/forwarding",
    "ipv6/conf/WHOSE/proxy_ndp",
    "ipv6/conf/WHOSE/ignore_routes_with_linkdown",
];

fn wanted(key: &str, value: &str) -> HostSpec {
    objects_in_host(&json!({"sysctls": [{"key": format!("net/{key}"), "value": value}]}))
}

lab_test! {
    fn what_messages_tell_is_what_files_say() {
        sh("ip link add one type veth peer name two");
        let mut host = host();
        let of_one = [("ipv4", &IPV4[..]), ("ipv6", &IPV6)]
            .into_iter()
            .flat_map(|(family, names)| names.iter().map(move |name| format!("{family}/conf/one/{name}")));
        let of_all = OF_ALL.iter().flat_map(|key| ["all", "default"].map(|whose| key.replace("WHOSE", whose)));
        for key in of_one.chain(of_all).chain(["ipv4/ip_forward".to_owned()]) {
            let path = format!("/proc/sys/net/{key}");
            let before = fs::read_to_string(&path).unwrap().trim().to_owned();
            let other = if before == "1" { "0" } else { "1" };
            let [same, different] = [&before, other].map(|value| wanted(&key, value));
            // One file has another value than before, and no other file has: so it is this one that is looked at.
            let write = |value: &str| {
                fs::write(&path, value).unwrap();
                if key.ends_with("all/forwarding") || key.ends_with("ip_forward") {
                    sh("sysctl -qw net.ipv4.conf.default.forwarding=0 net.ipv6.conf.default.forwarding=0");
                }
            };
            for whole in [true, false] {
                let mut plan = |spec| if whole { host.plan(spec) } else { host.plan_add(spec) }.unwrap();
                assert!(plan(&same).is_empty() && !plan(&different).is_empty(), "{path}");
                write(other);
                assert!(!plan(&same).is_empty() && plan(&different).is_empty(), "{path}");
                // What was read of the same spec just now is not taken for what is there.
                write(&before);
                assert!(!plan(&different).is_empty(), "{path}");
            }
            host.apply(&different).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap().trim(), other, "{path}");
            host.remove_all().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap().trim(), before, "{path}");
        }
        assert_eq!(sh("find /run/guestnet -name '*sysctl*'"), "");
    }

    fn links_that_forwarded_when_the_host_did_not_do_so_again() {
        // The last has a name that ends as that of all does.
        sh("ip link add one type veth peer name two; ip link add xall type veth peer name other");
        let files = ["ipv4/conf/one", "ipv6/conf/one", "ipv4/conf/xall", "ipv4/conf/default", "ipv4/conf/two"];
        let now = || sh(&files.map(|file| format!("cat /proc/sys/net/{file}/forwarding;")).concat());
        sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv4.conf.one.forwarding=1 \
            net.ipv6.conf.one.forwarding=1 net.ipv4.conf.xall.forwarding=1 net.ipv4.conf.default.forwarding=1");
        let before = now();
        let router = json!([{"key": "net/ipv4/ip_forward", "value": "1"}, {"key": "net/ipv6/conf/all/forwarding", "value": "1"}]);
        let router = objects_in_host(&json!({"sysctls": router}));
        let mut host = host();
        // Once all links are known, and once only those that are asked for.
        for whole in [true, false] {
            if whole { host.apply(&router) } else { host.add(&router) }.unwrap();
            assert_eq!(now(), "1\n".repeat(files.len()));
            host.remove_all().unwrap();
            assert_eq!(now(), before, "all read: {whole}");
        }
    }

    fn sysctls_are_put_back() {
        let before = dump();
        let mut host = host();
        let all = json!({
            "links": [{"name": "v0", "kind": {"veth": {"peer": "v1"}}}],
            "sysctls": [
                {"key": "net.ipv4.ip_forward", "value": "1"},
                {"key": "net.ipv6.conf.all.forwarding", "value": "1"},
                {"key": "net.ipv6.conf.default.accept_ra", "value": "0"},
                {"key": "net/ipv4/conf/v0/proxy_arp", "value": "1"},
                {"key": "net/ipv6/conf/v1/disable_ipv6", "value": "1"},
                {"key": "net.ipv4.ip_local_port_range", "value": "20000\t30000"},
            ],
        });
        apply(&mut host, &objects_in_host(&all));
        assert_eq!(sh("cat /proc/sys/net/ipv4/ip_local_port_range"), "20000\t30000\n");
        let mut fewer = all;
        fewer["sysctls"].as_array_mut().unwrap().truncate(1);
        apply(&mut host, &objects_in_host(&fewer));
        assert_eq!(sh("cat /proc/sys/net/ipv6/conf/v1/disable_ipv6"), "0\n");
        host.remove_all().unwrap();
        same(&before, &dump());
    }

    fn what_a_link_was_before_is_known_of_many_links() {
        let links: Vec<String> = (0..300).map(|n| format!("v{n}")).collect();
        let sysctl = |link: &String| json!({"key": format!("net/ipv4/conf/{link}/proxy_arp"), "value": "1"});
        let pairs: Vec<_> = links.iter().map(|l| json!({"name": l, "kind": {"veth": {"peer": format!("p{l}")}}})).collect();
        let objects = |settings: &[String]| {
            objects_in_host(&json!({"links": pairs, "sysctls": settings.iter().map(sysctl).collect::<Vec<_>>()}))
        };
        let mut host = host();
        host.apply(&objects(&links)).unwrap();
        // Another host's process knows as much, and a part of them can go.
        let mut other = support::host();
        assert!(other.verify(&objects(&links)).unwrap().is_empty());
        other.apply(&objects(&links[150..])).unwrap();
        assert_eq!(sh("cat /proc/sys/net/ipv4/conf/v149/proxy_arp /proc/sys/net/ipv4/conf/v150/proxy_arp"), "0\n1\n");
        assert!(host.verify(&objects(&links[150..])).unwrap().is_empty());
        host.apply(&objects(&[])).unwrap();
        assert_eq!(sh("cat /proc/sys/net/ipv4/conf/v*/proxy_arp | sort -u; find /run/guestnet -name '*sysctl*'"), "0\n");
        host.remove_all().unwrap();
    }
}

lab_test! {
    /// What a host has read of its ledger does not outlast its call: another may have written it since.
    fn what_another_put_back_is_noted_again() {
        sh("ip link add one type veth peer name two");
        let shared = wanted("ipv4/conf/one/route_localnet", "1");
        let now = || sh("cat /proc/sys/net/ipv4/conf/one/route_localnet");
        let mut host = host();
        for add in [Host::apply, Host::add] {
            for _ in 0..2 {
                add(&mut host, &shared).unwrap();
                assert_eq!(now(), "1\n");
                support::host().remove_all().unwrap();
                assert_eq!(now(), "0\n");
            }
        }
    }
}

lab_test! {
    /// A link that takes the name of another has sysctls of its own, and what they were before are its own values.
    fn what_a_link_was_before_is_not_what_one_had_that_is_gone() {
        let delay = || sh("cat /proc/sys/net/ipv4/neigh/one/proxy_delay");
        let sysctl = json!([{"key": "net/ipv4/neigh/one/proxy_delay", "value": "8"}]);
        let of = |kind: serde_json::Value, sysctls: &serde_json::Value| {
            let link = json!({"name": "one", "kind": kind});
            objects_in_host(&json!({"links": [link], "sysctls": sysctls}))
        };
        let (pair, tap) = (json!({"veth": {"peer": "two"}}), json!({"tap": {}}));
        let mut host = host();
        host.apply(&of(pair, &sysctl)).unwrap();
        host.apply(&of(tap.clone(), &sysctl)).unwrap();
        assert_eq!(delay(), "8\n");
        host.apply(&of(tap, &json!([]))).unwrap();
        assert_eq!(delay(), sh("cat /proc/sys/net/ipv4/neigh/lo/proxy_delay"));
    }

    /// The file that was read is no longer that of the name, when somebody else makes the link anew meanwhile.
    fn a_link_that_is_made_anew_meanwhile_gets_the_value() {
        sh("ip link add one type veth peer name two");
        let mut host = host();
        let mut again = true;
        host.watch(move |act| {
            if matches!(act.deed, guestnet::core::Deed::SetSysctl(..)) && std::mem::take(&mut again) {
                sh("ip link del one; ip link add one type veth peer name two");
            }
        });
        host.apply(&wanted("ipv4/neigh/one/proxy_delay", "8")).unwrap();
        assert_eq!(sh("cat /proc/sys/net/ipv4/neigh/one/proxy_delay"), "8\n");
    }

    /// A file that was read to be written next is not kept longer than the host is locked, whatever became of it.
    fn no_file_of_a_sysctl_stays_open() {
        let open = || {
            let files = fs::read_dir("/proc/thread-self/fd").unwrap().flatten();
            files.filter_map(|file| fs::read_link(file.path()).ok()).filter(|to| to.starts_with("/proc/sys")).count()
        };
        let mut host = host();
        for (value, taken) in [("1", true), ("1", true), ("never", false), ("0", true)] {
            assert_eq!(host.apply(&wanted("ipv4/ip_forward", value)).is_ok(), taken, "{value}");
            assert_eq!(open(), 0, "{value}");
            host.plan(&wanted("ipv4/ip_forward", value)).unwrap();
            assert_eq!(open(), 0, "{value}");
        }
    }
}

lab_test! {
    /// The kernel sets the sysctl of all links with that of the host: one that was as wanted, and so was not set, is not then.
    fn what_was_as_wanted_and_was_overrun_is_set_again() {
        sh("sysctl -qw net.ipv4.ip_forward=0; ip link add one type veth peer name two");
        let sysctls = json!([
            {"key": "net/ipv4/ip_forward", "value": "1"}, {"key": "net/ipv4/conf/one/forwarding", "value": "0"},
        ]);
        apply(&mut host(), &objects_in_host(&json!({"sysctls": sysctls})));
        let forwards = |link| fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{link}/forwarding")).unwrap();
        assert_eq!([forwards("one"), forwards("two")], ["0\n", "1\n"]);
    }
}
