//! What is there before guestnet comes, because guestnet does not make it: cables between machines, and an internet.
//!
//! ```text
//!                  far: 192.0.2.20, 2001:db8:ffff::20
//!                    | MTU 1300
//!                  internet: 192.0.2.10, 2001:db8:ffff::10
//!                    |                                  |
//!     198.51.100.0/30, 2001:db8:1::/64   198.51.100.4/30, 2001:db8:2::/64
//!                    | uplink                           | uplink
//!                  host1 -------- fd00:fab::/64 ------ host2
//!                         fabric            fabric
//! ```
//!
//! The hosts' own addresses and routes are guestnet's; see `examples/`.

use anyhow::Result;
use guestnet_lab::Netns;

/// The internet's server.
pub const SERVER_IPV4: &str = "192.0.2.10";
/// The internet's server.
pub const SERVER_IPV6: &str = "2001:db8:ffff::10";
/// A server behind a link with a small MTU.
pub const FAR_IPV4: &str = "192.0.2.20";
/// A server behind a link with a small MTU.
pub const FAR_IPV6: &str = "2001:db8:ffff::20";
/// That MTU.
pub const FAR_MTU: u16 = 1300;

/// The lab.
pub struct Topology {
    /// Both hosts.
    pub hosts: [Netns; 2],
    /// The router between them and the rest, and the rest.
    pub internet: Netns,
    _far: Netns,
}

impl Topology {
    /// Makes namespaces, links, and the internet's addresses and routes.
    pub fn build() -> Result<Self> {
        let internet = Netns::make("internet")?;
        let far = Netns::make("far")?;
        let hosts = [Netns::make("host1")?, Netns::make("host2")?];
        for netns in [&internet, &far, &hosts[0], &hosts[1]] {
            netns.skip_dad()?;
        }
        internet.set_sysctl("net/ipv4/ip_forward", "1")?;
        internet.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
        internet.ip(&format!("address add {SERVER_IPV4}/32 dev lo"))?;
        internet.ip(&format!("address add {SERVER_IPV6}/128 dev lo"))?;
        connect_far(&internet, &far)?;
        for (host, n) in hosts.iter().zip(1..) {
            connect_uplink(&internet, host, n)?;
        }
        hosts[0].ip("link add fabric type veth peer name fabric netns host2")?;
        for host in &hosts {
            host.ip("link set fabric up")?;
        }
        Ok(Self { hosts, internet, _far: far })
    }
}

fn connect_far(internet: &Netns, far: &Netns) -> Result<()> {
    internet.ip("link add far type veth peer name internet netns far")?;
    internet.ip(&format!("link set far mtu {FAR_MTU} up"))?;
    far.ip(&format!("link set internet mtu {FAR_MTU} up"))?;
    internet.ip("address add 192.0.2.17/28 dev far")?;
    internet.ip("address add 2001:db8:ffff::11/124 dev far")?;
    far.ip(&format!("address add {FAR_IPV4}/28 dev internet"))?;
    far.ip("address add 2001:db8:ffff::12/124 dev internet")?;
    far.ip(&format!("address add {FAR_IPV6}/128 dev lo"))?;
    far.ip("route add default via 192.0.2.17")?;
    far.ip("-6 route add default via 2001:db8:ffff::11")?;
    internet.ip(&format!("-6 route add {FAR_IPV6} via 2001:db8:ffff::12"))?;
    Ok(())
}

fn connect_uplink(internet: &Netns, host: &Netns, n: u8) -> Result<()> {
    let (name, near, far) = (host.name(), 4 * n - 2, 4 * n - 3);
    internet.ip(&format!("link add {name} type veth peer name uplink netns {name}"))?;
    internet.ip(&format!("address add 198.51.100.{far}/30 dev {name}"))?;
    internet.ip(&format!("address add 2001:db8:{n}::1/64 dev {name}"))?;
    internet.ip(&format!("link set {name} up"))?;
    host.ip("link set uplink up")?;
    // The guests' public addresses are behind their host.
    internet.ip(&format!("route add 203.0.113.{}/28 via 198.51.100.{near}", 16 * n))?;
    internet.ip(&format!("-6 route add 2001:db8:{n}::/48 via 2001:db8:{n}::2"))?;
    Ok(())
}
