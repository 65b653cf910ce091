//! What a state has carried, and what it has refused, as of the moment when it was read.

use serde::{Deserialize, Serialize};

/// The kernel's counters of one state (`ip -s xfrm state`).
///
/// They change with every packet, so they never make two states unequal: [`crate::State`] compares as if it had none.
/// Sequence numbers stand beside them, in [`crate::state::Sequence`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counters {
    /// Bytes of inner packets that went through it.
    pub bytes: u64,
    /// Packets that went through it.
    pub packets: u64,
    /// When it was added, in seconds since 1970.
    pub added: u64,
    /// When it was used: the last time, in seconds since 1970. Kernels before 6.2 tell the first.
    #[serde(default)]
    pub used: Option<u64>,
    /// Packets refused because they came too far behind the newest (`replay-window` in `ip -s xfrm state`).
    pub outside_window: u32,
    /// Packets refused because they had come before (`replay`).
    pub replayed: u32,
    /// Packets refused because their integrity check value was wrong (`failed`): forged, damaged, or another key.
    pub integrity_failed: u32,
}

impl PartialEq for Counters {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Counters {
    /// How long ago it was added, in seconds, at the time `now` in seconds since 1970.
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.added)
    }

    /// Packets that it refused, for whatever reason.
    pub fn refused(&self) -> u64 {
        [self.outside_window, self.replayed, self.integrity_failed].into_iter().map(u64::from).sum()
    }
}
