//! The marks of a tunnel's packets.

use guestnet_core::problem::{Path, Problems};
use serde::{Deserialize, Serialize};

use crate::selector::Mark;

/// Marks of packets (`meta mark` in nft), as strongSwan's `mark_in`, `mark_out`, `set_mark_in` and `set_mark_out`.
///
/// They tell tunnels apart that carry packets between the same addresses, and let rules and routes know what came
/// through which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// Only packets with this mark leave through the tunnel: on policies and states of the way out (`mark`).
    #[serde(rename = "out", default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Mark>,
    /// What has come through the tunnel needs this mark to be let in: on policies of the way in (`mark`). It is set by
    /// `set_in`, or by a rule before.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Mark>,
    /// Set on packets when they are encrypted, before they are routed by their outer address: on states of the way out
    /// (`output-mark`).
    #[serde(rename = "set_out", default, skip_serializing_if = "Option::is_none")]
    pub set_outbound: Option<Mark>,
    /// Set on packets when they are decrypted: on states of the way in (`output-mark`).
    #[serde(rename = "set_in", default, skip_serializing_if = "Option::is_none")]
    pub set_inbound: Option<Mark>,
}

impl Marks {
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        let all = [
            ("out", self.outbound),
            ("in", self.inbound),
            ("set_out", self.set_outbound),
            ("set_in", self.set_inbound),
        ];
        for (name, mark) in all.into_iter().filter_map(|(name, mark)| Some((name, mark?))) {
            mark.check(&path.field(name), problems);
        }
    }
}
