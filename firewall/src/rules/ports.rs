//! Frames that only bridges themselves hear of: to the groups that no bridge forwards. The kernel hands them up, and learns
//! their source, before or without the hooks of the bridge; so they are dropped at the port.

use std::fmt::Write;

use guestnet_core::{LinkName, Mac};
use guestnet_nft::{Chain, Family, Hook, Statement, Table, TableName, ether};

use crate::words::{deny, name};
use crate::{GuestLink, Paragraph as P};

/// `01:80:c2:00:00:00` to `0f` (IEEE 802.1Q table 8-1).
const GROUP: Mac = Mac([0x01, 0x80, 0xc2, 0, 0, 0]);
const GROUP_MASK: Mac = Mac([0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]);

/// Start of the names of the tables.
const START: &str = "guestnet_port_";

/// Before others at the device.
const FIRST: i32 = -500;

/// The frame is for one of these groups.
pub fn to_bridges() -> Statement {
    ether::daddr().masked(GROUP_MASK).eq(GROUP)
}

/// Whether a table of this name is one of a port.
pub fn is_one(table: &str) -> bool {
    table.starts_with(START)
}

/// The table of a guest's port.
pub fn table(port: &GuestLink) -> Table {
    let mut chain = Chain::base(name("ingress"), Hook::Ingress, FIRST);
    chain.base.iter_mut().for_each(|base| base.devices.extend([port.name.clone()]));
    Table::new(Family::Netdev, table_name(&port.name))
        .chain(chain.rule(deny(P::BRIDGE_GROUP, [to_bridges()])))
}

/// A link's name as a part of a table's: characters that this cannot have by their numbers.
fn table_name(link: &LinkName) -> TableName {
    let mut text = START.to_owned();
    for byte in link.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => text.push(byte.into()),
            _ => drop(write!(text, "_{byte:02x}")),
        }
    }
    text.parse().unwrap_or_else(|e| unreachable!("{e}"))
}
