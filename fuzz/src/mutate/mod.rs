//! Changing inputs at random so that they stay nearly right: what is refused at once reaches nothing.

mod dice;
pub mod json;
pub mod netlink;
mod words;

pub use dice::Dice;
pub use words::words;

/// Leaves it to the engine, which changes bytes.
pub fn bytes(_: &[u8], _: &mut Dice) -> Option<Vec<u8>> {
    None
}

/// Changes a question to `explain`: words are exchanged, repeated, removed.
pub fn question(input: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    const GRAMMAR: &[&str] = &[
        "from",
        "to",
        "guest",
        "host",
        "web1",
        "db1",
        "six",
        "source",
        "mac",
        "tcp",
        "udp",
        "icmp",
        "icmpv6",
        "sctp",
        "esp",
        "47",
        "0",
        "8",
        "443",
        "65536",
        "203.0.113.17",
        "2001:db8::1",
        "fe80::1",
        "::",
        "02:00:5e:00:53:01",
    ];
    let mut asked: Vec<String> =
        std::str::from_utf8(input).ok()?.split_whitespace().map(str::to_owned).collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(asked.len() + 1);
        let word = dice.pick(GRAMMAR).copied().unwrap_or_default().to_owned();
        let there = dice.below(asked.len());
        match dice.below(4) {
            0 => asked.insert(at, word),
            1 if at < asked.len() => asked[at] = word,
            2 if at < asked.len() => drop(asked.remove(at)),
            3 if at < asked.len() => asked.swap(at, there),
            _ => {}
        }
    }
    Some(asked.join(" ").into_bytes())
}
