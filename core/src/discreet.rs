//! Hiding of text that may be a key: a secret may have been put in the wrong place, as a name too.

use std::borrow::Cow;

/// As many letters and digits on end, and they may be a part of a key, in hex or base64.
const SHORTEST: usize = 16;

/// `text` without what may be a key: in its place stands `(hidden)`. Words stay: lower-case letters, also with a number
/// behind them.
///
/// ```
/// let text = "unknown field `6b9c1f0e5d7a48b3`, expected `neighbour_suppression`";
/// assert_eq!(guestnet_core::without_keys(text), "unknown field `(hidden)`, expected `neighbour_suppression`");
/// ```
pub fn without_keys(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut hides = false;
    for part in text.split_inclusive(|c: char| !is_digit(c)) {
        let run = part.trim_end_matches(|c: char| !is_digit(c));
        let is_key = run.len() >= SHORTEST && !is_word(run);
        hides |= is_key;
        shown.push_str(if is_key { "(hidden)" } else { run });
        shown.push_str(&part[run.len()..]);
    }
    if hides { Cow::Owned(shown) } else { Cow::Borrowed(text) }
}

/// Whether `c` is a digit of hex or base64. The two of base64 that also stand between words are none here: what is on
/// either side of them is long enough.
fn is_digit(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '+'
}

fn is_word(run: &str) -> bool {
    let word = run.trim_end_matches(|c: char| c.is_ascii_digit());
    let hex = |part: &str| part.len() >= SHORTEST;
    word.len() + 2 >= run.len()
        && word.chars().all(|c| c.is_ascii_lowercase())
        && !run.split(|c: char| !c.is_ascii_hexdigit()).any(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hidden_wherever_they_are() {
        for key in [
            "6b9c1f0e5d7a48b3a2c4",
            "0x6b9c1f0e5d7a48b3",
            "deadbeefdeadbeef",
            "wxdeadbeefdeadbeef",
            "1234567890123456",
            "UHJhY3RpY2VNYWtlcw",
            "abcdefghijklmn+p",
            "PSKPSKPSKPSKPSKPSK",
            "correct1horse2battery3",
        ] {
            assert_eq!(without_keys(&format!("a.{key}[0].b")), "a.(hidden)[0].b");
            assert_eq!(without_keys(key), "(hidden)");
        }
        assert_eq!(without_keys("UHJhY3RpY2VNYWtlcwQz/UHJhY3RpY2VNYWtlcwQz=="), "(hidden)/(hidden)==");
    }

    #[test]
    fn what_is_no_key_stays() {
        for text in [
            "guests[0].interfaces[1].neighbour_suppression",
            "objects.namespaces.vm-550e8400-e29b-41d4-a716-446655440000",
            "incomprehensibilities12 is not a name",
            "2001:db8:1111:2222:3333:4444:5555:6666",
            "/etc/guestnet/secrets.d/peer1",
            "",
            "grün 雪",
        ] {
            assert!(matches!(without_keys(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
