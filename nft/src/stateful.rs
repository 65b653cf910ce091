//! Expressions that the elements of a set carry.

use std::fmt;

use guestnet_core::{Path, Problems};
use serde::{Deserialize, Serialize};

use crate::Expr;
use crate::expr::{Connlimit, Limit};
use crate::uapi::{NFTA_EXPR_DATA, NFTA_EXPR_NAME};
use crate::view::View;

/// An expression that each element of a set has for itself, with a state of its own: a packet is in the set only where the
/// expression of its element matches too (kernel 5.7). `set limited { type inet_service; limit rate 10/second burst 5
/// packets; }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stateful {
    /// In the set while packets come no faster than a rate.
    Limit(Limit),
    /// In the set by how many connections there are. Such a set is `dynamic`, of values and not of intervals: packets put
    /// elements into it ([`crate::expr::Dynset`]), and nobody else, as the kernel takes them away with their last connection.
    Connlimit(Connlimit),
}

impl Stateful {
    /// As an expression of a rule.
    pub(crate) fn expression(&self) -> Expr {
        match self {
            Self::Limit(limit) => limit.clone().into(),
            Self::Connlimit(connlimit) => connlimit.clone().into(),
        }
    }

    /// As the kernel lists it (`NFTA_SET_EXPR`, `NFTA_SET_ELEM_EXPR`). `None` where it is another.
    pub(crate) fn read(raw: &View<'_>) -> Option<Self> {
        let attributes = raw.nested(NFTA_EXPR_DATA).unwrap_or_default();
        match Expr::read(raw.text(NFTA_EXPR_NAME)?, &attributes) {
            Expr::Limit(limit) => Some(Self::Limit(limit)),
            Expr::Connlimit(connlimit) => Some(Self::Connlimit(connlimit)),
            _ => None,
        }
    }

    /// Whether the kernel takes elements away that have seen nothing for a while (`NFT_EXPR_GC`): their sets are `dynamic`.
    pub(crate) fn is_dynamic(&self) -> bool {
        matches!(self, Self::Connlimit(_))
    }

    /// Whether a packet that comes alone is in the set by it.
    pub(crate) fn holds_one(&self) -> bool {
        match self {
            Self::Limit(limit) => !limit.over,
            Self::Connlimit(connlimit) => !connlimit.over,
        }
    }

    pub(crate) fn check(&self, path: &Path, problems: &mut Problems) {
        if let Self::Limit(limit) = self {
            for (field, words) in limit.problems() {
                problems.at(&path.field("limit").field(field), words);
            }
        }
    }
}

impl fmt::Display for Stateful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => limit.fmt(f),
            Self::Connlimit(connlimit) => connlimit.fmt(f),
        }
    }
}
