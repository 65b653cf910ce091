//! The values that stand in configuration files, checked where they enter.

use std::fmt;
use std::str::FromStr;

use guestnet_core::LinkName;
use serde::{Deserialize, Serialize};

mod lease_time;
pub use lease_time::LeaseTime;

/// Why a text is not a value; says what would be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(crate) String);

/// An interface that a daemon serves: 1 to 15 characters from `A-Z a-z 0-9 _ . @ + -`.
///
/// Narrower than [`LinkName`]: `tap*` is a name to the kernel, and a pattern for many interfaces to dnsmasq.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interface(String);

/// A tag, by which dnsmasq binds ranges and options to requests: 1 to 63 characters from `A-Z a-z 0-9 _ . @ + -`.
///
/// A request carries the name of the interface on which it came as a tag, so every [`Interface`] is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// The name of a host without its domain: 1 to 63 letters, digits and inner hyphens (RFC 1123, section 2.1).
///
/// Kept in lower case. Not a number, alone or with one of `w d h m s` behind it, and not `infinite` or `ignore`:
/// where a host is named, these mean something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

/// A domain: names of hosts joined by dots, up to 253 characters, the last of them not a number (RFC 1123).
///
/// Kept in lower case, without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

/// The path of a file from the root: up to 255 characters from `A-Z a-z 0-9 / _ . @ + -`, without `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AbsolutePath(String);

/// A user or a group of the machine: 1 to 32 characters from `A-Z a-z 0-9 _ -`, the first a letter or `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// The text of a DHCP option: 1 to 255 characters from `A-Z a-z 0-9 . _ / : + @ = ~ % -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OptionText(String);

/// Tags that dnsmasq sets by itself.
const RESERVED: [&str; 4] = ["known", "known-othernet", "bootp", "dhcpv6"];

/// Refuses `text` unless it has 1 to `max` characters, all of them letters, digits or among `others`.
fn plain(text: &str, what: &str, max: usize, others: &str) -> Result<(), ValueError> {
    if text.is_empty() || text.len() > max {
        return Err(ValueError(format!(
            "{text:?} is not {what}: it has {} bytes, not 1 to {max}",
            text.len()
        )));
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !others.contains(*c)) {
        Some(c) => Err(ValueError(format!(
            "{text:?} is not {what}: {c:?} cannot stand in it (letters, digits and {others:?} can)"
        ))),
        None => Ok(()),
    }
}

fn word(text: &str, what: &str, max: usize) -> Result<String, ValueError> {
    plain(text, what, max, "_.@+-")?;
    if RESERVED.contains(&text) {
        return Err(ValueError(format!("{text:?} is not {what}: dnsmasq uses it as a tag of its own")));
    }
    Ok(text.to_owned())
}

/// A label of a name in lower case.
fn label(text: &str, what: &str) -> Result<String, ValueError> {
    plain(text, what, 63, "-")?;
    if text.starts_with('-') || text.ends_with('-') {
        return Err(ValueError(format!("{text:?} is not {what}: it starts or ends with a hyphen")));
    }
    Ok(text.to_ascii_lowercase())
}

impl FromStr for Interface {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // Refuses what is no name to the kernel either, as `..`.
        text.parse::<LinkName>().map_err(|e| ValueError(e.to_string()))?;
        Ok(Self(word(text, "an interface to serve", 15)?))
    }
}

impl FromStr for Tag {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(Self(word(text, "a tag", 63)?))
    }
}

impl FromStr for Hostname {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let name = label(text, "a host name")?;
        let number = name.strip_suffix(['w', 'd', 'h', 'm', 's']).unwrap_or(&name);
        if number.bytes().all(|b| b.is_ascii_digit()) || name == "infinite" || name == "ignore" {
            return Err(ValueError(format!(
                "{text:?} is not a host name: dnsmasq takes it for something else"
            )));
        }
        Ok(Self(name))
    }
}

impl FromStr for DomainName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.len() > 253 {
            return Err(ValueError(format!("a domain has 1 to 253 characters, this has {}", text.len())));
        }
        let of_domain = |label: &str| ValueError(format!("{text:?} is not a domain: {label}"));
        let labels = text.split('.').map(|part| label(part, "a label of it").map_err(|e| of_domain(&e.0)));
        let labels = labels.collect::<Result<Vec<_>, _>>()?;
        if labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return Err(of_domain("its last label is a number"));
        }
        Ok(Self(labels.join(".")))
    }
}

