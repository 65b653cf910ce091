//! Writing bytes of the packet.

use serde::{Deserialize, Serialize};

use super::{PayloadBase, Register};

/// Writes bytes of the packet from a register: `ip daddr set …`.
///
/// The checksums are updated by the difference (RFC 1624). nft's grammar chooses them by the field; here they are
/// said, so that the source of a packet quoted in an ICMP error can be written as well: its header checksum lies
/// 18 bytes behind the ICMP header's start, absorbs the change, and leaves the ICMP checksum right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayloadWrite {
    /// From where the offsets count.
    pub base: PayloadBase,
    /// How many bytes behind it.
    pub offset: u32,
    /// How many bytes, 1 to 16.
    pub length: u32,
    /// Where from.
    #[serde(default, skip_serializing_if = "Register::is_first")]
    pub register: Register,
    /// Where an Internet checksum (RFC 1071) over what is written lies, in bytes behind the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<u32>,
    /// Whether what is written is in the pseudo-header, so that the transport's checksum changes too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pseudo_header: bool,
}
