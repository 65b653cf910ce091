//! What the kernel has answered, as it stands in memory.

use std::fmt;

use zeroize::Zeroize;

use super::lasting;
use super::reply::{Reply, replies};
use crate::kind::Protocol;

/// A whole dump. Iterate over [`Dump::replies`]. One of IPsec states holds their keys, and is wiped when dropped.
#[derive(Default, PartialEq, Eq)]
pub struct Dump {
    bytes: Vec<u8>,
    secret: bool,
}

impl Drop for Dump {
    fn drop(&mut self) {
        if self.secret {
            self.bytes.zeroize();
        }
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dump({} bytes)", self.bytes.len())
    }
}

impl Dump {
    /// One of which nothing was read yet.
    pub(super) fn of(protocol: Protocol) -> Self {
        Self { bytes: Vec::new(), secret: protocol == Protocol::Xfrm }
    }

    /// Adds what was read. Secrets are kept in one place only: growing would leave copies behind.
    pub(super) fn add(&mut self, read: &mut [u8]) {
        let needed = self.bytes.len() + read.len();
        if self.secret && self.bytes.capacity() < needed {
            let mut larger = Vec::with_capacity(needed.max(2 * self.bytes.capacity()));
            larger.extend_from_slice(&self.bytes);
            std::mem::replace(&mut self.bytes, larger).zeroize();
        }
        self.bytes.extend_from_slice(read);
        if self.secret {
            // What was read, not all that there is room for: most answers are short.
            read.zeroize();
        }
    }

    /// Whether it holds keys.
    pub(crate) fn is_secret(&self) -> bool {
        self.secret
    }

    /// Makes dumps that say the same equal; see [`lasting::keep`].
    pub(crate) fn make_comparable(&mut self) {
        if !self.secret {
            lasting::keep(&mut self.bytes);
        }
    }

    /// The messages of the dump.
    pub fn replies(&self) -> impl Iterator<Item = Reply<'_>> {
        replies(&self.bytes).filter(|reply| i32::from(reply.kind) >= libc::NLMSG_MIN_TYPE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_kept_in_one_place_only() {
        for protocol in [Protocol::Xfrm, Protocol::Route] {
            let mut dump = Dump::of(protocol);
            let mut kept = Vec::new();
            for length in [1_u8, 200, 40] {
                let mut read: Vec<u8> = (1..=length).collect();
                kept.extend_from_slice(&read);
                dump.add(&mut read);
                assert_eq!(read.iter().all(|byte| *byte == 0), dump.is_secret(), "{protocol:?}");
                assert_eq!(dump.bytes, kept);
            }
        }
    }
}
