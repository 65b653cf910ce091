//! The guests, as their examples describe them: virtual machines on their taps, with the DHCP server beside them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet_lab::{Daemon, Guest, Netns, dhcp, dnsmasq, wait_until};

use super::command;

/// A guest of the examples.
pub struct Member {
    /// Its name, and that of its namespace.
    pub name: &'static str,
    /// The MAC address of its network card.
    pub mac: &'static str,
    /// Its public IPv4 address.
    pub public_ipv4: Ipv4Addr,
    /// Its private IPv4 address.
    pub private_ipv4: Ipv4Addr,
    /// How its private IPv6 addresses start.
    private_ipv6: &'static str,
    /// How its public IPv6 addresses start.
    pub public_ipv6: &'static str,
}

const fn ip(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// The guests of host1, then those of host2.
pub const MEMBERS: [Member; 4] = [
    Member {
        name: "vm7m86kv",
        mac: "02:00:5e:00:53:01",
        public_ipv4: ip(203, 0, 113, 17),
        private_ipv4: ip(192, 168, 0, 85),
        private_ipv6: "fdfe:62d4:efc4:ef3b:",
        public_ipv6: "2001:db8:1:a1:",
    },
    Member {
        name: "vmq3x9pt",
        mac: "02:00:5e:00:53:02",
        public_ipv4: ip(203, 0, 113, 18),
        private_ipv4: ip(192, 168, 0, 86),
        private_ipv6: "fd6b:d51f:9a0c:11e2:",
        public_ipv6: "2001:db8:1:b1:",
    },
    Member {
        name: "vmc0f7be",
        mac: "02:00:5e:00:53:03",
        public_ipv4: ip(203, 0, 113, 33),
        private_ipv4: ip(192, 168, 0, 127),
        private_ipv6: "fdc9:3955:7bf:873c:",
        public_ipv6: "2001:db8:2:a1:",
    },
    Member {
        name: "vmz5d2hn",
        mac: "02:00:5e:00:53:04",
        public_ipv4: ip(203, 0, 113, 34),
        private_ipv4: ip(192, 168, 0, 128),
        private_ipv6: "fd31:e0aa:4c7d:905b:",
        public_ipv6: "2001:db8:2:b1:",
    },
];

/// A running guest.
pub struct Running {
    /// Who it is.
    pub member: &'static Member,
    /// The machine.
    pub guest: Guest,
    /// The namespace that guestnet made for it on the host.
    pub netns: Netns,
    _dnsmasq: Daemon,
}

impl Running {
    /// Starts dnsmasq with the file that guestnet wrote, and the guest on the tap that guestnet made.
    pub fn start(host: &Netns, member: &'static Member) -> Result<Self> {
        let netns = Netns::open(member.name)?;
        let dnsmasq = dnsmasq(&netns, &command::file(host, &format!("{}/dnsmasq.conf", member.name)))?;
        let mac = Some(member.mac.parse()?);
        let guest =
            Guest::plug(&format!("guest-{}", member.name), &netns, &format!("tap{}", member.name), mac)?;
        Ok(Self { member, guest, netns, _dnsmasq: dnsmasq })
    }

    /// Gets its addresses, as its system would; what it got.
    pub fn configure(&self) -> Result<String> {
        let lease = dhcp(self.guest.netns(), "eth0")?;
        ensure!(lease.address == self.member.private_ipv4, "the lease is for {}", lease.address);
        let ipv6 = [self.private_ipv6()?, self.public_ipv6()?];
        Ok(format!(
            "{}: {}/{} by DHCP, {} and {} by SLAAC",
            self.member.name, lease.address, lease.prefix, ipv6[0], ipv6[1]
        ))
    }

    /// The address that it made of its private prefix.
    pub fn private_ipv6(&self) -> Result<Ipv6Addr> {
        self.ipv6(self.member.private_ipv6)
    }

    /// The address that it made of its public prefix.
    pub fn public_ipv6(&self) -> Result<Ipv6Addr> {
        self.ipv6(self.member.public_ipv6)
    }

    /// Its private addresses of both families.
    pub fn private(&self) -> Result<[IpAddr; 2]> {
        Ok([self.member.private_ipv4.into(), self.private_ipv6()?.into()])
    }

    fn ipv6(&self, start: &str) -> Result<Ipv6Addr> {
        let mut found = None;
        let what = format!("{} has an address in {start}:/64", self.member.name);
        wait_until(&what, Duration::from_secs(20), || {
            let shown = self.guest.netns().ip("-6 -brief address show dev eth0 scope global -tentative");
            let shown = shown.unwrap_or_default();
            let address = shown.split_whitespace().find(|word| word.starts_with(start));
            found = address.and_then(|word| word.split('/').next()?.parse().ok());
            found.is_some()
        })?;
        found.context(what)
    }
}
