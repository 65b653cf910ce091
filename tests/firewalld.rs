//! Beside the real firewalld: what it drops is said, what the doctor says against it helps, and neither disturbs the other.

mod support;

use std::net::{IpAddr, SocketAddr};

use guestnet::doctor::{Finding, examine};
use guestnet::{Host, HostSpec};
use guestnet_lab::{
    Capability, Daemon, Echo, Firewalld, Guest, Mac, Netns, Pings, dhcp, dnsmasq, echo, lab_test, need,
    need_program, ping, wait_until,
};
use serde_json::json;
use support::{guest, guest_in_host, host, sh, spec, with_uplink};

const SERVER: &str = "192.0.2.10";
const SERVER6: &str = "2001:db8:ffff::10";

/// A server outside, which knows the way to guests.
fn server() -> Netns {
    let outside = with_uplink();
    sh(&format!(
        "ip -6 route add default via 2001:db8:1::fe
        ip -n outside address add 198.51.100.1/30 dev isp
        ip -n outside address add 2001:db8:1::fe/64 dev isp nodad
        ip -n outside address add {SERVER}/32 dev lo
        ip -n outside address add {SERVER6}/128 dev lo
        ip -n outside route add 203.0.113.0/24 via 198.51.100.2
        ip -n outside route add 2001:db8:1::/56 via 2001:db8:1::fffe"
    ));
    outside
}

/// What the doctor says of the rules of others.
fn of_others(spec: &HostSpec) -> Vec<Finding> {
    let all = examine(None, Some(spec)).unwrap().findings;
    all.into_iter().filter(|finding| finding.id.starts_with("foreign")).collect()
}

/// Does what the findings say, in a shell that has firewalld's command.
fn follow(firewalld: &Firewalld, findings: &[Finding]) {
    for finding in findings.iter().filter(|finding| finding.id == "foreign-drop") {
        let commands = finding.remedy.split('`').nth(1).unwrap_or_else(|| panic!("{finding}"));
        firewalld.sh(commands).unwrap_or_else(|e| panic!("{finding}: {e:#}"));
    }
}

/// A guest of the spec that runs and has its addresses.
struct Running {
    guest: Guest,
    _dnsmasq: Daemon,
}

impl Running {
    fn start(host: &Host, netns: &Netns, name: &str, n: u8) -> Self {
        let conf = host.directory().join(name).join("dnsmasq.conf");
        let dnsmasq = dnsmasq(netns, &conf).unwrap();
        let mac = Mac([2, 0, 0x5e, 0, 0x53, n]);
        let guest = Guest::plug(&format!("vm-{name}"), netns, &format!("tap{name}"), Some(mac)).unwrap();
        Self { guest, _dnsmasq: dnsmasq }
    }

    fn get_addresses(&self, n: u8) -> IpAddr {
        let lease = dhcp(self.at(), "eth0").unwrap();
        assert_eq!(lease.address.to_string(), format!("192.168.0.{n}"));
        let start = format!("2001:db8:1:{n:x}:");
        let mut found = None;
        wait_until("an address by router advertisement", std::time::Duration::from_secs(20), || {
            let shown = self.at().ip("-6 -brief address show dev eth0 scope global -tentative").unwrap();
            let word = shown.split_whitespace().find(|word| word.starts_with(&start));
            found = word.and_then(|word| word.split('/').next()?.parse().ok());
            found.is_some()
        })
        .unwrap();
        found.unwrap()
    }

