//! How much of a packet a tunnel carries, from guest to guest through two hosts: exactly so much, and of one byte more the
//! guest is told. A kernel with ESP and AES-GCM.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use guestnet::core::{Namespace, Netns as NetnsName};
use guestnet::xfrm::EncapSocket;
use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, Echoed, Guest, Netns, lab_test, need, need_program, ping, ping_of_size};
use serde_json::{Value, json};

const SERVER: &str = "192.0.2.10";
const SERVER6: &str = "2001:db8:ffff::10";
const SECRET: &str = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";

/// What a test varies.
struct Way {
    /// Where the guests are: `own` or `host`.
    placement: &'static str,
    /// The MTU of the first host's links: its uplink, the pair to the guest's namespace, the guest's tap.
    link: u32,
    /// The MTU of the second host's uplink.
    narrow: u32,
    /// Whether the outer packets are of IPv4.
    ipv4: bool,
    /// What the tunnel says beside its ends, pairs and secret.
    tunnel: Value,
    /// Whether the first host is behind NAT: seen as another address, on another port.
    nat: bool,
}

/// What the second host sees of the first one behind NAT.
const PUBLIC: &str = "203.0.113.200";
const PUBLIC_PORT: u16 = 4501;

impl Default for Way {
    fn default() -> Self {
        Self { placement: "own", link: 1500, narrow: 1500, ipv4: false, tunnel: json!({}), nat: false }
    }
}

