//! IPv6 prefixes of every length, with packets: addresses by a real DHCPv6 client, the way out by router advertisement.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use guestnet::Host;
use guestnet_lab::{
    Capability, Daemon, Guest, Mac, Netns, dhcpv6, dnsmasq, lab_test, need, need_program, ping, wait_until,
};
use serde_json::{Value, json};
use support::{apply, settle, spec, with_uplink};

/// A prefix of each length that is different from its neighbours, and the address of it that the guest is told.
const PREFIXES: [(&str, &str); 10] = [
    ("2001:db8:1:40::/64", "2001:db8:1:40::2"),
    ("2001:db8:1:41::/65", "2001:db8:1:41::2"),
    ("2001:db8:1:4f::/79", "2001:db8:1:4f::2"),
    ("2001:db8:1:60::/96", "2001:db8:1:60::2"),
    ("2001:db8:1:70::/112", "2001:db8:1:70::2"),
    ("2001:db8:1:78::/120", "2001:db8:1:78::2"),
    ("2001:db8:1:7e::/126", "2001:db8:1:7e::2"),
    ("2001:db8:1:7f::4/127", "2001:db8:1:7f::5"),
    ("2001:db8:1:80::5/128", "2001:db8:1:80::5"),
    // The next address is another's.
    ("2001:db8:1:80::6/128", "2001:db8:1:80::6"),
];

/// A host on an internet that routes 2001:db8:1::/48 to it.
fn internet() -> Result<Netns> {
    let internet = with_uplink();
    internet.ip("address add 2001:db8:1::1/64 dev isp nodad")?;
    internet.ip("-6 route add 2001:db8:1::/48 via 2001:db8:1::fffe")?;
    Netns::here()?.ip("-6 route add default via 2001:db8:1::1")?;
    settle();
    Ok(internet)
}

fn guest(n: usize, prefix: &str, placement: &str) -> Value {
    json!({ "name": format!("g{n}"), "placement": placement, "interfaces": [{
        "name": format!("tap{n}"), "mac": mac(n).to_string(), "public_ipv6": prefix,
    }]})
}

fn mac(n: usize) -> Mac {
    Mac([2, 0, 0x5e, 0, 0x53, n as u8])
}

/// The guest `n`, running, with the address that it was told and the way out.
struct Running {
    guest: Guest,
    _dnsmasq: Daemon,
    address: Ipv6Addr,
}

impl Running {
    fn start(host: &Host, n: usize, placement: &str) -> Result<Self> {
        let netns = if placement == "own" { Netns::open(&format!("g{n}"))? } else { Netns::here()? };
        let dnsmasq = dnsmasq(&netns, &host.directory().join(format!("g{n}/dnsmasq.conf")))?;
        let guest = Guest::plug(&format!("vm{n}"), &netns, &format!("tap{n}"), Some(mac(n)))?;
        let address = dhcpv6(guest.netns(), "eth0").with_context(|| dnsmasq.log())?;
        wait_until("a default route", Duration::from_secs(10), || {
            guest.netns().ip("-6 route show default").is_ok_and(|routes| routes.contains("via fe80:"))
        })?;
        Ok(Self { guest, _dnsmasq: dnsmasq, address })
    }
}

fn every_length(placement: &str) -> Result<()> {
    need(Capability::Tap);
    need_program("dnsmasq");
    need_program("dhclient");
    let internet = internet()?;
    let guests: Vec<Value> =
        PREFIXES.iter().enumerate().map(|(n, (prefix, _))| guest(n, prefix, placement)).collect();
    let mut host = Host::open()?;
    apply(&mut host, &spec(&json!({ "version": 1, "guests": guests })));
    settle();
    for (n, (prefix, address)) in PREFIXES.into_iter().enumerate() {
        let running = Running::start(&host, n, placement)?;
        assert_eq!(running.address, address.parse::<Ipv6Addr>()?, "{prefix}");
        let from = IpAddr::from(running.address);
        ping(&internet, None, from).with_context(|| format!("to {prefix}"))?;
        ping(running.guest.netns(), Some(from), "2001:db8:1::1".parse()?)
            .with_context(|| format!("from {prefix}"))?;
    }
    Ok(())
}

/// Guests that ask nobody: address and router by hand, prefixes of every length at once.
fn by_hand(placement: &str) -> Result<()> {
    need(Capability::Tap);
    let internet = internet()?;
    let lengths: Vec<u8> = (64..=128).collect();
    let prefix = |n: usize, length: u8| {
        let whole = Ipv6Addr::new(0x2001, 0xdb8, 1, 0x100 + n as u16, 0, 0, 0, 4);
        ipnet::Ipv6Net::new(whole, length).expect("a length").trunc()
    };
    let made = lengths.iter().enumerate().map(|(n, length)| {
        let mut guest = guest(n, &prefix(n, *length).to_string(), placement);
        guest["interfaces"][0]["serve"] = false.into();
        // Of longer prefixes it is the router by itself.
        if *length <= 126 || n % 2 == 0 {
            guest["interfaces"][0]["gateway_ipv6"] = "fe80::1".into();
        }
        guest
    });
    let wanted = spec(&json!({ "version": 1, "guests": made.collect::<Vec<_>>() }));
    apply(&mut Host::open()?, &wanted);
    settle();
    for (n, length) in lengths.into_iter().enumerate() {
        let netns = if placement == "own" { Netns::open(&format!("g{n}"))? } else { Netns::here()? };
        let running = Guest::plug(&format!("vm{n}"), &netns, &format!("tap{n}"), Some(mac(n)))?;
        let inside = running.netns();
        inside.ip("-6 route replace default via fe80::1 dev eth0")?;
        // The first address, and the last.
        for address in [prefix(n, length).network(), prefix(n, length).broadcast()] {
            inside.ip(&format!("address replace {address}/128 dev eth0 nodad"))?;
            ping(inside, Some(address.into()), "2001:db8:1::1".parse()?)
                .with_context(|| format!("from {address} of a /{length}"))?;
            ping(&internet, None, address.into()).with_context(|| format!("to {address} of a /{length}"))?;
        }
    }
    Ok(())
}

