//! What is there before guestnet comes: two hosts, a network between them, an internet.
//!
//! ```text
//!                   internet: 192.0.2.10, 2001:db8:ffff::10
//!                    |                                  |
//!     198.51.100.0/30, 2001:db8:1::/64   198.51.100.4/30, 2001:db8:2::/64
//!                    | uplink                           | uplink
//!                  host1 -------- fd00:fab::/64 ------ host2
//!                         fabric            fabric
//! ```

use std::net::IpAddr;

use anyhow::{Result, ensure};
use guestnet_lab::{Netns, ping};

/// The internet's server.
pub const SERVER_IPV4: &str = "192.0.2.10";
/// The internet's server.
pub const SERVER_IPV6: &str = "2001:db8:ffff::10";

/// One of the two hosts.
pub struct Host {
    /// Its namespace.
    pub netns: Netns,
    /// 1 or 2.
    pub number: u8,
}

/// The lab.
pub struct Topology {
    /// Both hosts.
    pub hosts: [Host; 2],
    /// The router between them and the rest, and the rest.
    pub internet: Netns,
}

impl Topology {
    /// Makes namespaces, links, addresses and routes.
    pub fn build() -> Result<Self> {
        let internet = Netns::make("internet")?;
        let hosts = [
            Host { netns: Netns::make("host1")?, number: 1 },
            Host { netns: Netns::make("host2")?, number: 2 },
        ];
        for netns in [&internet, &hosts[0].netns, &hosts[1].netns] {
            netns.skip_dad()?;
            netns.set_sysctl("net/ipv4/ip_forward", "1")?;
            netns.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        internet.ip(&format!("address add {SERVER_IPV4}/32 dev lo"))?;
        internet.ip(&format!("address add {SERVER_IPV6}/128 dev lo"))?;
        for host in &hosts {
            host.connect_uplink(&internet)?;
        }
        let [host1, host2] = &hosts;
        host1.netns.ip("link add fabric type veth peer name fabric netns host2")?;
        for (host, peer) in [(host1, host2), (host2, host1)] {
            host.connect_fabric(peer)?;
        }
        Ok(Self { hosts, internet })
    }

    /// That packets can go where they should, and that the network between the hosts knows no IPv4.
    pub fn check(&self) -> Result<String> {
        for host in &self.hosts {
            for server in [SERVER_IPV4, SERVER_IPV6] {
                ping(&host.netns, None, server.parse::<IpAddr>()?)?;
            }
            ping(&self.internet, None, host.uplink_ipv4().parse()?)?;
            let peer = 3 - host.number;
            ping(&host.netns, None, format!("fd00:fab::{peer}").parse()?)?;
            let ipv4 = host.netns.ip("-4 -brief address show dev fabric")?;
            ensure!(ipv4.is_empty(), "the fabric has an IPv4 address: {ipv4}");
        }
        Ok(format!("host1 and host2 reach each other, {SERVER_IPV4} and {SERVER_IPV6}"))
    }
}

impl Host {
    /// Its own address on the uplink. The internet's end is the one before.
    pub fn uplink_ipv4(&self) -> String {
        format!("198.51.100.{}", 4 * self.number - 2)
    }

    fn connect_uplink(&self, internet: &Netns) -> Result<()> {
        let (n, name) = (self.number, self.netns.name());
        let (near, far) = (self.uplink_ipv4(), 4 * n - 3);
        internet.ip(&format!("link add {name} type veth peer name uplink netns {name}"))?;
        internet.ip(&format!("address add 198.51.100.{far}/30 dev {name}"))?;
        internet.ip(&format!("address add 2001:db8:{n}::1/64 dev {name}"))?;
        internet.ip(&format!("link set {name} up"))?;
        self.netns.ip(&format!("address add {near}/30 dev uplink"))?;
        self.netns.ip(&format!("address add 2001:db8:{n}::2/64 dev uplink"))?;
        self.netns.ip("link set uplink up")?;
        self.netns.ip(&format!("route add default via 198.51.100.{far}"))?;
        self.netns.ip(&format!("-6 route add default via 2001:db8:{n}::1"))?;
        Ok(())
    }

    /// The other host's addresses are reached over the network between the two, not over the internet.
    fn connect_fabric(&self, peer: &Self) -> Result<()> {
        self.netns.ip(&format!("address add fd00:fab::{}/64 dev fabric", self.number))?;
        self.netns.ip("link set fabric up")?;
        self.netns.ip(&format!("-6 route add 2001:db8:{n}::/64 via fd00:fab::{n}", n = peer.number))?;
        Ok(())
    }
}
