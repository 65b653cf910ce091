//! What is known of the sysctls of a namespace.

use std::collections::HashMap;

use super::ledger::Ledger;
use super::netconf::Netconf;
use super::{SysctlKey, SysctlValue};

/// What was read and told, until something may have changed it.
#[derive(Default)]
pub(crate) struct Known {
    /// What files said.
    pub(super) read: HashMap<SysctlKey, SysctlValue>,
    /// What was told of those that all links have. What a link has, its own message tells.
    pub(super) netconf: Netconf,
    /// The ledger as far as it was read. It holds while nobody else may write it, which is while the host is locked.
    pub(super) ledger: Option<Ledger>,
    /// Whether the ledger speaks of links that are gone.
    pub(super) has_gone: bool,
}

impl Known {
    /// A namespace that was just made has nothing in its ledger.
    pub(crate) fn of_new(cookie: u64) -> Self {
        Self { ledger: Some(Ledger::of_new(cookie)), ..Self::default() }
    }

    /// Forgets the values, because something may have changed them.
    pub(crate) fn forget_values(&mut self) {
        self.read.clear();
        self.netconf = Netconf::default();
    }

    /// Forgets the ledger, because somebody else may have written it.
    pub(crate) fn forget_ledger(&mut self) {
        self.ledger = None;
    }

    /// Whether the ledger spoke of links that are gone when it was last read.
    pub(crate) fn ledger_is_stale(&self) -> bool {
        self.has_gone
    }
}
