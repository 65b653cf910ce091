//! The interface to the outside.

use super::case::Case;
use super::{Finding, Severity, routes};

/// What a transit pair has that says nothing else.
const ETHERNET: u32 = 1500;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    announced_routes(case, findings);
    let (Some(said), Some(uplink)) = (case.uplink(), case.uplink_name()) else { return };
    let is_needed = case.host().is_some_and(|host| host.neighbours.iter().any(|n| n.dev == *said));
    let there = case.links();
    if !there.contains(&uplink) {
        if is_needed {
            findings.push(Finding::new(
                Severity::Error,
                "no-uplink",
                format!("the uplink {uplink} is not there"),
                "neighbours cannot be proxied on it",
                format!("make it first, or correct \"uplink\"; there are: {}", there.join(", ")),
            ));
        }
        return;
    }
    if is_needed && uplink != said.as_str() {
        findings.push(Finding::new(
            Severity::Error,
            "alternative-name",
            format!("the uplink {said} is another name of {uplink}"),
            "sysctls and neighbours are by the name alone: there is nothing called so",
            format!(r#"say "uplink": "{uplink}""#),
        ));
    }
    reverse_path(case, &uplink, findings);
    mtu(case, &uplink, findings);
}

/// The larger of both counts (Documentation/networking/ip-sysctl.rst).
fn reverse_path(case: &Case<'_>, uplink: &str, findings: &mut Vec<Finding>) {
    let keys = ["all", uplink].map(|conf| format!("net/ipv4/conf/{conf}/rp_filter"));
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

/// A host that forwards takes no default route from router advertisements unless `accept_ra` is 2: the kernel removes
/// those that it has, on whatever link, when forwarding is switched on.
fn announced_routes(case: &Case<'_>, findings: &mut Vec<Finding>) {
    if case.future("net/ipv6/conf/all/forwarding") != Some(1) {
        return;
    }
    let mut links: Vec<String> =
        routes::ipv6(case).into_iter().filter(|route| route.announced).map(|route| route.link).collect();
    links.sort();
    links.dedup();
    for link in links {
        let key = format!("net/ipv6/conf/{link}/accept_ra");
        if case.future(&key) == Some(2) {
            continue;
        }
        findings.push(Finding::new(
            Severity::Error,
            "announced-default-route",
            format!("the IPv6 default route on {link} comes from router advertisements, and {key} is not 2"),
            "guests make the host a router, and a router takes none: the host loses its way out over IPv6",
            format!(r#"put {{"key": "{key}", "value": "2"}} among the sysctls of objects.host"#),
        ));
    }
}

fn mtu(case: &Case<'_>, uplink: &str, findings: &mut Vec<Finding>) {
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
