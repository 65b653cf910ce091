//! Text of users, of other programs and of the kernel, made fit to be printed for people.
//!
//! A name in a document, an alias of a link or a comment in a ruleset may hold control characters: to a terminal they are
//! commands, and a line feed begins a line that looks like guestnet's own. Programs get such text as it is, in JSON.

use std::borrow::Cow;

/// `text` as one line: control characters and those that change the direction or the place of others are written as
/// escapes of Rust (`\n`, `\u{1b}`). All else, other alphabets included, stays.
///
/// ```
/// assert_eq!(guestnet_core::visible("tap\x1b[31m\nä"), "tap\\u{1b}[31m\\nä");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, acts)
}

/// `text` as lines: as [`visible`], but line feeds and tabs stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| !matches!(c, '\n' | '\t') && acts(c))
}

fn escape(text: &str, acts: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Whether a character does something instead of being seen: Unicode's control characters (Cc), and of its format
/// characters (Cf) those without width, those that order directions, and the separators of lines.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        for (text, shown) in [
            ("plain ä 雪 \"quoted\"", "plain ä 雪 \"quoted\""),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("a\rb\x7f\u{9b}31m", "a\\rb\\u{7f}\\u{9b}31m"),
            ("user\u{202e}gpj\u{2066}\u{feff}", "user\\u{202e}gpj\\u{2066}\\u{feff}"),
        ] {
            assert_eq!(visible(text), shown);
            assert_eq!(visible_lines(text), shown);
        }
        assert_eq!(visible("a\n\tb"), "a\\n\\tb");
        assert_eq!(visible_lines("a\n\tb\r\n"), "a\n\tb\\r\n");
        assert!(matches!(visible("tap0"), Cow::Borrowed("tap0")));
    }
}
