//! Guests of every shape, with packets: in namespaces of their own and in the host's, with and without a public address,
//! of one family or both, with other MTUs.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use guestnet::core::Mac;
use guestnet::{Host, HostSpec};
use guestnet_lab::{
    Capability, Daemon, Echo, Guest, Netns, dhcp, dnsmasq, echo, lab_test, need, need_program, path_mtu,
    ping, wait_until,
};
use serde_json::{Value, json};

const SERVER: &str = "192.0.2.10";
const SERVER6: &str = "2001:db8:ffff::10";

/// An internet with a server in it.
fn internet() -> Result<Netns> {
    let internet = Netns::make("internet")?;
    internet.skip_dad()?;
    internet.ip(&format!("address add {SERVER}/32 dev lo"))?;
    internet.ip(&format!("address add {SERVER6}/128 dev lo"))?;
    internet.set_sysctl("net/ipv4/ip_forward", "1")?;
    internet.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
    Ok(internet)
}

/// A host on it, with 198.51.100.N+1 and 2001:db8:N::2; the guests' addresses are 203.0.113.16N/28 and 2001:db8:N::/48.
fn host(internet: &Netns, n: u8) -> Result<(Netns, Host)> {
    let name = format!("host{n}");
    let netns = Netns::make(&name)?;
    netns.skip_dad()?;
    // As distributions have it, and strictly: what is translated has to get through all the same.
    netns.set_sysctl("net/ipv4/conf/all/rp_filter", "1")?;
    internet.ip(&format!("link add {name} type veth peer name uplink netns {name}"))?;
    internet.ip(&format!("address add 198.51.100.{}/30 dev {name}", 4 * n + 1))?;
    internet.ip(&format!("address add 2001:db8:{n}::1/64 dev {name}"))?;
    internet.ip(&format!("link set {name} up"))?;
    netns.ip(&format!("address add 198.51.100.{}/30 dev uplink", 4 * n + 2))?;
    netns.ip(&format!("address add 2001:db8:{n}::2/64 dev uplink"))?;
    netns.ip("link set uplink up")?;
    netns.ip(&format!("route add default via 198.51.100.{}", 4 * n + 1))?;
    netns.ip(&format!("-6 route add default via 2001:db8:{n}::1"))?;
    internet.ip(&format!("route add 203.0.113.{}/28 via 198.51.100.{}", 16 * n, 4 * n + 2))?;
    internet.ip(&format!("-6 route add 2001:db8:{n}::/48 via 2001:db8:{n}::2"))?;
    let host = Host::in_namespace(&name.parse()?)?;
    Ok((netns, host))
}

/// The guest `name` of the spec, running, with its addresses.
struct Running {
    guest: Guest,
    _dnsmasq: Daemon,
}

impl Running {
    fn start(host: &Host, netns: &Netns, name: &str, mac: &str) -> Result<Self> {
        let dnsmasq = dnsmasq(netns, &host.directory().join(name).join("dnsmasq.conf"))?;
        let mac: Mac = mac.parse()?;
        let guest =
            Guest::plug(&format!("vm-{name}"), netns, &format!("tap{name}"), Some(guestnet_lab::Mac(mac.0)))?;
        Ok(Self { guest, _dnsmasq: dnsmasq })
    }

    fn at(&self) -> &Netns {
        self.guest.netns()
    }

    fn ipv6(&self, start: &str) -> Result<IpAddr> {
        let mut found = None;
        wait_until(&format!("an address in {start}"), std::time::Duration::from_secs(20), || {
            let shown =
                self.at().ip("-6 -brief address show dev eth0 scope global -tentative").unwrap_or_default();
            let word = shown.split_whitespace().find(|word| word.starts_with(start)).map(str::to_owned);
            found = word.and_then(|word| word.split('/').next()?.parse().ok());
            found.is_some()
        })?;
        found.context("an address")
    }
}