/// A router, with a server's addresses, between two hosts with a guest each.
struct Lab {
    internet: Netns,
    hosts: Vec<(Netns, Host)>,
    guests: Vec<Guest>,
    _sockets: Vec<EncapSocket>,
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl Way {
    fn outer(&self, n: u8) -> String {
        match (self.ipv4, self.placement) {
            (true, _) => format!("198.51.100.{}", 4 * n + 2),
            (false, "host") => format!("2001:db8:{n}::2"),
            (false, _) => format!("2001:db8:{n}:e::1"),
        }
    }

    fn spec(&self, n: u8) -> Value {
        let peer = 3 - n;
        let mut tunnel = self.tunnel.clone();
        tunnel["local"] = self.outer(n).into();
        tunnel["remote"] = self.outer(peer).into();
        tunnel["secret"] = SECRET.into();
        if self.nat && n == 1 {
            tunnel["udp"] = json!({ "public": PUBLIC });
        } else if self.nat {
            tunnel["remote"] = PUBLIC.into();
            tunnel["udp"] = json!({ "remote_port": PUBLIC_PORT });
        }
        tunnel["pairs"] = json!([
            { "local": format!("192.168.7.{n}/32"), "remote": format!("192.168.7.{peer}/32") },
            { "local": format!("fd00:{n}::/64"), "remote": format!("fd00:{peer}::/64") },
        ]);
        let mut guest = json!({
            "name": format!("g{n}"), "placement": self.placement, "tunnels": [tunnel],
            "interfaces": [{
                "name": format!("tap{n}"), "mac": format!("02:00:5e:00:53:{n:02x}"), "mtu": self.link, "serve": false,
                "private_ipv4": format!("192.168.7.{n}"), "private_ipv6": format!("fd00:{n}::/64"),
                "public_ipv4": format!("203.0.113.{}", 16 * n + 1), "public_ipv6": format!("2001:db8:{n}:1::/64"),
            }],
        });
        if self.placement == "own" {
            guest["transit"] = json!({ "mtu": self.link });
            guest["endpoint"] = self.outer(n).into();
        }
        json!({ "version": 1, "uplink": "uplink", "guests": [guest], "nat": { "untranslated": ["192.168.0.0/16"] } })
    }

    /// Two hosts, their guests running.
    fn set_up(&self) -> Result<Lab> {
        let internet = Netns::make("internet")?;
        internet.skip_dad()?;
        internet.ip(&format!("address add {SERVER}/32 dev lo"))?;
        internet.ip(&format!("address add {SERVER6}/128 dev lo"))?;
        internet.set_sysctl("net/ipv4/ip_forward", "1")?;
        internet.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
        let mut lab = Lab { internet, hosts: Vec::new(), guests: Vec::new(), _sockets: Vec::new() };
        for n in [1, 2] {
            let (netns, mut host) = self.host(&lab.internet, n)?;
            let spec = HostSpec::from_json(&self.spec(n).to_string())?;
            host.apply(&spec)?;
            ensure!(host.verify(&spec)?.is_empty(), "{}", host.verify(&spec)?);
            let place = if self.placement == "host" { format!("host{n}") } else { format!("g{n}") };
            lab.guests.push(self.guest(&Netns::open(&place)?, n)?);
            if self.nat || self.tunnel.get("udp").is_some() {
                let namespace = Namespace::named(&place.parse()?)?;
                ensure!(namespace.netns() == &NetnsName::Named(place.parse()?));
                let address = SocketAddr::new(ip(&self.outer(n)), 4500);
                lab._sockets.push(EncapSocket::open(&namespace, address)?);
            }
            lab.hosts.push((netns, host));
        }
        Ok(lab)
    }

    fn host(&self, internet: &Netns, n: u8) -> Result<(Netns, Host)> {
        let name = format!("host{n}");
        let netns = Netns::make(&name)?;
        netns.skip_dad()?;
        netns.set_sysctl("net/ipv4/conf/all/rp_filter", "1")?;
        internet.ip(&format!("link add {name} type veth peer name uplink netns {name}"))?;
        let mtu = if n == 1 { self.link } else { self.narrow };
        internet.ip(&format!("link set {name} mtu {mtu} up"))?;
        internet.ip(&format!("address add 198.51.100.{}/30 dev {name}", 4 * n + 1))?;
        internet.ip(&format!("address add 2001:db8:{n}::1/64 dev {name}"))?;
        netns.ip(&format!("link set uplink mtu {mtu} up"))?;
        netns.ip(&format!("address add 198.51.100.{}/30 dev uplink", 4 * n + 2))?;
        netns.ip(&format!("address add 2001:db8:{n}::2/64 dev uplink"))?;
        netns.ip(&format!("route add default via 198.51.100.{}", 4 * n + 1))?;
        netns.ip(&format!("-6 route add default via 2001:db8:{n}::1"))?;
        internet.ip(&format!("route add 203.0.113.{}/28 via 198.51.100.{}", 16 * n, 4 * n + 2))?;
        internet.ip(&format!("-6 route add 2001:db8:{n}::/48 via 2001:db8:{n}::2"))?;
        let host = Host::in_namespace(&name.parse()?)?;
        Ok((netns, host))
    }

    /// The guest, with the addresses that it would be told.
    fn guest(&self, netns: &Netns, n: u8) -> Result<Guest> {
        let mac: guestnet::core::Mac = format!("02:00:5e:00:53:{n:02x}").parse()?;
        let guest =
            Guest::plug(&format!("vm{n}"), netns, &format!("tap{n}"), Some(guestnet_lab::Mac(mac.0)))?;
        let at = guest.netns();
        at.ip(&format!("link set eth0 mtu {}", self.link))?;
        at.ip(&format!("address add 192.168.7.{n}/32 dev eth0"))?;
        at.ip("route add default via 169.254.1.1 dev eth0 onlink")?;
        at.ip(&format!("-6 address add fd00:{n}::2/64 dev eth0 nodad"))?;
        at.ip(&format!("-6 address add 2001:db8:{n}:1::2/64 dev eth0 nodad"))?;
        at.ip(&format!("-6 route add default via 2001:db8:{n}:1::1 dev eth0"))?;
        at.ip(&format!("-6 route add fd00::/16 via fd00:{n}::1 dev eth0 src fd00:{n}::2"))?;
        Ok(guest)
    }
}

impl Lab {
    /// The private addresses of the guest `n`.
    fn addresses(n: usize) -> [IpAddr; 2] {
        [ip(&format!("192.168.7.{n}")), ip(&format!("fd00:{n}::2"))]
    }

