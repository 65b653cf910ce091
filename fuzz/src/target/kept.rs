//! Files in which it is kept what a host was last asked for.

use guestnet::read_kept;

use crate::{memory, property};

pub fn run(input: &[u8]) {
    // Three of them: the index, what is said for the host as a whole, guests.
    let mut files = input.split(|byte| *byte == 0);
    let [index, wide, guests] = [(); 3].map(|()| files.next().unwrap_or_default());
    let Some(printed) = memory::in_proportion(input.len(), || read_kept(index, wide, guests)) else { return };
    let [index, wide, guests] = printed.each_ref().map(String::as_str);
    for file in [index, wide, guests] {
        property::is_discreet(file);
    }
    let again = read_kept(index.as_bytes(), wide.as_bytes(), guests.as_bytes());
    assert_eq!(again.as_ref(), Some(&printed));
}
