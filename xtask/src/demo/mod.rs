//! `cargo xtask demo`: two hosts, their guests, an internet, and what guestnet makes of them.

mod table;
mod topology;
mod whereabouts;

use anyhow::Result;

use table::Table;
use topology::Topology;

pub use whereabouts::{isolated_here, probe, start};

/// The demo itself, in namespaces of its own on a kernel that has what it needs; exit code 0 when all was shown.
pub fn inside() -> Result<u8> {
    guestnet_lab::enter()?;
    let topology = Topology::build()?;
    let mut table = Table::begin();
    table.row("the lab stands: hosts reach each other over IPv6 only, and the internet", || topology.check());
    Ok(table.end())
}
