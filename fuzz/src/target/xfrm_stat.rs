//! The text of `/proc/net/xfrm_stat`.

use guestnet::xfrm::stat::{Count, parse};

use crate::memory;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let counts = memory::in_proportion(text.len(), || parse(text));
    assert!(counts.len() <= text.lines().count());
    for Count { name, packets } in &counts {
        assert!(
            *packets > 0 && text.contains(name.as_str()) && !name.contains(char::is_whitespace),
            "{name:?}"
        );
    }
    let printed: String = counts.iter().map(|count| format!("{} {}\n", count.name, count.packets)).collect();
    assert_eq!(parse(&printed), counts, "{printed}");
    for count in counts {
        assert_eq!(count.meaning(), count.meaning());
    }
}
