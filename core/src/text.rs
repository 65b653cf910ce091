//! What every checked text has in common.

use std::str::FromStr;

/// The number that `text` is: decimal digits and nothing else, no sign, blank or zero before it. What differs in the
/// text differs in the number.
///
/// ```
/// assert_eq!(guestnet_core::number::<u16>("80"), Some(80));
/// assert!(["", "+80", " 80", "080", "65536"].iter().all(|text| guestnet_core::number::<u16>(text).is_none()));
/// ```
pub fn number<T: FromStr>(text: &str) -> Option<T> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Gives a type that has `FromStr` and `Display` the conversions with which it is read from and written to a spec, and
/// its schema: a string, with a pattern where one says it all.
///
/// ```
/// #[derive(Debug, PartialEq)]
/// struct Even(u8);
/// impl std::str::FromStr for Even {
///     type Err = String;
///     fn from_str(text: &str) -> Result<Self, String> {
///         text.parse().ok().filter(|n| n % 2 == 0).map(Even).ok_or_else(|| format!("{text:?} is not even"))
///     }
/// }
/// impl std::fmt::Display for Even {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         self.0.fmt(f)
///     }
/// }
/// guestnet_core::checked_text!(Even, String);
/// assert_eq!(Even::try_from("4".to_owned()), Ok(Even(4)));
/// ```
#[macro_export]
macro_rules! checked_text {
    ($type:ident, $error:ty $(, $pattern:literal)?) => {
        impl TryFrom<String> for $type {
            type Error = $error;
            fn try_from(text: String) -> ::std::result::Result<Self, $error> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
        impl $crate::schemars::JsonSchema for $type {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut $crate::schemars::SchemaGenerator) -> $crate::schemars::Schema {
                $crate::schemars::json_schema!({ "type": "string" $(, "pattern": $pattern)? })
            }
        }
    };
}
