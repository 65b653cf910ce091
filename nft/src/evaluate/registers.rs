//! Registers, each byte of which is known or not.

use crate::expr::Register;

/// 16 registers of 4 bytes.
const SIZE: usize = 4 * Register::COUNT;

/// The registers.
pub(super) struct Registers {
    bytes: [u8; SIZE],
    known: [bool; SIZE],
}

impl Default for Registers {
    fn default() -> Self {
        Self { bytes: [0; SIZE], known: [false; SIZE] }
    }
}

impl Registers {
    /// Puts `bytes` into `register`, and zeros up to the end of the last 4 bytes.
    pub(super) fn store(&mut self, register: Register, bytes: &[u8]) {
        let at = 4 * register.index();
        let whole = bytes.len().next_multiple_of(4);
        for (n, place) in (at..SIZE.min(at + whole)).enumerate() {
            let byte = bytes.get(n).copied().unwrap_or(0);
            if let (Some(to), Some(known)) = (self.bytes.get_mut(place), self.known.get_mut(place)) {
                (*to, *known) = (byte, true);
            }
        }
    }

    /// Nothing is known any more of `length` bytes from `register` on.
    pub(super) fn forget(&mut self, register: Register, length: usize) {
        let at = 4 * register.index();
        let whole = length.next_multiple_of(4);
        self.known.iter_mut().skip(at).take(whole).for_each(|known| *known = false);
    }

    /// Nothing is known any more.
    pub(super) fn forget_all(&mut self) {
        self.known = [false; SIZE];
    }

    /// `length` bytes from `register` on, if all are known.
    pub(super) fn get(&self, register: Register, length: usize) -> Option<&[u8]> {
        let at = 4 * register.index();
        let known = self.known.get(at..at.checked_add(length)?)?.iter().all(|known| *known);
        known.then(|| self.bytes.get(at..at + length)).flatten()
    }
}
