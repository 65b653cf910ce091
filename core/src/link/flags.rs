//! Flags of links that no spec speaks of (netdevice(7)): those that are not as on a new link are found and put back.

use std::fmt;

use super::LinkKind;
use crate::extras::Mendable;

/// Flags that are not as on a new link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

const MULTICAST: u32 = libc::IFF_MULTICAST as u32;

/// Flags that ip-link(8) sets besides `up` and `arp`, whether a new link has them, and what says the contrary.
const FLAGS: [(u32, bool, &str); 5] = [
    (MULTICAST, true, "multicast off"),
    (libc::IFF_ALLMULTI as u32, false, "allmulticast on"),
    (libc::IFF_PROMISC as u32, false, "promisc on"),
    (libc::IFF_NOTRAILERS as u32, false, "trailers off"),
    (libc::IFF_DYNAMIC as u32, false, "dynamic on"),
];

impl Mendable for Flags {}

impl Flags {
    pub(super) fn read(flags: u32, kind: &LinkKind) -> Self {
        let unusual = FLAGS.iter().filter(|(flag, usual, _)| (flags & flag != 0) != *usual);
        let all = unusual.fold(0, |all, (flag, ..)| all | flag);
        Self(if kind.is_ethernet() { all } else { all & !MULTICAST })
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Flags that are to be put back: a mask of them, and their values.
    pub(super) fn mended(self) -> (u32, u32) {
        let usual = FLAGS.iter().filter(|(_, usual, _)| *usual).fold(0, |all, (flag, ..)| all | flag);
        (self.0, self.0 & usual)
    }
}

/// A blank before each.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut there = FLAGS.iter().filter(|(flag, ..)| self.0 & flag != 0);
        there.try_for_each(|(_, _, name)| write!(f, " {name}"))
    }
}
