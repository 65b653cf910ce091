//! dnsmasq: DHCPv4, DHCPv6, router advertisements and, where wanted, DNS for guests.
//!
//! Written for dnsmasq 2.81 and later; see dnsmasq(8) for what each line does. Start it with `--conf-file=FILE` in
//! the namespace of the interfaces; it reads the file at its start only, so a change needs a restart.

mod check;
mod guest;
mod host;
mod number;
mod option;
mod range;

use std::fmt;
use std::net::IpAddr;

use guestnet_core::{File, FilePath, Path, Problems};
use serde::{Deserialize, Serialize};

pub use guest::{Addressing, Dhcpv6, Guest, STAND_IN};
pub use host::Host;
pub use option::{ClasslessRoute, DhcpOption, OptionValue, RawValue};
pub use range::{RaMode, Range4, Range6, SharedNetwork, SharedNetwork6};

use crate::value::{AbsolutePath, DomainName, Interface, UserName};

/// One dnsmasq: which interfaces it serves, and what their guests get.
///
/// The lines of its file come in the order of the fields here, and in lists as the lists have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsmasqSpec {
    /// DNS; left out: none (`port=0`), only DHCP and router advertisements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// How it listens.
    pub bind: Bind,
    /// The interfaces it serves (`interface`), and no others.
    pub interfaces: Vec<Interface>,
    /// The user it becomes (`user`); left out: `nobody`, or whatever it was built with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// The group it becomes (`group`); left out: `dip`, or whatever it was built with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<UserName>,
    /// Where it writes its process number (`pid-file`); left out: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<AbsolutePath>,
    /// Where it keeps its leases over a restart (`dhcp-leasefile`); left out: nowhere (`leasefile-ro`), which suits
    /// guests whose addresses do not depend on who comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_file: Option<AbsolutePath>,
    /// The domain of the guests (`domain`), sent to them as option 15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainName>,
    /// It is the only DHCP server there, so it may refuse and take over leases that it does not know
    /// (`dhcp-authoritative`). True unless said otherwise.
    pub authoritative: bool,
    /// Advertise routers where there are IPv6 ranges (`enable-ra`). True unless said otherwise: without, a guest
    /// with DHCPv6 has no default route.
    pub enable_ra: bool,
    /// How routers are advertised (`ra-param`), for interfaces that differ from dnsmasq's defaults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub router_advertisements: Vec<RouterAdvertisement>,
    /// IPv4 addresses (`dhcp-range`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges4: Vec<Range4>,
    /// IPv6 addresses and prefixes (`dhcp-range`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges6: Vec<Range6>,
    /// Ranges in no subnet of an interface (`shared-network`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_networks: Vec<SharedNetwork>,
    /// IPv6 ranges in no prefix of an interface (`shared-network`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_networks6: Vec<SharedNetwork6>,
    /// Hosts known by their MAC addresses (`dhcp-host`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// What guests are told beside their addresses (`dhcp-option`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<DhcpOption>,
}

impl Default for DnsmasqSpec {
    fn default() -> Self {
        Self {
            dns: None,
            bind: Bind::default(),
            interfaces: Vec::new(),
            user: None,
            group: None,
            pid_file: None,
            lease_file: None,
            domain: None,
            authoritative: true,
            enable_ra: true,
            router_advertisements: Vec::new(),
            ranges4: Vec::new(),
            ranges6: Vec::new(),
            shared_networks: Vec::new(),
            shared_networks6: Vec::new(),
            hosts: Vec::new(),
            options: Vec::new(),
        }
    }
}

/// How it listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bind {
    /// On the addresses of the interfaces, also of those that come later (`bind-dynamic`).
    #[default]
    Dynamic,
    /// On the addresses that there are at its start, and it fails without (`bind-interfaces`).
    Interfaces,
}

/// DNS for the guests. The machine's `/etc/hosts` is not told them (`no-hosts`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The servers that are asked (`server`).
    #[serde(default)]
    pub upstream: Vec<IpAddr>,
    /// Ask those in the machine's `/etc/resolv.conf` too; otherwise `no-resolv`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub resolv_conf: bool,
}

/// How a router is advertised on an interface (RFC 4861, section 6.2.1): `ra-param`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterAdvertisement {
    /// On which interface.
    pub interface: Interface,
    /// The MTU that is announced, 1280 to 65535 bytes. Left out: that of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Seconds between unsolicited advertisements, 4 to 1800. Left out: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u16>,
    /// Seconds for which it is a default router: 0 (it is none), or from the interval to 9000. Left out: three
    /// intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u16>,
}

