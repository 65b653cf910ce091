//! The filter for any number of guests, by itself.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use guestnet::core::{Change, Mac, Namespace, Protocol};
use guestnet::firewall::{Access, Entry, FirewallSpec, GuestLink, Transport};
use guestnet::nft::{Element, Table, Value};

use crate::guests::private;
use crate::nat;

/// Beyond any guest that a filter is made for: where elements are added to it.
const MORE: usize = 1 << 21;

/// The UDP port that everybody serves.
pub const PORT: u16 = 2000;

/// The filter of `count` guests, each of which serves HTTPS and a UDP port, and may send to everybody.
pub fn spec(count: usize) -> Result<FirewallSpec> {
    Ok(FirewallSpec { guests: (0..count).map(guest).collect::<Result<_>>()?, ..FirewallSpec::default() })
}

/// The interface of guest `n`.
pub fn link(n: usize) -> String {
    format!("tap{n:05}")
}

/// The MAC address of guest `n`.
pub fn mac(n: usize) -> [u8; 6] {
    let [_, a, b, c] = (n as u32).to_be_bytes();
    [2, 0, 0x5e, a, b, c]
}

fn guest(n: usize) -> Result<GuestLink> {
    let serves = |protocol, port: u16| Entry {
        protocol: Some(protocol),
        ports: vec![port.into()],
        ..Entry::default()
    };
    let mut guest = GuestLink::new(link(n).parse()?, Mac(mac(n)));
    guest.addresses = vec![IpAddr::from(private(n)).into()];
    guest.access = Access {
        ingress: vec![serves(Transport::TCP, 443), serves(Transport::UDP, PORT)],
        egress: vec![Entry::default()],
        ..Access::default()
    };
    Ok(guest)
}

/// Carries changes out, in one transaction.
pub fn send(namespace: &mut Namespace, changes: &[Change<Table>]) -> Result<()> {
    let mut messages = Vec::new();
    for change in changes {
        messages.extend(nat::encode(change)?);
    }
    let refused = namespace.exchange(Protocol::Netfilter, &mut messages)?;
    ensure!(refused.is_empty(), "the kernel refuses the change of a filter: {refused:?}");
    Ok(())
}

/// Makes the tables of `spec`.
pub fn make(namespace: &mut Namespace, spec: &FirewallSpec) -> Result<()> {
    send(namespace, &spec.lower().into_iter().map(Change::Create).collect::<Vec<_>>())
}

/// The tables of the filter of guest `n` of those beyond, without its elements and with them. What makes the one into the
/// other adds that guest to a filter with any number of others.
pub fn one_more(n: usize) -> Result<Vec<(Table, Table)>> {
    let tables = FirewallSpec { guests: vec![guest(MORE + n)?], ..FirewallSpec::default() }.lower();
    Ok(tables.into_iter().map(|with| (without_guests(&with), with)).collect())
}

fn without_guests(table: &Table) -> Table {
    let mut without = table.clone();
    for mut set in table.sets.iter().cloned() {
        set.elements.retain(|element| !is_of_a_guest(element));
        without.sets.insert(set);
    }
    without
}

fn is_of_a_guest(element: &Element) -> bool {
    matches!(element.key.first(), [Value::Ifname(_), ..])
}

/// What is added for guest `n` of those beyond: the family of the table, the set, the key.
pub fn elements(n: usize) -> Result<Vec<(String, String, Vec<Value>)>> {
    let mut found = Vec::new();
    for (_, table) in one_more(n)? {
        for set in &table.sets {
            let keys = set.elements.iter().filter(|element| is_of_a_guest(element));
            found.extend(keys.map(|element| {
                let key = element.key.first().to_vec();
                (table.family.to_string(), set.name.to_string(), key)
            }));
        }
    }
    Ok(found)
}
