//! A small internet, a host that translates, and its guests.
//!
//! ```text
//! near ----+                                      +-- (tap) -- a
//!          isp ------------------------- router --+-- 1400 --- b
//! far -1300+                                      +----------- inner -- 1350 -- c
//! ```
#![allow(dead_code)]

mod apply;
pub mod errors;

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use guestnet_lab::{Capability, Guest, Netns, need};
use guestnet_nat::{Mode, NatSpec, Pair};

pub use apply::apply;

/// How the pairs of a spec look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// One address each.
    Addresses,
    /// Prefixes that end with a byte, and some that do not.
    Prefixes,
}

/// An Internet protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Family {
    V4,
    V6,
}

pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
pub const GUESTS: [usize; 3] = [1, 2, 3];
pub const SHAPES: [Shape; 2] = [Shape::Addresses, Shape::Prefixes];

/// The lab. Guest 1 is `a`, on a tap, so that every checksum is written and looked at.
pub struct Lab {
    pub near: Netns,
    pub far: Netns,
    pub isp: Netns,
    pub router: Netns,
    pub inner: Netns,
    a: Guest,
    b: Netns,
    c: Netns,
    pub shape: Shape,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A link between two namespaces, with addresses of `10.N.0` and `fd00:N::`-like networks: `.1` and `::1` on the left.
fn link(left: (&Netns, &str), right: (&Netns, &str), net4: &str, net6: &str, mtu: u16) -> Result<()> {
    let (far, name) = (right.0.name(), right.1);
    left.0.ip(&format!("link add {} mtu {mtu} type veth peer name {name} mtu {mtu} netns {far}", left.1))?;
    for ((netns, device), host) in [(left, 1), (right, 2)] {
        netns.ip(&format!("address add {net4}.{host}/24 dev {device}"))?;
        netns.ip(&format!("address add {net6}::{host}/64 dev {device} nodad"))?;
        netns.ip(&format!("link set {device} up"))?;
    }
    Ok(())
}

fn default_route(netns: &Netns, net4: &str, net6: &str, host: u8) -> Result<()> {
    netns.ip(&format!("route add default via {net4}.{host}"))?;
    netns.ip(&format!("-6 route add default via {net6}::{host}")).map(drop)
}

fn forward(netns: &Netns) -> Result<()> {
    netns.set_sysctl("net/ipv4/ip_forward", "1")?;
    netns.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
    // Every error is wanted, also the fifth in a second.
    netns.set_sysctl("net/ipv4/icmp_ratelimit", "0")?;
    netns.set_sysctl("net/ipv6/icmp/ratelimit", "0")
}

impl Lab {
    pub fn build(mode: Mode, shape: Shape) -> Result<Self> {
        need(Capability::Conntrack);
        let lab = Self::wire(shape)?;
        lab.translate(mode)?;
        Ok(lab)
    }

    /// The lab, and nothing is translated yet.
    pub fn wire(shape: Shape) -> Result<Self> {
        need(Capability::Tap);
        let make = |name| -> Result<Netns> {
            let netns = Netns::make(name)?;
            netns.skip_dad()?;
            forward(&netns)?;
            Ok(netns)
        };
        let (near, far, isp, router) = (make("near")?, make("far")?, make("isp")?, make("router")?);
        let (inner, b, c) = (make("inner")?, make("b")?, make("c")?);
        link((&isp, "near"), (&near, "eth0"), "198.51.100", "2001:db8:100", 1500)?;
        link((&isp, "far"), (&far, "eth0"), "198.51.101", "2001:db8:101", 1300)?;
        link((&isp, "host"), (&router, "uplink"), "192.0.2", "2001:db8:200", 1500)?;
        router.ip("tuntap add tapa mode tap")?;
        router.ip("address add 10.0.1.1/24 dev tapa")?;
        router.ip("address add fd00:1::1/64 dev tapa nodad")?;
        router.ip("link set tapa up")?;
        let a = Guest::plug("a", &router, "tapa", None)?;
        a.netns().ip("address add 10.0.1.2/24 dev eth0")?;
        a.netns().ip("address add fd00:1::2/64 dev eth0 nodad")?;
        default_route(a.netns(), "10.0.1", "fd00:1", 1)?;
        link((&router, "vethb"), (&b, "eth0"), "10.0.2", "fd00:2", 1400)?;
        default_route(&b, "10.0.2", "fd00:2", 1)?;
        link((&router, "vethi"), (&inner, "eth0"), "10.9.0", "fd00:9", 1500)?;
        default_route(&inner, "10.9.0", "fd00:9", 1)?;
        link((&inner, "vethc"), (&c, "eth0"), "10.0.3", "fd00:3", 1350)?;
        default_route(&c, "10.0.3", "fd00:3", 1)?;
        router.ip("route add 10.0.3.0/24 via 10.9.0.2")?;
        router.ip("-6 route add fd00:3::/64 via fd00:9::2")?;
        default_route(&router, "192.0.2", "2001:db8:200", 1)?;
        default_route(&near, "198.51.100", "2001:db8:100", 1)?;
        default_route(&far, "198.51.101", "2001:db8:101", 1)?;
        for net in ["203.0.113.0/24", "198.18.0.0/16", "10.0.0.0/16"] {
            isp.ip(&format!("route add {net} via 192.0.2.2"))?;
        }
        for net in ["2001:db8:300::/40", "fd00::/16"] {
            isp.ip(&format!("-6 route add {net} via 2001:db8:200::2"))?;
        }
        // The other end of what would be a tunnel: it knows private addresses.
        isp.ip("address add 192.168.9.1/32 dev lo")?;
        isp.ip("address add fdff:9::1/128 dev lo")?;
        Ok(Self { near, far, isp, router, inner, a, b, c, shape })
    }

