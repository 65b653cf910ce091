//! A router between two hosts, each with a guest, and a tunnel between the guests.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use guestnet::core::{Namespace, Netns as NetnsName};
use guestnet::xfrm::EncapSocket;
use guestnet::{Host, HostSpec};
use guestnet_lab::{Echoed, Guest, Netns, ping, ping_of_size};
use serde_json::{Value, json};

const SERVER: &str = "192.0.2.10";
const SERVER6: &str = "2001:db8:ffff::10";
const SECRET: &str = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa";

/// Settings that a test varies.
pub struct Way {
    /// Where the guests are: `own` or `host`.
    pub placement: &'static str,
    /// The MTU of the first host's links: its uplink, the pair to the guest's namespace, the guest's tap.
    pub link: u32,
    /// The MTU of the second host's uplink.
    pub narrow: u32,
    /// Whether the outer packets are of IPv4.
    pub ipv4: bool,
    /// Fields of the tunnel beside its ends, pairs and secret.
    pub tunnel: Value,
    /// Whether the first host is behind NAT: seen as another address, on another port.
    pub nat: bool,
}

/// The first host behind NAT as the second one sees it.
pub const PUBLIC: &str = "203.0.113.200";
pub const PUBLIC_PORT: u16 = 4501;

impl Default for Way {
    fn default() -> Self {
        Self { placement: "own", link: 1500, narrow: 1500, ipv4: false, tunnel: json!({}), nat: false }
    }
}

/// A router, with a server's addresses, between two hosts with a guest each.
pub struct Lab {
    pub internet: Netns,
    pub hosts: Vec<(Netns, Host)>,
    pub guests: Vec<Guest>,
    _sockets: Vec<EncapSocket>,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl Way {
    pub fn outer(&self, n: u8) -> String {
        match (self.ipv4, self.placement) {
            (true, _) => format!("198.51.100.{}", 4 * n + 2),
            (false, "host") => format!("2001:db8:{n}::2"),
            (false, _) => format!("2001:db8:{n}:e::1"),
        }
    }

    pub fn spec(&self, n: u8) -> Value {
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
    pub fn set_up(&self) -> Result<Lab> {
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

    pub fn host(&self, internet: &Netns, n: u8) -> Result<(Netns, Host)> {
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
    pub fn guest(&self, netns: &Netns, n: u8) -> Result<Guest> {
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
    pub fn addresses(n: usize) -> [IpAddr; 2] {
        [ip(&format!("192.168.7.{n}")), ip(&format!("fd00:{n}::2"))]
    }

    /// That packets of `mtu` bytes come through and one byte more is answered with just that, both ways, in both families;
    /// and that what goes to the internet has all of `link`.
    pub fn carries_exactly(&self, mtu: u16, link: u16) -> Result<()> {
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
