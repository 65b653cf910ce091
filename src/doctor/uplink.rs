//! The interface to the outside.

use guestnet_core::LinkName;

use super::case::Case;
use super::{Finding, Severity};

/// What a transit pair has that says nothing else.
const ETHERNET: u32 = 1500;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let Some(uplink) = case.uplink() else { return };
    let there = case.links();
    if !there.iter().any(|name| name == uplink.as_str()) {
        findings.push(Finding::new(
            Severity::Error,
            "no-uplink",
            format!("the uplink {uplink} is not there"),
            "neighbours cannot be proxied on it",
            format!("make it first, or correct \"uplink\"; there are: {}", there.join(", ")),
        ));
        return;
    }
    reverse_path(case, uplink, findings);
    announced_route(case, uplink, findings);
    mtu(case, uplink, findings);
}

/// The larger of both counts (Documentation/networking/ip-sysctl.rst).
fn reverse_path(case: &Case<'_>, uplink: &LinkName, findings: &mut Vec<Finding>) {
    let keys = ["all", uplink.as_str()].map(|conf| format!("net/ipv4/conf/{conf}/rp_filter"));
    let values = keys.clone().map(|key| case.future(&key).unwrap_or(0));
    if values.iter().max() != Some(&1) {
        return;
    }
    let strict: Vec<&String> =
        keys.iter().zip(values).filter(|(_, value)| *value == 1).map(|(key, _)| key).collect();
    for key in strict {
        findings.push(Finding::new(
            Severity::Note,
            "strict-reverse-path",
            format!("{key} is 1"),
            format!(
                "packets that come in on {uplink} are dropped unless the way back to their source leads there"
            ),
            format!("with several uplinks, or another way out than in: `sysctl -w {key}=2`"),
        ));
    }
}

/// A host that forwards takes no default route from router advertisements unless `accept_ra` is 2.
fn announced_route(case: &Case<'_>, uplink: &LinkName, findings: &mut Vec<Finding>) {
    let forwards = case.future("net/ipv6/conf/all/forwarding") == Some(1);
    let key = format!("net/ipv6/conf/{uplink}/accept_ra");
    if !forwards || case.future(&key) == Some(2) || !has_announced_route(case, uplink) {
        return;
    }
    findings.push(Finding::new(
        Severity::Error,
        "announced-default-route",
        format!("the IPv6 default route on {uplink} comes from router advertisements, and {key} is not 2"),
        "guests make the host a router, and a router takes none: the host loses its way out over IPv6",
        format!(r#"put {{"key": "{key}", "value": "2"}} among the sysctls of objects.host"#),
    ));
}

/// Flags of `/proc/net/ipv6_route` (linux/ipv6_route.h).
const RTF_DEFAULT: u32 = 0x0001_0000;
const RTF_ADDRCONF: u32 = 0x0004_0000;

fn has_announced_route(case: &Case<'_>, uplink: &LinkName) -> bool {
    let routes = case.read("thread-self/net/ipv6_route").unwrap_or_default();
    routes.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, length, _, _, _, _, _, _, flags, link] = fields[..] else { return false };
        let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
        length == "00"
            && link == uplink.as_str()
            && flags & (RTF_DEFAULT | RTF_ADDRCONF) == RTF_DEFAULT | RTF_ADDRCONF
    })
}

fn mtu(case: &Case<'_>, uplink: &LinkName, findings: &mut Vec<Finding>) {
    let Some(mtu) =
        case.number(&format!("net/ipv6/conf/{uplink}/mtu")).and_then(|mtu| u32::try_from(mtu).ok())
    else {
        return;
    };
    let larger =
        |guest: &&crate::spec::Guest| !guest.is_on_host() && guest.transit.mtu.unwrap_or(ETHERNET) > mtu;
    let guests: Vec<&crate::spec::Guest> = case.guests().iter().filter(larger).collect();
    let Some(first) = guests.first() else { return };
    let inner = guests.iter().flat_map(|guest| &guest.tunnels).map(|tunnel| tunnel.inner_mtu(mtu)).min();
    let tunnels = inner.map_or(String::new(), |inner| format!("; their tunnels carry {inner} bytes"));
    findings.push(Finding::new(
        Severity::Warning,
        "small-uplink-mtu",
        format!(
            "{uplink} carries {mtu} bytes, the transit links of {} guests carry more ({})",
            guests.len(),
            first.name
        ),
        format!(
            "every large packet has to be refused first, and where ICMP is lost it just disappears{tunnels}"
        ),
        format!(r#"say "transit": {{"mtu": {mtu}}} of the guests, or raise the MTU of {uplink}"#),
    ));
}