    pub fn translate(&self, mode: Mode) -> Result<()> {
        let spec = self.spec(mode);
        for sysctl in spec.sysctls() {
            self.router.set_sysctl(&sysctl.key.to_string(), &sysctl.value.to_string())?;
        }
        self.router.run(|| apply(&spec))
    }

    pub fn spec(&self, mode: Mode) -> NatSpec {
        let pair = |(public, private): (&str, &str)| Pair {
            public: public.parse().expect("a prefix"),
            private: private.parse().expect("a prefix"),
        };
        let addresses = [
            ("203.0.113.1/32", "10.0.1.2/32"),
            ("203.0.113.2/32", "10.0.2.2/32"),
            ("203.0.113.3/32", "10.0.3.2/32"),
            ("2001:db8:300::1/128", "fd00:1::2/128"),
            ("2001:db8:300::2/128", "fd00:2::2/128"),
            ("2001:db8:300::3/128", "fd00:3::2/128"),
        ];
        let prefixes = [
            ("198.18.1.0/24", "10.0.1.0/24"),
            ("198.18.2.0/28", "10.0.2.0/28"),
            ("198.18.3.0/30", "10.0.3.0/30"),
            ("2001:db8:301::/64", "fd00:1::/64"),
            ("2001:db8:302::/60", "fd00:2::/60"),
            ("2001:db8:303::/72", "fd00:3::/72"),
        ];
        let pairs = if self.shape == Shape::Addresses { addresses } else { prefixes };
        let untranslated = ["192.168.0.0/16", "192.168.9.0/24", "fdff::/16"];
        NatSpec {
            mode,
            untranslated: untranslated.map(|net| net.parse().expect("a prefix")).to_vec(),
            pairs: pairs.map(pair).to_vec(),
        }
    }

    pub fn guest(&self, n: usize) -> &Netns {
        [self.a.netns(), &self.b, &self.c][n - 1]
    }

    pub fn public(&self, n: usize, family: Family) -> IpAddr {
        ip(&match (self.shape, family) {
            (Shape::Addresses, Family::V4) => format!("203.0.113.{n}"),
            (Shape::Addresses, Family::V6) => format!("2001:db8:300::{n}"),
            (Shape::Prefixes, Family::V4) => format!("198.18.{n}.2"),
            (Shape::Prefixes, Family::V6) => format!("2001:db8:30{n}::2"),
        })
    }

    /// How often any of the namespaces was given a packet with a bad checksum.
    pub fn bad_checksums(&self) -> Result<u64> {
        let all = [&self.near, &self.far, &self.isp, &self.router, &self.inner];
        let guests = GUESTS.map(|n| self.guest(n));
        all.into_iter().chain(guests).map(errors::bad_checksums).sum()
    }
}

pub fn private(n: usize, family: Family) -> IpAddr {
    ip(&match family {
        Family::V4 => format!("10.0.{n}.2"),
        Family::V6 => format!("fd00:{n}::2"),
    })
}

impl Family {
    fn either(self, v4: &str, v6: &str) -> IpAddr {
        ip(if self == Self::V4 { v4 } else { v6 })
    }

    pub fn near(self) -> IpAddr {
        self.either("198.51.100.2", "2001:db8:100::2")
    }

    pub fn far(self) -> IpAddr {
        self.either("198.51.101.2", "2001:db8:101::2")
    }

    /// Behind what would be a tunnel.
    pub fn peer(self) -> IpAddr {
        self.either("192.168.9.1", "fdff:9::1")
    }

    /// An address of the translating namespace itself.
    pub fn router(self) -> IpAddr {
        self.either("192.0.2.2", "2001:db8:200::2")
    }

    /// Every address of a namespace, with a port.
    pub fn any(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.either("0.0.0.0", "::"), port)
    }
}