/// Says `word` to who connects to `port`.
fn says(netns: &Netns, port: u16, word: &'static str) -> Result<JoinHandle<()>> {
    let listener = netns.run(|| TcpListener::bind(("::", port)))?;
    Ok(std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(word.as_bytes()));
        }
    }))
}

/// Who answers at `to`.
fn who_is(from: &Netns, to: SocketAddr) -> Result<String> {
    let mut stream = from.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

/// With a firewall that lets the guest be called at port 22.
fn port_22_is_the_guests(prefix: &str, placement: &str) -> Result<()> {
    need(Capability::Tap);
    need_program("dnsmasq");
    need_program("dhclient");
    let internet = internet()?;
    let mut guest = guest(1, prefix, placement);
    guest["access"] = json!({ "ingress": [{ "protocol": "tcp", "ports": ["22"] }], "egress": [{}] });
    let firewall = json!({ "host": { "services": [{ "protocol": "tcp", "ports": ["22"] }] } });
    let mut host = Host::open()?;
    apply(
        &mut host,
        &spec(&json!({ "version": 1, "uplink": "uplink", "firewall": firewall, "guests": [guest] })),
    );
    settle();
    let running = Running::start(&host, 1, placement)?;
    let _host = says(&Netns::here()?, 22, "the host")?;
    let _inside = match placement {
        "own" => Some(says(&Netns::open("g1")?, 22, "the guest's namespace")?),
        _ => None,
    };
    let _guest = says(running.guest.netns(), 22, "the guest")?;
    assert_eq!(who_is(&internet, SocketAddr::new(running.address.into(), 22))?, "the guest");
    assert_eq!(who_is(&internet, "[2001:db8:1::fffe]:22".parse()?)?, "the host");
    Ok(())
}

/// A guest with a namespace of its own asks its router, which is there, for what all guests may ask for.
fn the_router_is_asked() -> Result<()> {
    need(Capability::Tap);
    need_program("dnsmasq");
    need_program("dhclient");
    let _internet = internet()?;
    let firewall = json!({ "guest_services": [{ "protocol": "tcp", "ports": ["53"] }] });
    let guests = [guest(1, "2001:db8:1:40::/64", "own")];
    let mut host = Host::open()?;
    apply(&mut host, &spec(&json!({ "version": 1, "firewall": firewall, "guests": guests })));
    settle();
    let running = Running::start(&host, 1, "own")?;
    let inside = Netns::open("g1")?;
    let (_names, _other) = (says(&inside, 53, "the router")?, says(&inside, 54, "the router")?);
    let router = |port| SocketAddr::new("2001:db8:1:40::1".parse().expect("an address"), port);
    assert_eq!(who_is(running.guest.netns(), router(53))?, "the router");
    assert!(who_is(running.guest.netns(), router(54)).is_err(), "nothing else");
    Ok(())
}

lab_test! {
    fn an_own_guest_asks_its_router_for_what_guests_may_ask_for() -> Result<()> {
        the_router_is_asked()
    }

    fn every_length_in_namespaces_of_their_own() -> Result<()> {
        every_length("own")
    }

    fn every_length_in_the_hosts_namespace() -> Result<()> {
        every_length("host")
    }

    fn every_length_by_hand_in_namespaces_of_their_own() -> Result<()> {
        by_hand("own")
    }

    fn every_length_by_hand_in_the_hosts_namespace() -> Result<()> {
        by_hand("host")
    }

    fn port_22_of_a_128_in_the_hosts_namespace() -> Result<()> {
        port_22_is_the_guests("2001:db8:1:80::5/128", "host")
    }

    fn port_22_of_a_128_in_a_namespace_of_its_own() -> Result<()> {
        port_22_is_the_guests("2001:db8:1:80::5/128", "own")
    }

    fn port_22_of_a_127() -> Result<()> {
        port_22_is_the_guests("2001:db8:1:7f::4/127", "host")
    }

    fn port_22_of_a_127_in_a_namespace_of_its_own() -> Result<()> {
        port_22_is_the_guests("2001:db8:1:7f::4/127", "own")
    }

    /// All of a /64 is the guest's, the first address too, with the router that providers of machines give.
    fn a_link_local_router_for_a_64() -> Result<()> {
        need(Capability::Tap);
        need_program("dnsmasq");
        need_program("dhclient");
        let internet = internet()?;
        let mut guest = guest(1, "2001:db8:1:40::/64", "host");
        guest["interfaces"][0]["gateway_ipv6"] = "fe80::99".into();
        let mut host = Host::open()?;
        apply(&mut host, &spec(&json!({ "version": 1, "guests": [guest] })));
        settle();
        let running = Running::start(&host, 1, "host")?;
        assert_eq!(running.address, "2001:db8:1:40::1".parse::<Ipv6Addr>()?);
        ping(&internet, None, running.address.into())?;
        // By hand, as a guest is set up that asks nobody.
        let inside = running.guest.netns();
        inside.ip("-6 route replace default via fe80::99 dev eth0")?;
        inside.ip("address add 2001:db8:1:40::abcd/128 dev eth0 nodad")?;
        ping(inside, Some("2001:db8:1:40::abcd".parse()?), "2001:db8:1::1".parse()?)?;
        ping(&internet, None, "2001:db8:1:40::abcd".parse()?)?;
        Ok(())
    }
}
