//! Ledgers of sysctls: files that say what sysctls were before.

use guestnet::core::sysctl::read_ledger;

use crate::memory;

pub fn run(input: &[u8]) {
    let (text, bad) = memory::in_proportion(input.len(), || read_ledger(input));
    let lines = input.split(|byte| *byte == b'\n').count();
    assert!(bad <= lines);
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    assert!(text.lines().count() + bad <= lines, "{text:?}");
    // What is written anew is believed, all of it.
    assert_eq!(read_ledger(text.as_bytes()), (text, 0));
}
