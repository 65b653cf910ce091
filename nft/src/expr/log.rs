//! `log`.

use serde::{Deserialize, Serialize};

/// Writes a line to the kernel's log, or with a group sends the packet to listeners of NFLOG.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// The syslog level of the line, 0 (emergency) to 7 (debug); 4 (warning) when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u32>,
}