impl FromStr for AbsolutePath {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        plain(text, "the path of a file", 255, "/_.@+-")?;
        let refuse = |why: &str| Err(ValueError(format!("{text:?} is not the path of a file: {why}")));
        let Some(below) = text.strip_prefix('/') else { return refuse("it does not start with '/'") };
        match below.split('/').find(|part| ["", ".", ".."].contains(part)) {
            Some(part) => refuse(&format!("a part of it is {part:?}")),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl FromStr for UserName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        plain(text, "a user or group", 32, "_-")?;
        if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return Err(ValueError(format!(
                "{text:?} is not a user or group: it starts with a digit or '-'"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for OptionText {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        plain(text, "the text of an option", 255, "._/:+@=~%-")?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<&LinkName> for Interface {
    type Error = ValueError;
    fn try_from(name: &LinkName) -> Result<Self, ValueError> {
        name.as_str().parse()
    }
}

impl From<&Interface> for Tag {
    fn from(interface: &Interface) -> Self {
        Self(interface.0.clone())
    }
}

impl Tag {
    /// Whether dnsmasq would take it for an address where a tag may stand without `set:` before it.
    pub(crate) fn looks_like_an_address(&self) -> bool {
        self.0.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.')
    }
}

/// The conversions that every checked text has, and its schema: a string with a pattern.
macro_rules! text {
    ($($type:ident, $pattern:literal;)*) => {$(
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        guestnet_core::checked_text!($type, ValueError, $pattern);
    )*};
}

text! {
    Interface, r"^[A-Za-z0-9_.@+-]{1,15}$";
    Tag, r"^[A-Za-z0-9_.@+-]{1,63}$";
    Hostname, r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$";
    DomainName, r"^[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$";
    AbsolutePath, r"^(/[A-Za-z0-9_.@+-]+)+$";
    UserName, r"^[A-Za-z_][A-Za-z0-9_-]{0,31}$";
    OptionText, r"^[A-Za-z0-9._/:+@=~%-]{1,255}$";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn hostile_texts_are_refused() {
        let hostile = [
            "", "a b", "a,b", "a\nb", "a\n", "a\r", "a\t", "a#b", "a\"b", "a'b", "a\\b", "a;b", "a*", "é",
            "a\0b", "a=b,c", "[a]", "a(b", "!a",
        ];
        refused::<Interface>(&hostile);
        refused::<Tag>(&hostile);
        refused::<Hostname>(&hostile);
        refused::<DomainName>(&hostile);
        refused::<AbsolutePath>(&hostile.map(|text| format!("/{text}")).each_ref().map(String::as_str));
        refused::<UserName>(&hostile);
        refused::<OptionText>(&hostile);
        refused::<LeaseTime>(&hostile);
    }

    #[test]
    fn what_means_something_else_is_refused() {
        refused::<Interface>(&["known", "..", "abcdefghijklmnop", "tap*", "a/b"]);
        refused::<Hostname>(&["12", "12h", "5M", "infinite", "ignore", "-a", "a-", "a.b", "a_b"]);
        refused::<DomainName>(&["a..b", ".a", "a.", "10.0.0.1", "a.7", "-a.b"]);
        refused::<AbsolutePath>(&["relative", "/", "/a/", "//a", "/a/../b", "/."]);
        refused::<UserName>(&["0", "-x"]);
    }

    #[test]
    fn names_are_kept_in_lower_case() {
        assert_eq!("Web-1".parse::<Hostname>().unwrap().as_str(), "web-1");
        assert_eq!("Example.ORG".parse::<DomainName>().unwrap().as_str(), "example.org");
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        let why = "a,b".parse::<Tag>().unwrap_err().to_string();
        assert_eq!(why, r#""a,b" is not a tag: ',' cannot stand in it (letters, digits and "_.@+-" can)"#);
    }

    proptest! {
        /// Whatever is taken has none of the characters with which a file could be written on.
        #[test]
        fn nothing_that_is_taken_can_end_its_field(text in "\\PC{0,20}|[a-z0-9,#\"'\\\\ \n\r\t=*!\\[\\]-]{0,12}") {
            let taken = [
                text.parse::<Interface>().map(String::from),
                text.parse::<Tag>().map(String::from),
                text.parse::<Hostname>().map(String::from),
                text.parse::<DomainName>().map(String::from),
                text.parse::<AbsolutePath>().map(String::from),
                text.parse::<UserName>().map(String::from),
                text.parse::<OptionText>().map(String::from),
                text.parse::<LeaseTime>().map(|time| time.to_string()),
            ];
            for value in taken.into_iter().flatten() {
                let field = |c: char| c.is_ascii_graphic() && !",#\"'\\*!;[](){}<>|&$`".contains(c);
                prop_assert!(!value.is_empty() && value.chars().all(field), "{value:?}");
            }
        }
    }
}
