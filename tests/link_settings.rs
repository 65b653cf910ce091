//! What a link of ours needs is part of it: whatever the host gives to new links, guests have a network, and what somebody
//! changes of it is seen and mended.

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use guestnet::HostSpec;
use guestnet_lab::craft::{arp::Arp, ethernet};
use guestnet_lab::{Capability, Frame, Guest, Mac, Netns, Tap, frame, lab_test, need, ping, wait_until};
use serde_json::{Value, json};
use support::{
    apply, dump, guest, guest_in_host, host, objects_in_host, same, sh, spec, spec_of, with_uplink,
};

const GUEST: Mac = Mac([0x02, 0, 0x5e, 0, 0x53, 7]);

/// The world behind the uplink, which knows the way to the guest.
fn world() -> Netns {
    let outside = with_uplink();
    sh("ip -n outside address add 198.51.100.1/30 dev isp
        ip -n outside -6 address add 2001:db8:1::1/64 dev isp nodad
        ip -n outside route add 203.0.113.0/24 via 198.51.100.2
        ip -n outside route add 192.168.0.0/24 via 198.51.100.2
        ip -n outside -6 route add 2001:db8:1:7::/64 via 2001:db8:1::fffe");
    outside
}

/// The guest `vm` in both placements: what it is, and the namespace of its tap.
fn placements() -> [(Value, &'static str); 2] {
    [(guest("vm", 7), "vm"), (guest_in_host("vm", 7), "")]
}

/// The guest as a port of a bridge of guestnet's.
fn bridged() -> HostSpec {
    spec(&json!({
        "version": 1, "uplink": "uplink",
        "bridges": [{ "name": "br0", "addresses": ["192.168.0.254/24", "2001:db8:1:7::fe/64"] }],
        "guests": [{ "name": "vm", "placement": "host", "interfaces": [{
            "name": "tapvm", "bridge": "br0", "mac": GUEST.to_string(), "private_ipv4": "192.168.0.7",
            "public_ipv6": "2001:db8:1:7::7/128",
        }]}],
    }))
}

fn netns(name: &str) -> Netns {
    if name.is_empty() { Netns::here() } else { Netns::open(name) }.unwrap()
}

/// A machine behind `tapvm`, with the addresses of the spec and its router by both families.
fn plug(place: &str) -> Guest {
    plug_behind(place, "tapvm")
}

/// The same where the router is another link, that of a bridge.
fn plug_behind(place: &str, router: &str) -> Guest {
    let netns = netns(place);
    let vm = Guest::plug("machine", &netns, "tapvm", Some(GUEST)).unwrap();
    // The kernel makes it when it has seen that the link is up.
    let mut own = String::new();
    wait_until(&format!("a link-local address of {router}"), Duration::from_secs(8), || {
        own = netns.ip(&format!("-6 -brief address show dev {router} scope link")).unwrap();
        own.contains("fe80")
    })
    .unwrap();
    let router = own.split_whitespace().find(|word| word.starts_with("fe80")).unwrap();
    let router = router.split('/').next().unwrap();
    for line in [
        "address add 192.168.0.7/24 dev eth0",
        "route add default via 192.168.0.254",
        "-6 address add 2001:db8:1:7::7/64 dev eth0 nodad",
        &format!("-6 route add default via {router} dev eth0"),
    ] {
        vm.netns().ip(line).unwrap();
    }
    vm
}

fn reaches_the_world(vm: &Guest, when: &str) {
    for to in ["198.51.100.1", "2001:db8:1::1"] {
        let to: IpAddr = to.parse().unwrap();
        wait_until(&format!("{to} answers: {when}"), Duration::from_secs(8), || {
            ping(vm.netns(), None, to).is_ok()
        })
        .unwrap();
    }
}

lab_test! {
    /// Each line is how some host is, and how it was before.
    fn guests_have_a_network_whatever_the_host_gives_to_new_links() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _outside = world();
        let hosts = [
            ("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1", "sysctl -qw net.ipv6.conf.default.addr_gen_mode=0"),
            ("sysctl -qw net.ipv6.conf.default.addr_gen_mode=3", "sysctl -qw net.ipv6.conf.default.addr_gen_mode=0"),
            (
                "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
                 sysctl -qw net.ipv4.conf.default.forwarding=0 net.ipv6.conf.default.forwarding=0",
                "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
            ),
            ("sysctl -qw net.ipv6.conf.default.disable_ipv6=1", "sysctl -qw net.ipv6.conf.default.disable_ipv6=0"),
            (
                "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.uplink.disable_ipv6=0
                 ip -6 address add 2001:db8:1::fffe/64 dev uplink nodad",
                "sysctl -qw net.ipv6.conf.all.disable_ipv6=0",
            ),
            ("sysctl -qw net.ipv6.conf.default.accept_ra=2", "sysctl -qw net.ipv6.conf.default.accept_ra=1"),
            ("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1",
             "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"),
            // The last: what was a secret once cannot be none again.
            ("sysctl -qw net.ipv6.conf.default.stable_secret=2001:db8::1", "true"),
        ];
        for (is, was) in hosts {
            sh(is);
            for (guest, place) in placements() {
                apply(&mut host(), &spec_of(&[guest]));
                reaches_the_world(&plug(place), is);
                host().remove_all().unwrap();
            }
            apply(&mut host(), &bridged());
            reaches_the_world(&plug_behind("", "br0"), is);
            host().remove_all().unwrap();
            sh(was);
        }
    }

    /// What somebody does to links of ours is seen, and mended: the machine behind them has its network again.
    fn what_is_changed_of_a_link_is_seen_and_mended() {
        need(Capability::Tap);
        let _outside = world();
        let of_both: &[&str] = &[
            "sysctl -qw net.ipv4.conf.tapvm.forwarding=0",
            "sysctl -qw net.ipv6.conf.tapvm.forwarding=0",
            "sysctl -qw net.ipv6.conf.tapvm.addr_gen_mode=1",
            "sysctl -qw net.ipv6.conf.tapvm.addr_gen_mode=3",
            "sysctl -qw net.ipv6.conf.tapvm.disable_ipv6=1",
            "sysctl -qw net.ipv6.conf.tapvm.accept_ra=2",
            "sysctl -qw net.ipv4.neigh.tapvm.proxy_delay=80",
            "sysctl -qw net.ipv4.conf.tapvm.proxy_arp=0",
            "sysctl -qw net.ipv4.conf.tapvm.rp_filter=0",
            "ip -6 address flush dev tapvm scope link",
            "ip link set tapvm arp off",
        ];
        let of_pair = |dev: &str| [
            format!("ip -6 address flush dev {dev}"),
            format!("ip link set {dev} arp off"),
            format!("sysctl -qw net.ipv4.conf.{dev}.forwarding=0"),
            format!("sysctl -qw net.ipv6.conf.{dev}.forwarding=0"),
            format!("sysctl -qw net.ipv6.conf.{dev}.addr_gen_mode=1"),
            format!("sysctl -qw net.ipv6.conf.{dev}.disable_ipv6=1"),
            // It comes up without a link-local address.
            format!("sysctl -qw net.ipv6.conf.{dev}.addr_gen_mode=1; ip link set {dev} down; ip link set {dev} up"),
        ];
        for (guest, place) in placements() {
            let wanted = spec_of(&[guest]);
            let mut stays_open = host();
            apply(&mut stays_open, &wanted);
            let vm = plug(place);
            reaches_the_world(&vm, "at first");
            let inside = |line: &str| match place {
                "" => line.to_owned(),
                name => format!("ip netns exec {name} sh -c '{line}'"),
            };
            let mut drifts: Vec<String> = of_both.iter().map(|line| inside(line)).collect();
            if !place.is_empty() {
                drifts.extend(of_pair("vethovm"));
                drifts.extend(of_pair("vethivm").map(|line| inside(&line)));
            }
            for drift in drifts {
                sh(&drift);
                for host in [&mut stays_open, &mut host()] {
                    assert!(!host.verify(&wanted).unwrap().is_empty(), "not seen: {drift}");
                    assert!(!host.plan_add(&wanted).unwrap().is_empty(), "not seen by a part: {drift}");
                }
                stays_open.apply(&wanted).unwrap();
                let left = stays_open.verify(&wanted).unwrap();
                assert!(left.is_empty(), "{drift}: {left}");
                reaches_the_world(&vm, &drift);
            }
            drop(vm);
            stays_open.remove_all().unwrap();
        }
    }

    fn many_neighbours_that_are_asked_for_at_once_are_all_answered() {
        need(Capability::Tap);
        let _outside = world();
        for (guest, place) in placements() {
            apply(&mut host(), &spec_of(&[guest]));
            let tap = Tap::open(&netns(place), "tapvm").unwrap();
            let answered = |ask: &dyn Fn()| {
                let began = Instant::now();
                ask();
                let mut answers = 0;
                while answers < 130 && began.elapsed() < Duration::from_millis(200) {
                    match tap.receive().map(Frame) {
                        Some(given) => answers += u32::from(given.ethertype() == Some(frame::ARP)),
                        None => std::thread::yield_now(),
                    }
                }
                answers
            };
            let ask = |n: u8| {
                let request = Arp::request(GUEST, Ipv4Addr::new(192, 168, 0, 7), Ipv4Addr::new(192, 168, 0, n));
                tap.send(&ethernet::frame(Mac::BROADCAST, GUEST, frame::ARP, &request.bytes())).unwrap();
            };
            // The kernel sends nothing until it has settled that the tap has a carrier.
            wait_until("the link works", Duration::from_secs(8), || answered(&|| ask(8)) > 0).unwrap();
            assert_eq!(answered(&|| (100..230).for_each(ask)), 130, "{place}");
            host().remove_all().unwrap();
        }
    }

    /// A guest that loses its public address, and a bridge that loses its own.
    fn settings_end_with_what_they_were_for() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let _world = world();
        let of_link = |place: &str, link: &str, name: &str| netns(place).sysctl(&format!("net/ipv4/conf/{link}/{name}")).unwrap();
        let with = |guest: &Value, addresses: &[&str]| spec(&json!({
            "version": 1, "uplink": "uplink", "guests": [guest],
            "bridges": [{ "name": "br0", "addresses": addresses }],
        }));
        let known = guest("vm", 7);
        let mut unknown = known.clone();
        unknown["interfaces"][0].as_object_mut().unwrap().remove("public_ipv4");
        let mut host = host();
        apply(&mut host, &with(&known, &["192.168.5.1/24"]));
        assert_eq!((of_link("vm", "tapvm", "accept_local"), of_link("", "br0", "forwarding")), ("1".into(), "1".into()));
        apply(&mut host, &with(&unknown, &[]));
        assert_eq!((of_link("vm", "tapvm", "accept_local"), of_link("", "br0", "forwarding")), ("0".into(), "0".into()));
    }

    /// A link that is the spec's own, with settings; undone they are what they were, and what is shown is short.
    fn settings_are_put_back_and_shown_in_short() {
        let before = dump();
        let mut host = host();
        let pair = |settings: Value| json!({"name": "v0", "kind": {"veth": {"peer": "v1"}}, "settings": settings});
        let one = objects_in_host(&json!({"links": [pair(json!({"ipv4": {"arp_ignore": 1}}))]}));
        apply(&mut host, &one);
        let with_one = dump();
        let shown = host.observe().unwrap();
        let shown = serde_json::to_value(&shown.host.links.get(&"v0".parse().unwrap()).unwrap().settings).unwrap();
        assert_eq!(shown, json!({"ipv4": {"arp_ignore": 1}}));

        // More settings, and a route that is refused.
        let settings = json!({
            "arp": false,
            "ipv4": {"forwarding": true, "proxy_arp": true, "rp_filter": 1, "proxy_delay": 3, "send_redirects": false},
            "ipv6": {"addr_gen_mode": "none", "accept_ra": 2, "accept_dad": 2},
        });
        let mut more = json!({"links": [pair(settings)]});
        let good = objects_in_host(&more);
        more["routes"] = json!([{"to": "198.51.101.0/24", "via": "192.0.2.99", "dev": "lo"}]);
        assert!(host.apply(&objects_in_host(&more)).is_err());
        same(&with_one, &dump());
        apply(&mut host, &good);
        let said = sh("ip -d link show v0; cat /proc/sys/net/ipv4/neigh/v0/proxy_delay");
        assert!(said.contains("NOARP") && said.contains("addrgenmode none") && said.ends_with("\n3\n"), "{said}");
        let again = HostSpec { objects: host.observe().unwrap(), ..HostSpec::new() };
        assert!(host.plan(&again).unwrap().is_empty());
        // None of it is in a ledger.
        assert_eq!(sh("find /run/guestnet -name '*sysctl*'"), "");
        host.remove_all().unwrap();
        same(&before, &dump());
    }
}

#[test]
fn what_no_link_can_have_is_named() {
    let link = json!({"name": "v0", "mtu": 1000, "kind": {"veth": {"peer": "v1"}}, "settings": {
        "ipv4": {"rp_filter": 3, "arp_ignore": 9}, "ipv6": {"accept_ra": 3, "accept_dad": 7}}});
    let spec = json!({"version": 1, "objects": {"host": {"links": [link]}}});
    let Err(guestnet::core::Error::Spec(problems)) = HostSpec::from_json(&spec.to_string()) else {
        panic!("it was taken")
    };
    let mut places: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    places.sort_unstable();
    let settings = "objects.host.links[0].settings";
    let wanted = ["ipv4.arp_ignore", "ipv4.rp_filter", "ipv6", "ipv6.accept_dad", "ipv6.accept_ra"];
    assert_eq!(places, wanted.map(|field| format!("{settings}.{field}")));
}