impl RouterAdvertisement {
    /// With dnsmasq's defaults.
    pub fn new(interface: Interface) -> Self {
        Self { interface, mtu: None, interval: None, lifetime: None }
    }

    const INTERVAL: u16 = 600;
}

impl fmt::Display for RouterAdvertisement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ra-param={}", self.interface)?;
        if let Some(mtu) = self.mtu {
            write!(f, ",mtu:{mtu}")?;
        }
        write!(f, ",{}", self.interval.unwrap_or(Self::INTERVAL))?;
        self.lifetime.map_or(Ok(()), |lifetime| write!(f, ",{lifetime}"))
    }
}

impl DnsmasqSpec {
    /// One that serves `interfaces` and hands out nothing yet.
    pub fn new(interfaces: impl IntoIterator<Item = Interface>) -> Self {
        Self { interfaces: interfaces.into_iter().collect(), ..Self::default() }
    }

    /// With a range of IPv4 addresses.
    #[must_use]
    pub fn range4(mut self, range: Range4) -> Self {
        self.ranges4.push(range);
        self
    }

    /// With a range of IPv6 addresses.
    #[must_use]
    pub fn range6(mut self, range: Range6) -> Self {
        self.ranges6.push(range);
        self
    }

    /// With an option for all who ask.
    #[must_use]
    pub fn option(mut self, value: OptionValue) -> Self {
        self.options.push(DhcpOption::new(value));
        self
    }

    /// With a host.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    /// Notes everything that is wrong: what dnsmasq would refuse, and what it would take and not do.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        check::check(self, path, problems);
    }

    /// The file at `path`. It holds no secret and may be read by everyone.
    pub fn to_file(&self, path: FilePath) -> File {
        File::new(path, self.to_string())
    }

    /// How many leases there may be, where dnsmasq's own limit of 1000 is too low for the ranges. The limit guards
    /// its memory against clients with many identities, so it is no higher than a million.
    fn lease_max(&self) -> Option<u64> {
        let sizes = self.ranges4.iter().map(Range4::size).chain(self.ranges6.iter().map(Range6::size));
        let all = sizes.fold(0_u64, u64::saturating_add);
        (all > 1000).then_some(all.min(1_000_000))
    }
}

/// A line of the file, if there is something to say.
fn line(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(f, "{name}{value}"))
}

/// Lines of the file, each of which says by itself what it is.
fn each(f: &mut fmt::Formatter<'_>, lines: &[impl fmt::Display]) -> fmt::Result {
    lines.iter().try_for_each(|line| writeln!(f, "{line}"))
}

/// The text of the file.
impl fmt::Display for DnsmasqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dns {
            None => f.write_str("port=0\n")?,
            Some(dns) => {
                f.write_str(if dns.resolv_conf { "" } else { "no-resolv\n" })?;
                f.write_str("no-hosts\n")?;
                dns.upstream.iter().try_for_each(|server| writeln!(f, "server={server}"))?;
            }
        }
        f.write_str(match self.bind {
            Bind::Dynamic => "bind-dynamic\n",
            Bind::Interfaces => "bind-interfaces\n",
        })?;
        // dnsmasq serves the loopback interface unless told otherwise.
        f.write_str("except-interface=lo\n")?;
        self.interfaces.iter().try_for_each(|interface| line(f, "interface=", Some(interface)))?;
        line(f, "user=", self.user.as_ref())?;
        line(f, "group=", self.group.as_ref())?;
        // Empty it means none; without the line there would be one for all of the machine.
        writeln!(f, "pid-file={}", self.pid_file.as_ref().map_or("", |path| path.as_str()))?;
        match &self.lease_file {
            Some(path) => writeln!(f, "dhcp-leasefile={path}")?,
            None => f.write_str("leasefile-ro\n")?,
        }
        line(f, "dhcp-lease-max=", self.lease_max().as_ref())?;
        line(f, "domain=", self.domain.as_ref())?;
        f.write_str(if self.authoritative { "dhcp-authoritative\n" } else { "" })?;
        f.write_str(if self.enable_ra && !self.ranges6.is_empty() { "enable-ra\n" } else { "" })?;
        each(f, &self.router_advertisements)?;
        each(f, &self.ranges4)?;
        each(f, &self.ranges6)?;
        each(f, &self.shared_networks)?;
        each(f, &self.shared_networks6)?;
        each(f, &self.hosts)?;
        each(f, &self.options)
    }
}
