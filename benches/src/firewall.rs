//! The filter for any number of guests, by itself.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use guestnet::core::{Change, Mac, Namespace, Object, Protocol};
use guestnet::firewall::{Access, Entry, FirewallSpec, GuestLink, Transport};
use guestnet::nft::{Element, Name, Table, Value};

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

/// What is added to a filter of any number of guests.
#[derive(Clone, Copy)]
pub enum More {
    /// A port that a guest serves: one element.
    Port,
    /// A guest: ten elements or so, in two tables.
    Guest,
}

impl More {
    /// Tables without it and with it, for guest `n` of those beyond. What makes the one into the other adds it to a filter
    /// with any number of others. The two share all else, as a table and its changed copy do.
    pub fn tables(self, n: usize) -> Result<Vec<(Table, Table)>> {
        let lower = |guest| FirewallSpec { guests: vec![guest], ..FirewallSpec::default() }.lower();
        let guest = guest(MORE + n)?;
        let mut narrower = guest.clone();
        narrower.access.ingress.pop();
        let narrower = lower(narrower);
        let stays = |table: &Table, set: &Name, element: &Element| match self {
            Self::Guest => !matches!(element.key.first(), [Value::Ifname(_), ..]),
            Self::Port => {
                let before = narrower.iter().find(|other| other.key() == table.key());
                let before = before.and_then(|table| table.sets.get(set));
                before.is_some_and(|set| set.elements.contains(&element.key))
            }
        };
        let pairs = lower(guest).into_iter().filter_map(|with| {
            let mut without = with.clone();
            for mut set in with.sets.iter().cloned() {
                set.elements.retain(|element| stays(&with, &set.name, element));
                without.sets.insert(set);
            }
            (without != with).then_some((without, with))
        });
        Ok(pairs.collect())
    }

    /// What is added for guest `n` of those beyond: the family of the table, the set, the key.
    pub fn elements(self, n: usize) -> Result<Vec<(String, String, Vec<Value>)>> {
        let mut found = Vec::new();
        for (without, with) in self.tables(n)? {
            for (set, before) in with.sets.iter().zip(&without.sets) {
                let new = set.elements.iter().filter(|element| !before.elements.contains(&element.key));
                found.extend(new.map(|element| {
                    let key = element.key.first().to_vec();
                    (with.family.to_string(), set.name.to_string(), key)
                }));
            }
        }
        Ok(found)
    }
}
