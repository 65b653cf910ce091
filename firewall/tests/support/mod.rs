//! Specs for tests, and carrying them out.

#![allow(dead_code)]

use std::net::Ipv6Addr;

use anyhow::{Result, ensure};
use guestnet_core::diff::{Change, diff};
use guestnet_core::{Context, Kind, Message, Namespace, Outbox, Path, Phase, Problems, Protocol, Set, Step};
use guestnet_firewall::{Access, Entry, FirewallSpec, GuestLink, HostAccess, Transport};
use guestnet_nft::Table;

/// An entry for ports of TCP.
pub fn tcp(ports: &str) -> Entry {
    Entry { protocol: Some(Transport::TCP), ports: vec![ports.parse().unwrap()], ..Entry::default() }
}

/// The nth guest: 192.168.0.N and 2001:db8:N::/64 behind tapN.
pub fn guest(n: u8) -> GuestLink {
    let mut guest = GuestLink::new(
        format!("tap{n}").parse().unwrap(),
        format!("02:00:5e:00:53:{n:02x}").parse().unwrap(),
    );
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, n.into(), 0, 0, 0, 0, 0);
    guest.addresses =
        vec![format!("192.168.0.{n}/32").parse().unwrap(), format!("{prefix}/64").parse().unwrap()];
    guest.known_as = vec![format!("203.0.113.{n}/32").parse().unwrap()];
    guest.routers =
        vec!["169.254.1.1".parse().unwrap(), Ipv6Addr::new(0x2001, 0xdb8, n.into(), 0, 0, 0, 0, 1).into()];
    guest
}

/// A spec with everything in it.
pub fn full() -> FirewallSpec {
    let json = r#"{
        "groups": [
            {"name": "web", "ingress": [{"protocol": "tcp", "ports": ["80", "443", "8000-8100"]}],
             "egress": [{"prefixes": ["0.0.0.0/0", "::/0"]}]},
            {"name": "db", "addresses": ["198.51.100.0/25", "2001:db8:ffff::/48"],
             "egress": [{"protocol": "udp", "ports": ["53"]}]}
        ],
        "tiers": [{"from": "web", "to": "db", "protocol": "tcp", "ports": ["5432"]}],
        "inner": ["vethovm1"],
        "beyond": ["203.0.113.99/32"],
        "links": ["br0"],
        "trusted": ["uplink", "fabric"],
        "guest_services": [{"protocol": "udp", "ports": ["53"]}],
        "host": {"services": [{"protocol": "tcp", "ports": ["22"], "prefixes": ["192.0.2.0/24"]}]},
        "tunnels": [{"local": "2001:db8:a::1", "remote": "2001:db8:b::1"}],
        "guard": {"links": ["uplink"], "addresses": ["10.5.5.254", "2001:db8:5::fe"]},
        "log": {"rate": 5}
    }"#;
    let mut spec: FirewallSpec = serde_json::from_str(json).unwrap();
    let mut web = guest(1);
    web.access.groups = vec!["web".parse().unwrap()];
    web.access.ingress = vec![
        tcp("22"),
        Entry { protocol: Some(Transport::ICMPV6), types: vec![139.into()], ..Entry::default() },
    ];
    let mut db = guest(2);
    db.access.groups = vec!["db".parse().unwrap(), "web".parse().unwrap()];
    let mut port = guest(3);
    port.bridge = Some("br0".parse().unwrap());
    port.ethertypes = vec![0x88cc];
    port.access = Access { groups: vec!["web".parse().unwrap()], ..Access::default() };
    spec.guests = vec![web, db, port];
    assert_eq!(spec.host, Some(HostAccess { services: spec.host.clone().unwrap().services }));
    spec
}

/// What would have to be done in the namespace of the calling thread.
pub fn plan(spec: &FirewallSpec) -> Result<Vec<Change<Table>>> {
    let tables: Set<Table> = spec.lower().into_iter().collect();
    let mut problems = Problems::new();
    spec.check(&Path::root(), &mut problems);
    tables.iter().for_each(|table| table.check(&Path::root(), &mut problems));
    ensure!(problems.is_empty(), "{problems}");
    changes(&tables)
}

/// What would have to be done for `tables`.
pub fn changes(tables: &Set<Table>) -> Result<Vec<Change<Table>>> {
    let mut namespace = Namespace::current()?;
    Ok(diff(tables, &Table::observe(&mut namespace, tables)?).0)
}

/// Sends `changes` in one transaction. Returns what was refused.
pub fn send(changes: &[Change<Table>]) -> Result<Vec<String>> {
    let mut out = Outbox::new();
    for phase in [Phase::Filters, Phase::Devices] {
        for (n, change) in changes.iter().enumerate() {
            out.begin(n);
            Table::encode(change, phase, &Context::default(), &mut out)?;
        }
    }
    let message = |(_, step)| match step {
        Step::Send(Protocol::Netfilter, message) => message,
        other => panic!("{other:?}"),
    };
    let mut messages: Vec<Message> = out.into_steps().into_iter().map(message).collect();
    let refused = Namespace::current()?.exchange(Protocol::Netfilter, &mut messages)?;
    Ok(refused.iter().map(|refusal| format!("{refusal:?}")).collect())
}

/// Makes the tables in the namespace of the calling thread, in one transaction, and sees that nothing is left to do.
pub fn apply(spec: &FirewallSpec) -> Result<()> {
    let refused = send(&plan(spec)?)?;
    ensure!(refused.is_empty(), "refused: {refused:?}");
    let left = plan(spec)?;
    ensure!(left.is_empty(), "still to be done: {:#?}", left.iter().map(Change::text).collect::<Vec<_>>());
    Ok(())
}
