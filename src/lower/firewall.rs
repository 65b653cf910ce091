//! The firewall's tables.

use guestnet_nft::{Family, Table};

use super::{Lowered, Spot};
use crate::resolve::Resolved;

impl Lowered {
    pub(super) fn firewall(&mut self, spec: &Resolved<'_>) {
        let root = Spot::root().field("firewall");
        for (netns, filter) in spec.firewalls() {
            for table in filter.lower() {
                let path = if guards(&table) { root.field("guard") } else { root };
                self.add(&netns, table, &path, |o| &mut o.tables);
            }
        }
    }
}

/// Whether it is the table of the guard.
fn guards(table: &Table) -> bool {
    table.family == Family::Netdev
}
