//! The `ip`, `sysctl` and `nft` lines that would make what a spec asks for, to be read by people who know those.
//! Secrets are hidden, so the lines are for review and not for a shell.

use std::borrow::Cow;
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
    for table in &objects.tables {
        let _ = writeln!(out, "{inside}nft -f - <<'END'\n{}\nEND", table.to_nft().trim_end());
    }
    let mut say = |line: String| {
        let words: Vec<Cow<'_, str>> = line.split(' ').map(quoted).collect();
        let _ = writeln!(out, "{}", words.join(" "));
    };
    for link in &objects.links {
        let name = &link.name;
        match &link.kind {
            LinkKind::Tap(_) => say(format!("{ip} tuntap add dev {name} mode {}", link.kind)),
            LinkKind::Veth(peer) if (netns, name) > (&peer.netns(), &peer.peer) => {}
            LinkKind::Veth(peer) => {
                let there = peer.namespace.as_ref().map(|n| format!(" netns {n}")).unwrap_or_default();
                say(format!("{ip} link add name {name} type veth peer name {}{there}", peer.peer));
            }
            kind => say(format!("{ip} link add name {name} type {kind}")),
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
            say(format!("{ip} link set dev {name}{set} down"));
            set = format!(" type bridge_slave{}", link.port);
            say(format!("{ip} link set dev {name}{set}"));
            set.clear();
        }
        for line in link.settings.to_sysctl(name.as_str()) {
            say(format!("{inside}sysctl -w {line}"));
        }
        if link.settings.arp == Some(false) {
            set += " arp off";
        }
        say(format!("{ip} link set dev {name}{set} {}", if link.up { "up" } else { "down" }));
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
        // The kernel may have made a link-local one when the link came up.
        let verb = if address.is_link_local() { "replace" } else { "add" };
        say(format!("{ip} address {verb} {address}"));
    }
    for neighbour in &objects.permanent_neighbours {
        say(format!("{ip} neighbour replace {neighbour} nud permanent"));
    }
    for route in &objects.routes {
        let kind = if route.kind == RouteKind::Unicast && route.to.addr().is_ipv6() { "-6 " } else { "" };
        say(format!("{ip} {kind}route add {route}"));
    }
    for neighbour in &objects.neighbours {
        say(format!("{ip} neighbour add proxy {neighbour}"));
    }
}

/// `word`, quoted where a shell would see more in it than a word and it is not quoted yet; `ip -batch` takes the quotes too.
/// Names of links have neither blanks nor quotes.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-+.,:/@%=".contains(c);
    if word.starts_with('\'') || word.chars().all(is_plain) {
        word.into()
    } else {
        format!("'{word}'").into()
    }
}

/// The line `ip …` for another namespace.
fn in_namespace(line: &str, ip: &str) -> String {
    line.strip_prefix("ip ").map_or_else(|| line.to_owned(), |rest| format!("{ip} {rest}"))
}