    /// That packets of `mtu` bytes come through and one byte more is answered with just that, both ways, in both families;
    /// and that what goes to the internet has all of `link`.
    fn carries_exactly(&self, mtu: u16, link: u16) -> Result<()> {
        for (from, to) in [(1, 2), (2, 1)] {
            let guest = self.guests[from - 1].netns();
            for (source, address) in Self::addresses(from).into_iter().zip(Self::addresses(to)) {
                let what = || format!("from {source} to {address}");
                ping(guest, Some(source), address).with_context(what)?;
                let echoed = |size| ping_of_size(guest, Some(source), address, size).with_context(what);
                ensure!(echoed(mtu)? == Echoed::Reply, "{} bytes do not come through {}", mtu, what());
                let larger = echoed(mtu + 1)?;
                ensure!(larger == Echoed::TooBig(mtu), "{} bytes {}: {larger:?}", mtu + 1, what());
                ensure!(
                    echoed(mtu)? == Echoed::Reply,
                    "{} bytes do not come through {} any more",
                    mtu,
                    what()
                );
            }
        }
        for server in [SERVER, SERVER6] {
            let echoed = ping_of_size(self.guests[0].netns(), None, ip(server), link)?;
            ensure!(echoed == Echoed::Reply, "{link} bytes to {server}: {echoed:?}");
        }
        Ok(())
    }
}

/// That a connection through the tunnel has segments of `wanted` bytes, in each family. The headers of IP and TCP take 40
/// or 60 bytes of a packet, timestamps 12.
fn mss(clamp: bool, wanted: [u16; 2]) -> Result<()> {
    need(Capability::Esp);
    need_program("ss");
    let lab = Way { tunnel: json!({ "clamp_mss": clamp }), ..Way::default() }.set_up()?;
    for ((source, address), wanted) in Lab::addresses(1).into_iter().zip(Lab::addresses(2)).zip(wanted) {
        let [here, there] = [0, 1].map(|n| lab.guests[n].netns());
        ping(here, Some(source), address)?;
        let _listener = there.run(|| std::net::TcpListener::bind((address, 7)))?;
        let _connection = here.run(|| std::net::TcpStream::connect((address, 7)))?;
        let said = guestnet_lab::output(here.command("ss").args(["-Htin", "dport", "=", ":7"]))?;
        ensure!(said.contains(&format!(" mss:{wanted} ")), "{wanted} with clamp_mss {clamp}: {said}");
    }
    Ok(())
}

/// That the first packet that is too large is not answered as it should be, once the route says nothing of the path.
fn without_the_mtu_of_the_route(family: &str) -> Result<()> {
    need(Capability::Esp);
    let tunnel = json!({ "path_mtu": 1400 });
    let lab = Way { link: 9000, narrow: 1400, tunnel, ..Way::default() }.set_up()?;
    let (inside, guest) = (Netns::open("g1")?, lab.guests[0].netns());
    let [source, address] = [1, 2].map(|n| Lab::addresses(n)[usize::from(family == "-6")]);
    ping(guest, Some(source), address)?;
    let routes = inside.ip(&format!("{family} route show"))?;
    let narrow = routes.lines().find(|line| line.contains(" mtu 1326"));
    let route = narrow.context("a route with an MTU")?.replace(" mtu 1326", "");
    inside.ip(&format!("{family} route del {route}"))?;
    inside.ip(&format!("{family} route add {route}"))?;
    let echoed = ping_of_size(guest, Some(source), address, 1327)?;
    ensure!(echoed != Echoed::TooBig(1326), "it is told without the route's MTU too");
    Ok(())
}

lab_test! {
    fn esp_1426_of_1500_bytes_between_namespaces_of_guests() -> Result<()> {
        need(Capability::Esp);
        let lab = Way::default().set_up()?;
        let capture = guestnet_lab::Capture::start(&lab.internet, "host1")?;
        lab.carries_exactly(1426, 1500)?;
        let frames = capture.stop();
        ensure!(frames.iter().any(guestnet_lab::Frame::is_esp));
        for address in Lab::addresses(1).into_iter().chain(Lab::addresses(2)) {
            ensure!(!frames.iter().any(|frame| frame.mentions(address)), "{address} is on the wire");
        }
        Ok(())
    }

    fn esp_1426_of_1500_bytes_between_hosts() -> Result<()> {
        need(Capability::Esp);
        Way { placement: "host", ..Way::default() }.set_up()?.carries_exactly(1426, 1500)
    }

    fn esp_8926_of_9000_bytes() -> Result<()> {
        need(Capability::Esp);
        Way { link: 9000, narrow: 9000, ..Way::default() }.set_up()?.carries_exactly(8926, 9000)
    }

    fn esp_1326_where_the_path_is_known_to_be_narrower_than_the_link() -> Result<()> {
        need(Capability::Esp);
        let tunnel = json!({ "path_mtu": 1400 });
        let way = Way { link: 9000, narrow: 1400, tunnel, ..Way::default() };
        way.set_up()?.carries_exactly(1326, 9000)
    }

    fn esp_1326_between_hosts_where_the_path_is_known_to_be_narrower_than_the_link() -> Result<()> {
        need(Capability::Esp);
        let tunnel = json!({ "path_mtu": 1400 });
        let way = Way { placement: "host", link: 9000, narrow: 1400, tunnel, ..Way::default() };
        way.set_up()?.carries_exactly(1326, 9000)
    }

    fn esp_it_is_the_mtu_of_the_route_that_tells_of_a_narrow_path_in_ipv4() -> Result<()> {
        without_the_mtu_of_the_route("-4")
    }

    fn esp_it_is_the_mtu_of_the_route_that_tells_of_a_narrow_path_in_ipv6() -> Result<()> {
        without_the_mtu_of_the_route("-6")
    }

    fn esp_what_has_the_mark_is_encrypted_and_what_is_encrypted_gets_the_other() -> Result<()> {
        need(Capability::Esp);
        let marks = json!({ "out": { "value": 1, "mask": 15 }, "set_out": { "value": 4, "mask": 15 } });
        let lab = Way { tunnel: json!({ "marks": marks }), ..Way::default() }.set_up()?;
        let [source, address] = [1, 2].map(|n| Lab::addresses(n)[0]);
        let unmarked = ping_of_size(lab.guests[0].netns(), Some(source), address, 100)?;
        ensure!(unmarked != Echoed::Reply, "what has no mark has no policy");
        for n in [1, 2] {
            Netns::open(&format!("g{n}"))?.nft(&format!(
                "table inet marks {{
                    chain inner {{ type filter hook prerouting priority mangle;
                        ip daddr 192.168.7.{0} meta mark set 1; ip6 daddr fd00:{0}::/64 meta mark set 1; }}
                    chain outer {{ type filter hook postrouting priority mangle;
                        meta l4proto esp meta mark != 4 drop; meta l4proto esp counter; }}
                }}",
                3 - n
            ))?;
        }
        lab.carries_exactly(1426, 1500)?;
        let counted = Netns::open("g1")?.nft("list table inet marks")?;
        ensure!(!counted.contains("packets 0 "), "{counted}");
        Ok(())
    }

    fn esp_the_mss_is_what_the_link_leaves_where_nobody_asks_for_less() -> Result<()> {
        mss(false, [1448, 1428])
    }

    fn esp_the_mss_is_lowered_to_what_the_tunnel_leaves_where_it_is_asked_for() -> Result<()> {
        mss(true, [1374, 1354])
    }

    fn esp_a_path_that_is_narrower_than_was_said_is_learned() -> Result<()> {
        need(Capability::Esp);
        let lab = Way { narrow: 1400, ..Way::default() }.set_up()?;
        for address in Lab::addresses(2) {
            let found = guestnet_lab::path_mtu(lab.guests[0].netns(), None, address, 1500)?;
            ensure!(found == 1326, "{address}: {found}");
        }
        Ok(())
    }

    fn esp_1418_of_1500_bytes_in_udp() -> Result<()> {
        need(Capability::Esp);
        Way { tunnel: json!({ "udp": {} }), ..Way::default() }.set_up()?.carries_exactly(1418, 1500)
    }

    fn esp_1438_of_1500_bytes_in_udp_over_ipv4_between_hosts() -> Result<()> {
        need(Capability::Esp);
        let way = Way { placement: "host", ipv4: true, tunnel: json!({ "udp": {} }), ..Way::default() };
        way.set_up()?.carries_exactly(1438, 1500)
    }

    fn esp_a_host_behind_nat_is_reached_at_the_address_that_the_nat_gives_it() -> Result<()> {
        need(Capability::Esp);
        need(Capability::Conntrack);
        let way = Way { placement: "host", ipv4: true, nat: true, ..Way::default() };
        let lab = way.set_up()?;
        let inside = way.outer(1);
        lab.internet.nft(&format!(
            "table ip nat {{
                chain inward {{ type nat hook prerouting priority dstnat;
                    ip daddr {PUBLIC} udp dport {PUBLIC_PORT} dnat to {inside}:4500; }}
                chain outward {{ type nat hook postrouting priority srcnat;
                    ip saddr {inside} udp sport 4500 snat to {PUBLIC}:{PUBLIC_PORT}; }}
            }}"
        ))?;
        let capture = guestnet_lab::Capture::start(&lab.internet, "host2")?;
        lab.carries_exactly(1438, 1500)?;
        let frames = capture.stop();
        ensure!(frames.iter().any(|frame| frame.mentions(ip(PUBLIC))));
        ensure!(!frames.iter().any(|frame| frame.mentions(ip(&inside))), "{inside} is known outside");
        Ok(())
    }

    fn esp_guests_who_speak_with_nobody_else_are_told_what_fits_the_tunnel() -> Result<()> {
        need(Capability::Esp);
        need_program("dnsmasq");
        need_program("udhcpc");
        let way = Way { tunnel: json!({ "path_mtu": 1400 }), ..Way::default() };
        let internet = Netns::make("internet")?;
        let (_netns, mut host) = way.host(&internet, 1)?;
        let mut spec = way.spec(1);
        let interface = spec["guests"][0]["interfaces"][0].as_object_mut().context("an interface")?;
        for word in ["serve", "mtu", "public_ipv4", "public_ipv6"] {
            interface.remove(word);
        }
        host.apply(&HostSpec::from_json(&spec.to_string())?)?;
        let netns = Netns::open("g1")?;
        let _dnsmasq = guestnet_lab::dnsmasq(&netns, &host.directory().join("g1/dnsmasq.conf"))?;
        let guest = Guest::plug("vm1", &netns, "tap1", Some("02:00:5e:00:53:01".parse()?))?;
        ensure!(guestnet_lab::dhcp(guest.netns(), "eth0")?.mtu == Some(1326));
        guestnet_lab::wait_until("the MTU is advertised", std::time::Duration::from_secs(30), || {
            guest.netns().sysctl("net/ipv6/conf/eth0/mtu").is_ok_and(|mtu| mtu == "1326")
        })
    }

    fn esp_1426_of_1500_bytes_through_an_xfrm_interface() -> Result<()> {
        need(Capability::Esp);
        let marks = json!({ "set_in": { "value": 2, "mask": 15 }, "in": { "value": 2, "mask": 15 } });
        let lab = Way { tunnel: json!({ "if_id": 7, "marks": marks }), ..Way::default() }.set_up()?;
        lab.carries_exactly(1426, 1500)?;
        ensure!(Netns::open("g1")?.ip("-s link show xfrm7")?.contains("xfrm7"));
        for (_, mut host) in lab.hosts {
            host.remove_all()?;
        }
        Ok(())
    }

    fn esp_1446_of_1500_bytes_through_an_xfrm_interface_over_ipv4_between_hosts() -> Result<()> {
        need(Capability::Esp);
        let way = Way { placement: "host", ipv4: true, tunnel: json!({ "if_id": 7 }), ..Way::default() };
        way.set_up()?.carries_exactly(1446, 1500)
    }
}
