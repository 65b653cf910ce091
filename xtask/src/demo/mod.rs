//! `cargo xtask demo`: two hosts, their guests, an internet, and what guestnet makes of them.

mod command;
mod guests;
mod lifecycle;
mod real;
mod snapshot;
mod table;
mod topology;
mod traffic;
mod whereabouts;

use anyhow::{Context, Result};

use guests::{MEMBERS, Running};
use snapshot::Snapshot;
use table::Table;
use topology::Topology;

pub use real::inside as inside_with_a_real_guest;
pub use whereabouts::{isolated_here, probe, probe_tap, start};

/// The specs of the two hosts.
const SPECS: [&str; 2] = ["examples/host1.json", "examples/host2.toml"];

/// The demo itself, in namespaces of its own on a kernel that has what it needs; exit code 0 when all was shown.
pub fn inside() -> Result<u8> {
    guestnet_lab::enter()?;
    let topology = Topology::build()?;
    let before = topology.hosts.iter().map(Snapshot::take).collect::<Result<Vec<_>>>()?;
    let mut table = Table::begin();

    for (host, spec) in topology.hosts.iter().zip(SPECS) {
        table.row(&format!("guestnet makes {} from {spec}", host.name()), || lifecycle::make(host, spec));
    }
    let mut guests = Vec::new();
    table.row("guests get IPv4 by DHCP from dnsmasq, and IPv6 by SLAAC", || {
        for (n, member) in MEMBERS.iter().enumerate() {
            guests.push(Running::start(&topology.hosts[n / 2], member)?);
        }
        Ok(guests.iter().map(Running::configure).collect::<Result<Vec<_>>>()?.join("\n"))
    });
    let Ok([a, b, c, d]) = <[Running; 4]>::try_from(guests) else {
        return Ok(table.end());
    };
    table.row("a guest reaches the internet from its public addresses, and is reached on them", || {
        traffic::internet(&topology, &[&a, &c])
    });
    table.row("NAT keeps no connection state in notrack mode; in tracked mode a firewall sees it", || {
        traffic::connections(&topology, &a, &c)
    });
    table.row("guests on different hosts reach each other in private; the wire carries only ESP", || {
        traffic::tunnels(&topology, &[(&a, &c), (&b, &d), (&a, &d), (&d, &b)])
    });
    table.row("path MTU discovery works through NAT and through the tunnel", || traffic::path_mtu(&a, &c));
    table.row("hairpin: a guest reaches its neighbour's public address on the same host", || {
        traffic::hairpin(&[(&a, &b), (&c, &d)])
    });
    table.row("a proxied neighbour answers on the uplink, another address does not", || {
        traffic::proxied(&topology)
    });
    table.row("a second apply makes no change", || lifecycle::again(&topology.hosts, &SPECS));
    table.row("a changed spec makes only the difference", || {
        drop(b);
        let said = lifecycle::change(&topology.hosts[0], SPECS[0], "vmq3x9pt")?;
        traffic::tunnels(&topology, &[(&a, &c)]).context("the guest that stays")?;
        Ok(said)
    });
    table.row("remove leaves the hosts as they were", || {
        drop((a, c, d));
        lifecycle::remove(&topology.hosts, &before)
    });
    Ok(table.end())
}
