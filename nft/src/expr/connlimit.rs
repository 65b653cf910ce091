//! `ct count`.

use std::fmt;

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::Expression;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// Counts the connections that it sees, each as long as conntrack knows it, and matches by their number:
/// `ct count over 100`. All packets that meet the rule share the count; in a set each element has one of its own
/// ([`crate::Stateful`]). A packet that conntrack cannot track is dropped. (Kernel 4.18, `CONFIG_NFT_CONNLIMIT`.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connlimit {
    /// Up to how many connections it matches.
    pub count: u32,
    /// Matches when there are more instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub over: bool,
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_CONNLIMIT_COUNT: u16 = 1;
const NFTA_CONNLIMIT_FLAGS: u16 = 2;

impl Expression for Connlimit {
    const NAME: &'static str = "connlimit";

    fn write(&self, raw: RawExpr) -> RawExpr {
        raw.u32(c::NFTNL_EXPR_CONNLIMIT_COUNT, self.count)
            .u32(c::NFTNL_EXPR_CONNLIMIT_FLAGS, self.over.into())
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let flags = raw.u32(NFTA_CONNLIMIT_FLAGS).unwrap_or(0);
        (flags <= 1).then_some(Self { count: raw.u32(NFTA_CONNLIMIT_COUNT)?, over: flags == 1 })
    }

    fn check(&self, _: &mut RuleCheck<'_>) {}

    fn render(&self, text: &mut Text<'_>) {
        text.say(self.to_string());
    }
}

impl fmt::Display for Connlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = if self.over { "over " } else { "" };
        write!(f, "ct count {over}{}", self.count)
    }
}