fn interface(name: &str, n: u8, public: bool) -> Value {
    let mut interface = json!({
        "name": format!("tap{name}"),
        "mac": format!("02:00:5e:00:53:{n:02x}"),
        "private_ipv4": format!("192.168.7.{n}"),
    });
    if public {
        interface["public_ipv4"] = format!("203.0.113.{}", 16 + n).into();
    }
    interface
}

fn apply(host: &mut Host, spec: &Value) -> Result<()> {
    let spec = HostSpec::from_json(&spec.to_string())?;
    host.apply(&spec)?;
    ensure!(host.verify(&spec)?.is_empty());
    Ok(())
}

fn tcp(from: &Netns, to_netns: &Netns, listen: IpAddr, to: IpAddr) -> Result<IpAddr> {
    let _echo = Echo::start(to_netns, SocketAddr::new(listen, 7))?;
    Ok(echo::tcp(from, None, SocketAddr::new(to, 7), 5_000)?.ip())
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Two guests with public addresses and one without, at `placement`, translated in `mode`.
fn public_and_private(placement: &str, mode: &str) -> Result<()> {
    need(Capability::Tap);
    need_program("dnsmasq");
    need_program("udhcpc");
    let internet = internet()?;
    let (netns, mut host) = host(&internet, 1)?;
    let guests: Vec<Value> = [("one", 1, true), ("two", 2, true), ("three", 3, false)]
        .into_iter()
        .map(|(name, n, public)| {
            json!({ "name": name, "placement": placement, "interfaces": [interface(name, n, public)] })
        })
        .collect();
    let spec = json!({ "version": 1, "nat": { "mode": mode, "untranslated": ["192.168.0.0/16"] }, "guests": guests });
    apply(&mut host, &spec)?;
    let place = |name: &str| if placement == "host" { Netns::open("host1") } else { Netns::open(name) };
    let one = Running::start(&host, &place("one")?, "one", "02:00:5e:00:53:01")?;
    let two = Running::start(&host, &place("two")?, "two", "02:00:5e:00:53:02")?;
    let three = Running::start(&host, &place("three")?, "three", "02:00:5e:00:53:03")?;
    for (guest, n) in [(&one, 1), (&two, 2), (&three, 3)] {
        let lease = dhcp(guest.at(), "eth0")?;
        assert_eq!(IpAddr::from(lease.address), ip(&format!("192.168.7.{n}")));
        assert_eq!(lease.prefix, 32);
    }
    assert_eq!(tcp(one.at(), &internet, ip(SERVER), ip(SERVER))?, ip("203.0.113.17"));
    assert_eq!(tcp(&internet, two.at(), ip("192.168.7.2"), ip("203.0.113.18"))?, ip("198.51.100.5"));
    assert_eq!(
        tcp(one.at(), two.at(), ip("192.168.7.2"), ip("203.0.113.18"))?,
        ip("203.0.113.17"),
        "hairpin"
    );
    // Without a public address there is no way out, and nothing leaves with a private one.
    let capture = guestnet_lab::Capture::start(&internet, "host1")?;
    ensure!(ping(three.at(), None, ip(SERVER)).is_err());
    let seen = capture.stop();
    if placement != "host" {
        ensure!(
            !seen.iter().any(|frame| frame.mentions(ip("192.168.7.3"))),
            "a private address left the host"
        );
    }
    drop((one, two, three));
    host.remove_all()?;
    ensure!(!netns.ip("-brief link")?.contains("tap"));
    Ok(())
}

lab_test! {
    fn guests_with_namespaces_of_their_own_without_connection_state() -> Result<()> {
        public_and_private("own", "notrack")
    }

    fn guests_with_namespaces_of_their_own_beside_connection_tracking() -> Result<()> {
        public_and_private("own", "tracked")
    }

    fn guests_in_the_hosts_namespace_share_maps_without_connection_state() -> Result<()> {
        public_and_private("host", "notrack")
    }

    fn guests_in_the_hosts_namespace_share_maps_beside_connection_tracking() -> Result<()> {
        public_and_private("host", "tracked")
    }

    fn a_guest_of_ipv6_alone_with_two_interfaces_and_a_small_mtu() -> Result<()> {
        need(Capability::Tap);
        need_program("dnsmasq");
        let internet = internet()?;
        let (_netns, mut host) = host(&internet, 1)?;
        apply(&mut host, &json!({ "version": 1, "guests": [{ "name": "six", "transit": { "mtu": 1400 }, "interfaces": [
            { "name": "tapsix", "mac": "02:00:5e:00:53:06", "public_ipv6": "2001:db8:1:6::/64", "mtu": 1300,
              "routed_ipv6": ["2001:db8:1:7::/64"] },
            { "name": "tapseven", "mac": "02:00:5e:00:53:07", "public_ipv6": "2001:db8:1:8::/64" },
        ]}]}))?;
        let netns = Netns::open("six")?;
        let six = Running::start(&host, &netns, "six", "02:00:5e:00:53:06")?;
        let address = six.ipv6("2001:db8:1:6:")?;
        assert_eq!(tcp(six.at(), &internet, ip(SERVER6), ip(SERVER6))?, address);
        // Told by the router advertisement.
        wait_until("the MTU is announced", std::time::Duration::from_secs(5), || {
            six.at().sysctl("net/ipv6/conf/eth0/mtu").is_ok_and(|mtu| mtu == "1300")
        })?;
        assert_eq!(path_mtu(&internet, Some(ip(SERVER6)), address, 1500)?, 1300);
        // The guest is the router of the prefix behind it.
        six.at().ip("address add 2001:db8:1:7::1/64 dev lo nodad")?;
        // The kernel has the address at once, and its route a little later.
        wait_until("the guest has the address", std::time::Duration::from_secs(5), || {
            six.at().ip("-6 route show table local").is_ok_and(|routes| routes.contains("2001:db8:1:7::1"))
        })?;
        assert_eq!(tcp(&internet, six.at(), ip("2001:db8:1:7::1"), ip("2001:db8:1:7::1"))?, ip("2001:db8:1::1"));
        Ok(())
    }

    fn guests_in_the_hosts_namespaces_reach_each_other_through_the_hosts_tunnel() -> Result<()> {
        need(Capability::Esp);
        need(Capability::Tap);
        need_program("dnsmasq");
        need_program("udhcpc");
        let internet = internet()?;
        let mut running = Vec::new();
        for n in [1_u8, 2] {
            let peer = 3 - n;
            let (netns, mut host) = host(&internet, n)?;
            apply(&mut host, &json!({ "version": 1, "guests": [{
                "name": format!("g{n}"), "placement": "host", "endpoint": format!("2001:db8:{n}::2"),
                "interfaces": [interface(&format!("g{n}"), n, false)],
                "tunnels": [{
                    "local": format!("2001:db8:{n}::2"), "remote": format!("2001:db8:{peer}::2"),
                    "pairs": [{ "local": format!("192.168.7.{n}/32"), "remote": format!("192.168.7.{peer}/32") }],
                    "secret": "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa",
                }],
            }]}))?;
            let guest = Running::start(&host, &netns, &format!("g{n}"), &format!("02:00:5e:00:53:{n:02x}"))?;
            dhcp(guest.at(), "eth0")?;
            running.push((guest, netns, host));
        }
        let capture = guestnet_lab::Capture::start(&internet, "host1")?;
        let seen = tcp(running[0].0.at(), running[1].0.at(), ip("192.168.7.2"), ip("192.168.7.2"))?;
        assert_eq!(seen, ip("192.168.7.1"));
        let frames = capture.stop();
        ensure!(frames.iter().any(guestnet_lab::Frame::is_esp));
        ensure!(!frames.iter().any(|frame| frame.mentions(ip("192.168.7.2"))));
        Ok(())
    }
}
