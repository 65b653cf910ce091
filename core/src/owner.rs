//! The marks by which guestnet knows what is its own. They live in the kernel, so there is no state to lose:
//! two runs, two tools and a crash cannot disagree about them.
//!
//! | object | mark |
//! |---|---|
//! | namespace | the alias of its `lo`: `guestnet owner=COOKIE` |
//! | link | its group, [`LINK_GROUP`], or [`DOOMED_GROUP`] just before it is deleted |
//! | address | `IFA_PROTO` [`PROTOCOL`] (kernel 5.18) |
//! | route, proxied neighbour | protocol [`PROTOCOL`] |
//! | IPsec state and policy | in a namespace of ours all of them, elsewhere a reqid in [`REQIDS`] |
//! | nf_tables table | a name that starts with [`TABLE_PREFIX`] |
//! | file | a first line that starts with `# guestnet owner=COOKIE` |
//!
//! COOKIE is the kernel's own number of the host's namespace (`SO_NETNS_COOKIE`, kernel 5.14): never used twice
//! while the kernel runs, so several hosts can live on one kernel without taking each other's guests.

use std::ops::RangeInclusive;

use crate::life::{Life, life};

/// `rtm_protocol`, `NDA_PROTOCOL` and `IFA_PROTO` of what we make; in `ip route` it reads `proto 103`.
pub const PROTOCOL: u8 = 103;

/// `IFLA_GROUP` of the links that we make; in `ip link` it reads `group 103103`. A group, unlike an alias, is
/// set by the very message that creates the link and both ends of a veth pair: no kill can fall between.
pub const LINK_GROUP: u32 = 103_103;

/// `IFLA_GROUP` of those of our links that are about to be deleted together.
pub const DOOMED_GROUP: u32 = LINK_GROUP + 1;

/// The reqids of our IPsec objects in a namespace that we did not make.
pub const REQIDS: RangeInclusive<u32> = 0x6700_0000..=0x67ff_ffff;

/// How the names of our nf_tables tables start.
pub const TABLE_PREFIX: &str = "guestnet_";

/// Whose an object is: the cookie of the host's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner(pub u64);

impl Owner {
    /// The mark as text, as it stands in aliases and behind the `#` in files.
    pub fn mark(self) -> String {
        format!("guestnet owner={}", self.0)
    }

    /// Whose something is, where it is another's, and what to do if that host is gone.
    pub fn described(self) -> String {
        match life(self) {
            Life::Lives => format!("of another host, which lives (owner {})", self.0),
            Life::Gone => format!("of a host that is gone (owner {})", self.0),
            Life::Unknown => format!(
                "of another host (owner {0}); if that is gone, `guestnet adopt {0}` takes over what it has left",
                self.0
            ),
        }
    }

    /// Whose mark `text` is; `None` where it is none.
    pub fn read(text: &str) -> Option<Self> {
        text.strip_prefix("guestnet owner=")?.split_whitespace().next()?.parse().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back() {
        assert_eq!(Owner::read(&Owner(7).mark()), Some(Owner(7)));
        assert_eq!(Owner::read("guestnet owner=7 and words"), Some(Owner(7)));
        assert_eq!(Owner::read("guestnet owner="), None);
        assert_eq!(Owner::read("somebody"), None);
    }
}
