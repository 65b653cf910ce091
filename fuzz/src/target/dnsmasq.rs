//! Values that go into files of dnsmasq.

use guestnet::core::{Path, Problems};
use guestnet::dhcpconf::DnsmasqSpec;

use crate::{memory, property};

/// What a line can begin with.
const DIRECTIVES: &[&str] = &[
    "authoritative",
    "bind-dynamic",
    "bind-interfaces",
    "dhcp-authoritative",
    "dhcp-host=",
    "dhcp-lease-max=",
    "dhcp-leasefile=",
    "dhcp-option-force=",
    "dhcp-option=",
    "dhcp-range=",
    "domain=",
    "enable-ra",
    "except-interface=lo",
    "group=",
    "interface=",
    "leasefile-ro",
    "no-hosts",
    "no-resolv",
    "pid-file=",
    "port=0",
    "ra-param=",
    "server=",
    "shared-network=",
    "user=",
];

/// How many lines there are whatever the values: each object of a list is one.
fn lines(spec: &DnsmasqSpec) -> usize {
    let dns = spec.dns.as_ref().map_or(1, |dns| 1 + usize::from(!dns.resolv_conf) + dns.upstream.len());
    let optional = [
        spec.user.is_some(),
        spec.group.is_some(),
        spec.domain.is_some(),
        spec.authoritative,
        spec.enable_ra && !spec.ranges6.is_empty(),
    ];
    let lists = [
        spec.interfaces.len(),
        spec.router_advertisements.len(),
        spec.ranges4.len(),
        spec.ranges6.len(),
        spec.shared_networks.len(),
        spec.shared_networks6.len(),
        spec.hosts.len(),
        spec.options.len(),
    ];
    // bind-…, except-interface, pid-file and the file of leases are always there.
    dns + 4 + optional.into_iter().filter(|there| *there).count() + lists.into_iter().sum::<usize>()
}

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(spec) = memory::in_proportion(text.len(), || serde_json::from_str::<DnsmasqSpec>(text)) else {
        return;
    };
    let mut problems = Problems::new();
    spec.check(&Path::root(), &mut problems);
    problems.iter().for_each(|problem| property::is_plain(&problem.to_string()));
    // Also of a spec with problems: what a value is does not depend on whether the whole is right.
    let file = spec.to_string();
    assert!(file.ends_with('\n'));
    let own = |line: &&str| !line.starts_with("dhcp-lease-max=");
    assert_eq!(file.lines().filter(own).count(), lines(&spec), "{file}");
    for line in file.lines() {
        assert!(DIRECTIVES.iter().any(|directive| line.starts_with(directive)), "{line:?}");
        let outside = |c: char| !c.is_ascii_graphic() || "#\"'\\".contains(c);
        assert!(!line.contains(outside), "{line:?}");
        assert!(!problems.is_empty() || line.len() < 1024, "dnsmasq reads no line so long: {line:?}");
    }
    let printed = serde_json::to_string(&spec).unwrap_or_else(|e| panic!("it cannot be printed: {e}"));
    let again: DnsmasqSpec = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
    assert_eq!(again, spec);
}
