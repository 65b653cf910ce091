//! `log`.

use nftnl::nftnl_sys as c;
use serde::{Deserialize, Serialize};

use super::Expression;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;
/// Writes a line to the kernel's log, or with a group sends the packet to listeners of NFLOG.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What the line starts with; 127 bytes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The NFLOG group; without one it is a line of the kernel's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u16>,
    /// How many bytes of the packet go to the group; all when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
    /// The syslog level of the line, 0 (emergency) to 7 (debug); 4 (warning) when it is not said. Not with a group.
    #[serde(default = "warning", skip_serializing_if = "is_warning")]
    #[schemars(extend("default" = warning()))]
    pub level: u32,
}

/// The longest prefix in bytes (`NF_LOG_PREFIXLEN` less the NUL).
const LONGEST_PREFIX: usize = 127;

/// nft's words for the levels.
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/// `LOGLEVEL_WARNING`.
const WARNING: u32 = 4;

fn warning() -> u32 {
    WARNING
}

fn is_warning(level: &u32) -> bool {
    *level == WARNING
}

impl Default for Log {
    /// A line of the kernel's log, without a prefix, at level warning.
    fn default() -> Self {
        Self { prefix: None, group: None, snaplen: None, level: WARNING }
    }
}

/// Attributes in the kernel's numbers, for reading.
const NFTA_LOG_GROUP: u16 = 1;
const NFTA_LOG_PREFIX: u16 = 2;
const NFTA_LOG_SNAPLEN: u16 = 3;
const NFTA_LOG_LEVEL: u16 = 5;
const NFTA_LOG_FLAGS: u16 = 6;

impl Expression for Log {
    const NAME: &'static str = "log";

    fn write(&self, raw: RawExpr) -> RawExpr {
        let mut raw = raw;
        if let Some(prefix) = &self.prefix {
            raw = raw.text(c::NFTNL_EXPR_LOG_PREFIX, prefix);
        }
        if let Some(group) = self.group {
            raw = raw.u16(c::NFTNL_EXPR_LOG_GROUP, group);
        }
        if let Some(snaplen) = self.snaplen {
            raw = raw.u32(c::NFTNL_EXPR_LOG_SNAPLEN, snaplen);
        }
        if self.group.is_none() { raw.u32(c::NFTNL_EXPR_LOG_LEVEL, self.level) } else { raw }
    }

    fn read(raw: &View<'_>) -> Option<Self> {
        let group = raw.u32(NFTA_LOG_GROUP).and_then(|n| u16::try_from(n).ok());
        if raw.u32(NFTA_LOG_FLAGS).unwrap_or(0) != 0 {
            return None;
        }
        Some(Self {
            prefix: raw.text(NFTA_LOG_PREFIX).map(str::to_owned),
            group,
            snaplen: raw.u32(NFTA_LOG_SNAPLEN).filter(|n| *n != 0),
            level: raw.u32(NFTA_LOG_LEVEL).unwrap_or(WARNING),
        })
    }

    fn check(&self, check: &mut RuleCheck<'_>) {
        if let Some(prefix) = &self.prefix {
            if prefix.is_empty() || prefix.len() > LONGEST_PREFIX {
                check.problem(
                    "prefix",
                    format!("has {} bytes; 1 to {LONGEST_PREFIX} are allowed", prefix.len()),
                );
            }
            if prefix.contains(|c: char| c.is_control() || c == '"') {
                check.problem("prefix", "a quote or a control character cannot stand in it");
            }
        }
        if self.level > 7 {
            check.problem("level", format!("{} is no level: they are 0 to 7", self.level));
        }
        if self.group.is_some() && self.level != WARNING {
            check.problem("level", "has no meaning with a group");
        }
        if self.snaplen.is_some_and(|length| length == 0 || self.group.is_none()) {
            check.problem("snaplen", "has a meaning only with a group, and from 1 on");
        }
    }

    fn render(&self, text: &mut Text<'_>) {
        let mut words = "log".to_owned();
        if let Some(prefix) = &self.prefix {
            // nft puts the value of a variable there.
            if prefix.contains('$') {
                text.only_netlink();
            }
            words += &format!(" prefix \"{prefix}\"");
        }
        if let Some(group) = self.group {
            words += &format!(" group {group}");
        }
        if let Some(snaplen) = self.snaplen {
            words += &format!(" snaplen {snaplen}");
        }
        if let Some(level) = LEVELS.get(self.level as usize).filter(|_| self.level != WARNING) {
            words += &format!(" level {level}");
        }
        text.say(words);
    }
}
