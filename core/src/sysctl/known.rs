//! What is known of the sysctls of a namespace.

use std::collections::HashMap;

use super::ledger::Ledger;
use super::{SysctlKey, SysctlValue};

/// What was read, until something may have changed it. What a link has, its own message tells.
#[derive(Default)]
pub(crate) struct Known {
    /// What files said.
    pub(super) read: HashMap<SysctlKey, SysctlValue>,
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
