//! The `ip`, `sysctl` and `nft` lines that would make what a spec asks for, to be read by people who know those.
//! Secrets are hidden, so the lines are for review and not for a shell.

use std::fmt::Write as _;

use guestnet_core::{LinkKind, Netns, RouteKind};

use crate::objects::{NamespaceObjects, Objects};

/// Renders `objects` line by line.
pub fn render(objects: &Objects) -> String {
    let mut out = String::new();
    // Pairs reach from one namespace into another, so all of them come first.
    for name in objects.namespaces.keys() {
        let _ = writeln!(out, "ip netns add {name}");
    }
    for (netns, objects) in objects.iter() {
        namespace(&netns, objects, &mut out);
    }
    for file in &objects.files {
        let _ = writeln!(out, "# file {}, mode {}:", file.path, file.mode);
        for line in file.content.lines() {
            let _ = writeln!(out, "#   {line}");
        }
    }
    out
}

fn namespace(netns: &Netns, objects: &NamespaceObjects, out: &mut String) {
    let (ip, inside) = match netns {
        Netns::Host => ("ip".to_owned(), String::new()),
        Netns::Named(name) => (format!("ip -n {name}"), format!("ip netns exec {name} ")),
    };
    let mut say = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    for table in &objects.tables {
        say(format!("{inside}nft -f - <<'END'\n{}\nEND", table.to_nft().trim_end()));
    }
    for link in &objects.links {
        let name = &link.name;
        match &link.kind {
            LinkKind::Tap(_) => say(format!("{ip} tuntap add dev {name} mode {}", link.kind)),
            LinkKind::Veth(peer) if (netns, name) > (&peer.netns(), &peer.peer) => {}
            LinkKind::Veth(peer) => {
                let there = peer.namespace.as_ref().map(|n| format!(" netns {n}")).unwrap_or_default();
                say(format!("{ip} link add {name} type veth peer name {}{there}", peer.peer));
            }
            kind => say(format!("{ip} link add {name} type {kind}")),
        }
        let mut set = String::new();
        if let Some(mtu) = link.mtu {
            let _ = write!(set, " mtu {mtu}");
        }
        if let Some(mac) = link.mac {
            let _ = write!(set, " address {mac}");
        }
        if let Some(bridge) = &link.bridge {
            let _ = write!(set, " master {bridge}");
        }
        if link.bridge.is_some() && !link.port.is_default() {
            // The options of a port come after it is one, and before it is up.
            say(format!("{ip} link set {name}{set} down"));
            set = format!(" type bridge_slave{}", link.port);
            say(format!("{ip} link set {name}{set}"));
            set.clear();
        }
        say(format!("{ip} link set {name}{set} {}", if link.up { "up" } else { "down" }));
    }
    for sysctl in &objects.sysctls {
        say(format!("{inside}sysctl -w {sysctl}"));
    }
    for state in &objects.states {
        say(in_namespace(&state.to_ip(), &ip));
    }
    for threshold in &objects.thresholds {
        say(format!("{ip} xfrm policy set {threshold}"));
    }
    for policy in &objects.policies {
        say(in_namespace(&policy.to_ip(), &ip));
    }
    for address in &objects.addresses {
        say(format!("{ip} address add {address}"));
    }
    for route in &objects.routes {
        let kind = if route.kind == RouteKind::Unicast && route.to.addr().is_ipv6() { "-6 " } else { "" };
        say(format!("{ip} {kind}route add {route}"));
    }
    for neighbour in &objects.neighbours {
        say(format!("{ip} neighbour add proxy {neighbour}"));
    }
}

/// The line `ip …` for another namespace.
fn in_namespace(line: &str, ip: &str) -> String {
    line.strip_prefix("ip ").map_or_else(|| line.to_owned(), |rest| format!("{ip} {rest}"))
}