    fn at(&self) -> &Netns {
        self.guest.netns()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn needs() {
    need(Capability::Tap);
    need(Capability::Conntrack);
    need_program("dnsmasq");
    need_program("udhcpc");
}

fn connects(from: &Netns, at: &Netns, listen: IpAddr, to: &str, port: u16) -> bool {
    let _echo = Echo::start(at, SocketAddr::new(listen, port)).unwrap();
    echo::tcp(from, None, SocketAddr::new(ip(to), port), 1_000).is_ok()
}

lab_test! {
    fn what_it_drops_is_said_and_the_remedies_help() {
        needs();
        let outside = server();
        let firewalld = Firewalld::start().unwrap_or_else(|e| panic!("{e:#}"));
        let spec = spec(&json!({"version": 1, "uplink": "uplink", "guests": [guest("own", 1), guest_in_host("in", 2)]}));
        let said = of_others(&spec);
        assert!(said.iter().all(|finding| finding.id == "foreign-drop"), "{said:#?}");
        for what in ["connections from guest own over IPv4", "connections from guest in over IPv4", "DHCP requests of guest in"] {
            assert!(said.iter().any(|finding| finding.what.contains(what)), "{what}: {said:#?}");
        }
        let mut host = host();
        host.apply(&spec).unwrap();
        let here = Netns::here().unwrap();
        let own = Running::start(&host, &Netns::open("own").unwrap(), "own", 1);
        let inside = Running::start(&host, &here, "in", 2);
        // Served in its own namespace, where firewalld has no rules.
        let own6 = own.get_addresses(1);
        ping(own.at(), None, ip(SERVER)).unwrap_err();
        ping(own.at(), None, ip(SERVER6)).unwrap_err();
        ping(&outside, None, own6).unwrap_err();

        follow(&firewalld, &said);
        assert_eq!(of_others(&spec), []);
        let in6 = inside.get_addresses(2);
        for (guest, public, public6) in [(&own, "203.0.113.1", own6), (&inside, "203.0.113.2", in6)] {
            for server in [SERVER, SERVER6].map(ip) {
                ping(guest.at(), None, server).unwrap_or_else(|e| panic!("{e:#}"));
            }
            for address in [ip(public), public6] {
                ping(&outside, None, address).unwrap_or_else(|e| panic!("{e:#}"));
            }
        }
        // What is proxied for guests.
        ping(&outside, None, ip("2001:db8:1::1")).unwrap();

        // It makes its rules anew, with a policy that drops meanwhile.
        let mut pings = Pings::start(own.at(), ip(SERVER)).unwrap();
        firewalld.sh("firewall-cmd --reload; firewall-cmd --complete-reload").unwrap();
        pings.lost().unwrap();
        let left = host.verify(&spec).unwrap();
        assert!(left.is_empty(), "{left}");
        assert_eq!(host.apply(&spec).unwrap().changes, 0);
        assert_eq!(pings.lost().unwrap(), 0);
        ping(&outside, None, ip("203.0.113.2")).unwrap();

        let theirs = || sh("nft -s list table inet firewalld");
        let before = theirs();
        host.remove_all().unwrap();
        assert_eq!(theirs(), before);
    }
    fn guests_of_a_trusted_zone_are_filtered_by_the_firewall_of_the_spec() {
        needs();
        let outside = server();
        let firewalld = Firewalld::start().unwrap_or_else(|e| panic!("{e:#}"));
        let mut inside = guest_in_host("in", 2);
        inside["access"] = json!({"ingress": [{"protocol": "tcp", "ports": ["80"]}], "egress": [{"protocol": "tcp", "ports": ["80"]}]});
        let spec = spec(&json!({"version": 1, "uplink": "uplink", "firewall": {}, "guests": [inside]}));
        follow(&firewalld, &of_others(&spec));
        assert_eq!(of_others(&spec), []);
        let mut host = host();
        host.apply(&spec).unwrap();
        let inside = Running::start(&host, &Netns::here().unwrap(), "in", 2);
        inside.get_addresses(2);
        let private = ip("192.168.0.2");
        for (port, passes) in [(80, true), (81, false)] {
            assert_eq!(connects(&outside, inside.at(), private, "203.0.113.2", port), passes, "to the guest's port {port}");
            assert_eq!(connects(inside.at(), &outside, ip(SERVER), SERVER, port), passes, "to port {port} of a server");
        }
        firewalld.sh("firewall-cmd --reload").unwrap();
        assert!(connects(&outside, inside.at(), private, "203.0.113.2", 80));
        assert!(!connects(&outside, inside.at(), private, "203.0.113.2", 81));
        assert!(host.verify(&spec).unwrap().is_empty());
    }
}
