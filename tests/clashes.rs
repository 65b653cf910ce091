//! What the kernel would refuse later, or two would have to share, is said before anything is touched: where, and in what
//! words.

mod support;

use serde_json::{Value, json};
use support::mistakes::{good, problems, put};

/// What is said of `spec`: `path: words`, sorted.
fn said(spec: &Value) -> Vec<String> {
    let mut said: Vec<String> = problems(&spec.to_string()).iter().map(ToString::to_string).collect();
    said.sort();
    said
}

/// One mistake each in the good spec: where, what, and all that is said.
fn is_said(table: &[(&str, Value, &[&str])]) {
    let mut wrong = Vec::new();
    for (place, value, wanted) in table {
        let mut spec = good();
        put(&mut spec, place, value.clone());
        let said = said(&spec);
        if said != *wanted {
            wrong.push(format!("{place} = {value}:\n    wanted {wanted:?}\n    said   {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Guests in the host's namespace, each with one interface that has `interface` besides its name.
fn on_host(interfaces: &[Value]) -> Value {
    let guests: Vec<Value> = interfaces
        .iter()
        .enumerate()
        .map(|(n, interface)| {
            let mut interface = interface.clone();
            interface["name"] = format!("tap{n}").into();
            json!({"name": format!("g{n}"), "placement": "host", "interfaces": [interface]})
        })
        .collect();
    json!({"version": 1, "guests": guests})
}

#[test]
fn addresses_that_a_subnet_keeps_for_itself() {
    is_said(&[
        (
            "guests[1].interfaces[0].private_ipv4",
            json!("192.168.0.0"),
            &["guests[1].interfaces[0].private_ipv4: 192.168.0.0 is the network address of 192.168.0.254/24"],
        ),
        (
            "guests[1].interfaces[0].private_ipv4",
            json!("192.168.0.255"),
            &[
                "guests[1].interfaces[0].private_ipv4: 192.168.0.255 is the broadcast address of 192.168.0.254/24",
            ],
        ),
        (
            "guests[1].interfaces[0].gateway_ipv4",
            json!("192.168.0.255/24"),
            &[
                "guests[1].interfaces[0].gateway_ipv4: 192.168.0.255 is the broadcast address of 192.168.0.0/24",
            ],
        ),
        // RFC 3021: both addresses of a /31 are for hosts.
        ("guests[1].interfaces[0].gateway_ipv4", json!("192.168.0.3/31"), &[]),
    ]);
    let bridges = json!([{"name": "br0", "addresses": ["192.168.5.0/24"]}, {"name": "br1", "addresses": ["192.168.6.1/24"]}]);
    let mut spec = on_host(&[json!({"bridge": "br1", "private_ipv4": "192.168.6.255"})]);
    spec["bridges"] = bridges;
    assert_eq!(
        said(&spec),
        [
            "bridges[0].addresses[0]: 192.168.5.0 is the network address of 192.168.5.0/24",
            "guests[0].interfaces[0].private_ipv4: 192.168.6.255 is the broadcast address of 192.168.6.1/24",
        ]
    );
}

#[test]
fn addresses_that_no_host_has() {
    is_said(&[
        (
            "guests[1].endpoint",
            json!("fe80::1"),
            &["guests[1].endpoint: fe80::1 is not the address of a host: it is a link-local address"],
        ),
        (
            "guests[1].endpoint",
            json!("::ffff:192.0.2.1"),
            &[
                "guests[1].endpoint: ::ffff:192.0.2.1 is not the address of a host: it is an IPv4 address in IPv6 form",
            ],
        ),
        (
            "guests[1].proxied[0]",
            json!("::1"),
            &[
                "guests[1].proxied[0]: ::1 is not the address of a guest that others could ask for: it is a loopback address",
            ],
        ),
        (
            "guests[1].interfaces[0].public_ipv6",
            json!("::ffff:0:0/96"),
            &[
                "guests[1].interfaces[0].public_ipv6: ::ffff:0.0.0.0/96 is not a prefix that a guest could have: it has IPv4 addresses in IPv6 form",
            ],
        ),
        (
            "guests[1].interfaces[0].public_ipv6",
            json!("::/64"),
            &[
                "guests[1].interfaces[0].public_ipv6: ::/64 is not a prefix that a guest could have: it has the unspecified and the loopback address",
            ],
        ),
        (
            "guests[1].interfaces[0].public_ipv4",
            json!("0.0.0.1"),
            &[
                "guests[1].interfaces[0].public_ipv4: 0.0.0.1 is not the address of a host: it is of \"this\" network (RFC 1122)",
            ],
        ),
        (
            "guests[0].tunnels[1].remote",
            json!("fe80::2"),
            &["guests[0].tunnels[1].remote: fe80::2 is an address of one link only"],
        ),
        (
            "guests[0].tunnels[1].remote",
            json!("::ffff:192.0.2.1"),
            &["guests[0].tunnels[1].remote: ::ffff:192.0.2.1 is an IPv4 address in IPv6 form"],
        ),
        (
            "objects.host.addresses[0].address",
            json!("::1/128"),
            &["objects.host.addresses[0].address: ::1 cannot be the address of z0: it is the loopback's"],
        ),
        (
            "objects.host.routes[1].via",
            json!("224.0.0.1"),
            &["objects.host.routes[1].via: 224.0.0.1 is not the address of a gateway"],
        ),
        // Those of documents (RFC 3849, RFC 5737) are as good as any.
        ("guests[1].interfaces[0].public_ipv4", json!("198.51.100.7"), &[]),
    ]);
}

#[test]
fn routers_that_are_link_local() {
    is_said(&[
        ("guests[1].interfaces[0].gateway_ipv6", json!("fe80::1"), &[]),
        (
            "guests[1].interfaces[0].gateway_ipv6",
            json!("2001:db8:1:2::1"),
            &[
                "guests[1].interfaces[0].gateway_ipv6: 2001:db8:1:2::1 is not a link-local address of a router, as fe80::1 (fe80::/64)",
            ],
        ),
        (
            "guests[1].interfaces[0].gateway_ipv6",
            json!("fe80:0:0:1::1"),
            &[
                "guests[1].interfaces[0].gateway_ipv6: fe80:0:0:1::1 is not a link-local address of a router, as fe80::1 (fe80::/64)",
            ],
        ),
    ]);
    let spec = on_host(&[json!({"private_ipv4": "10.0.0.1", "gateway_ipv6": "fe80::1"})]);
    let words = "there is no prefix that it is the router of: public_ipv6 and private_ipv6 are missing";
    assert_eq!(said(&spec), [format!("guests[0].interfaces[0].gateway_ipv6: {words}")]);
}

#[test]
fn prefixes_within_those_of_others() {
    is_said(&[
        (
            "guests[2].interfaces[0].public_ipv6",
            json!("2001:db8:1:2:8000::/65"),
            &[
                "guests[2].interfaces[0].public_ipv6: 2001:db8:1:2:8000::/65 is inside 2001:db8:1:2::/64, which is that of guests[1].interfaces[0].public_ipv6",
            ],
        ),
        // The wider one may be said later.
        (
            "guests[2].interfaces[0].routed_ipv6",
            json!(["2001:db8:1:2::/63"]),
            &[
                "guests[1].interfaces[0].public_ipv6: 2001:db8:1:2::/64 is inside 2001:db8:1:2::/63, which is that of guests[2].interfaces[0].routed_ipv6[0]",
            ],
        ),
        (
            "guests[1].endpoint",
            json!("2001:db8:1:3::7"),
            &[
                "guests[1].endpoint: 2001:db8:1:3::7/128 is inside 2001:db8:1:3::/64, which is that of guests[2].interfaces[0].public_ipv6",
            ],
        ),
        (
            "guests[2].interfaces[0].public_ipv6",
            json!("2001:db8:1::2/128"),
            &["guests[2].interfaces[0].public_ipv6: 2001:db8:1::2/128 is that of guests[1].endpoint too"],
        ),
        // Within one's own.
        ("guests[1].endpoint", json!("2001:db8:1:2::7"), &[]),
        ("guests[1].interfaces[0].routed_ipv6", json!(["2001:db8:1:2:8000::/65"]), &[]),
        // What is private to a namespace is not seen in another.
        ("guests[1].interfaces[0].private_ipv6", json!("fd00:0:0:3:8000::/65"), &[]),
        ("guests[2].interfaces[0].private_ipv6", json!("fd00:0:0:2:8000::/65"), &[]),
    ]);
    let mut spec = on_host(&[
        json!({"bridge": "br0", "public_ipv6": "2001:db8:5::7/128"}),
        json!({"public_ipv6": "2001:db8:5::8/128"}),
        json!({"public_ipv6": "2001:db8:4::/47"}),
    ]);
    spec["bridges"] = json!([{"name": "br0", "addresses": ["2001:db8:5::1/64", "10.0.0.1/8"]}, {"name": "br1", "addresses": ["10.1.0.1/16"]}]);
    let inside = |path: &str, net: &str, outer: &str, of: &str| {
        format!("{path}: {net} is inside {outer}, which is that of {of}")
    };
    let (wide, of_wide) = ("2001:db8:4::/47", "guests[2].interfaces[0].public_ipv6");
    assert_eq!(
        said(&spec),
        [
            inside("bridges[0].addresses[0]", "2001:db8:5::/64", wide, of_wide),
            inside("bridges[1].addresses[0]", "10.1.0.0/16", "10.0.0.0/8", "bridges[0].addresses[1]"),
            inside("guests[0].interfaces[0].public_ipv6", "2001:db8:5::7/128", wide, of_wide),
            inside(
                "guests[1].interfaces[0].public_ipv6",
                "2001:db8:5::8/128",
                "2001:db8:5::/64",
                "bridges[0].addresses[0]"
            ),
        ]
    );
}

#[test]
fn a_mac_address_is_one_stations_on_a_bridge() {
    let mac = "02:00:5e:00:53:01";
    let mut spec = on_host(&[
        json!({"bridge": "br0", "mac": mac}),
        json!({"bridge": "br0", "mac": mac}),
        json!({"bridge": "br1", "mac": mac}),
        json!({"mac": mac}),
    ]);
    spec["bridges"] = json!([{"name": "br0"}, {"name": "br1", "mac": mac}]);
    assert_eq!(
        said(&spec),
        [
            "guests[1].interfaces[0].mac: the MAC address 02:00:5e:00:53:01 in br0 is taken by guests[0].interfaces[0].mac",
            "guests[2].interfaces[0].mac: the MAC address 02:00:5e:00:53:01 in br1 is taken by bridges[1].mac",
        ]
    );
    is_said(&[(
        "guests[1].transit",
        json!({"host_mac": mac, "guest_mac": mac}),
        &["guests[1].transit.guest_mac: 02:00:5e:00:53:01 is that of the other end, host_mac"],
    )]);
}

#[test]
fn an_address_is_not_private_here_and_public_there() {
    let spec = on_host(&[
        json!({"private_ipv4": "10.0.0.1"}),
        json!({"private_ipv4": "10.0.0.2", "public_ipv4": "10.0.0.1"}),
        json!({"private_ipv4": "203.0.113.9"}),
    ]);
    let mut spec = spec;
    spec["guests"].as_array_mut().unwrap().extend([
        json!({"name": "own", "interfaces": [
            {"name": "tap9", "private_ipv4": "10.0.0.3", "public_ipv4": "203.0.113.9"},
        ]}),
        // Private addresses of namespaces are nobody else's concern, and one's own are none.
        json!({"name": "other", "interfaces": [
            {"name": "tap10", "private_ipv4": "203.0.113.9", "public_ipv4": "203.0.113.10"},
            {"name": "tap11", "private_ipv4": "10.0.0.3"},
        ]}),
    ]);
    assert_eq!(
        said(&spec),
        [
            "guests[0].interfaces[0].private_ipv4: 10.0.0.1 is the public address of guests[1].interfaces[0].public_ipv4",
            "guests[2].interfaces[0].private_ipv4: 203.0.113.9 is the public address of guests[3].interfaces[0].public_ipv4",
            "guests[4].interfaces[0].private_ipv4: 203.0.113.9 is the public address of guests[3].interfaces[0].public_ipv4",
        ]
    );
    is_said(&[(
        "guests[1].transit",
        json!({"guest_ipv4": "192.168.0.2"}),
        &["guests[1].transit.guest_ipv4: 192.168.0.2 is the private address of the guest"],
    )]);
}

#[test]
fn an_address_of_the_host_is_no_guests() {
    let mut spec = on_host(&[
        json!({"private_ipv4": "192.168.0.1", "gateway_ipv4": "192.168.0.254/24"}),
        // Translated, and so are packets for the host's router.
        json!({"private_ipv4": "192.168.0.2", "gateway_ipv4": "192.168.0.254/24", "public_ipv4": "192.168.0.254"}),
        json!({"private_ipv4": "192.168.5.2", "public_ipv4": "192.168.5.1", "bridge": "br0"}),
        json!({"public_ipv6": "2001:db8:5::1/128", "bridge": "br0"}),
        json!({"public_ipv6": "2001:db8:9::/64", "routed_ipv6": ["2001:db8:f::2/128"]}),
        // Translated before the host looks what is its own.
        json!({"private_ipv4": "192.168.0.6", "public_ipv4": "203.0.113.1"}),
    ]);
    spec["bridges"] = json!([{"name": "br0", "addresses": ["192.168.5.1/24", "2001:db8:5::1/64"]}]);
    spec["objects"] = json!({"host": {"addresses": [
        {"dev": "uplink", "address": "203.0.113.1/24"}, {"dev": "uplink", "address": "2001:db8:f::2/64"},
        {"dev": "uplink", "address": "203.0.113.2/24"},
    ]}});
    spec["guests"].as_array_mut().unwrap().push(
        json!({"name": "own", "endpoint": "2001:db8:f::2", "interfaces": [
            {"name": "tap9", "private_ipv4": "10.0.0.3", "public_ipv4": "203.0.113.2"},
        ]}),
    );
    let said = said(&spec);
    let of =
        |path: &str, address: &str, own: &str| format!("{path}: {address} is the address of the host, {own}");
    for line in [
        of("guests[1].interfaces[0].public_ipv4", "192.168.0.254", "guests[0].interfaces[0].gateway_ipv4"),
        of("guests[2].interfaces[0].public_ipv4", "192.168.5.1", "bridges[0].addresses[0]"),
        of("guests[3].interfaces[0].public_ipv6", "2001:db8:5::1", "bridges[0].addresses[1]"),
        of("guests[4].interfaces[0].routed_ipv6[0]", "2001:db8:f::2", "objects.host.addresses[1].address"),
        of("guests[6].endpoint", "2001:db8:f::2", "objects.host.addresses[1].address"),
        of("guests[6].interfaces[0].public_ipv4", "203.0.113.2", "objects.host.addresses[2].address"),
    ] {
        assert!(said.contains(&line), "{line}\n{said:#?}");
    }
    assert!(
        !said.iter().any(|line| line.starts_with("guests[5]") || line.starts_with("guests[0]")),
        "{said:#?}"
    );
}

#[test]
fn names_that_are_words_of_the_kernel() {
    let interface = "guests[1].interfaces[0].name";
    for (name, why) in [
        ("all", "sysctls of all interfaces are called so: net/ipv6/conf/all"),
        ("default", "sysctls of interfaces to come are called so: net/ipv6/conf/default"),
        ("lo", "the loopback is the kernel's"),
    ] {
        is_said(&[
            (interface, json!(name), &[&format!("{interface}: {why}")]),
            ("uplink", json!(name), &[&format!("uplink: {why}")]),
            (
                "guests[2].name",
                json!(name),
                &[&format!("guests[2].name: {name} is a word of ip(8), not a name for a guest")],
            ),
            ("objects.host.links[2].name", json!(name), &[&format!("objects.host.links[2].name: {why}")]),
            (
                "guests[1].transit",
                json!({"host_link": name}),
                &[&format!("guests[1].transit.host_link: {why}")],
            ),
        ]);
    }
    is_said(&[(
        "objects.namespaces.other.links[0].name",
        json!("v1"),
        &["objects.namespaces.other.links[0].kind.veth.peer: v1 is the name of this end"],
    )]);
}

#[test]
fn mtus_that_links_cannot_have() {
    let range = "is not an MTU for this link: 1280 to";
    let mut spec = on_host(&[
        json!({"private_ipv4": "10.0.0.1", "mtu": 1279}),
        json!({"bridge": "br0", "mtu": 576}),
        json!({"mtu": 65521}),
        json!({"mtu": 65522}),
        json!({"mtu": 65535, "kind": "dummy"}),
    ]);
    spec["bridges"] = json!([{"name": "br0", "mtu": 1000}]);
    assert_eq!(
        said(&spec),
        [
            format!("bridges[0].mtu: 1000 {range} 65535"),
            format!("guests[0].interfaces[0].mtu: 1279 {range} 65521"),
            format!("guests[1].interfaces[0].mtu: 576 {range} 65521"),
            format!("guests[3].interfaces[0].mtu: 65522 {range} 65521"),
        ]
    );
    is_said(&[(
        "objects.host.routes[1].mtu",
        json!(65521),
        &["objects.host.routes[1].mtu: 65521 is not the MTU of a route: 68 to 65520"],
    )]);
}

#[test]
fn what_is_served_is_what_dnsmasq_can_serve() {
    let serve = "guests[1].interfaces[0].serve";
    is_said(&[
        (serve, json!({"lease": "2m"}), &[]),
        (serve, json!({"lease": "infinite", "prefix_lifetime": "infinite"}), &[]),
        (
            serve,
            json!({"lease": "119s"}),
            &["guests[1].interfaces[0].serve.lease: 119s is less than two minutes, the least of dnsmasq"],
        ),
        (
            serve,
            json!({"lease": "12"}),
            &[
                "guests[1].interfaces[0].serve.lease: \"12\" is not a lease time: one is 12h, 30m, 90s, 7d, 1w or infinite",
            ],
        ),
        (
            serve,
            json!({"lease": "1h", "bare_prefix_len": true}),
            &[
                "guests[1].interfaces[0].serve.bare_prefix_len: stands where the lease time does: give one of the two",
            ],
        ),
        (
            serve,
            json!({"interval": 3}),
            &[
                "guests[1].interfaces[0].serve.interval: 3 is not an interval of router advertisements: 4 to 1800 seconds",
            ],
        ),
        (
            serve,
            json!({"router_lifetime": 9001}),
            &[
                "guests[1].interfaces[0].serve.router_lifetime: 9001 is neither 0 nor from the interval, 600, to 9000 seconds",
            ],
        ),
        (
            serve,
            json!({"interval": 1000}),
            &["guests[1].interfaces[0].serve.prefix_lifetime: 45m is less than three intervals, 50m"],
        ),
        (serve, json!({"dhcpv6": "nothing"}), &[]),
    ]);
    let spec = on_host(&[json!({"public_ipv6": "2001:db8:1::/80", "serve": {"dhcpv6": "options"}})]);
    let words = "has to be \"addresses\": those of 2001:db8:1::/80 cannot be told in another way";
    assert_eq!(said(&spec), [format!("guests[0].interfaces[0].serve.dhcpv6: {words}")]);
    let spec = on_host(&[json!({"private_ipv4": "10.0.0.1", "serve": {"bare_prefix_len": true}})]);
    let words = "needs gateway_ipv4: without it the range has a netmask";
    assert_eq!(said(&spec), [format!("guests[0].interfaces[0].serve.bare_prefix_len: {words}")]);
}
