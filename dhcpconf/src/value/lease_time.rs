//! How long an address is lent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ValueError;

/// How long an address is lent, or an IPv6 prefix is valid: `12h`, `30m`, `3600s`, `7d`, `1w` or `infinite`.
///
/// At most 68 years (2³¹-1 seconds). A number needs its unit: bare ones were prefix lengths too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LeaseTime {
    /// So many seconds.
    Seconds(u32),
    /// For ever.
    Infinite,
}

impl LeaseTime {
    /// The least that dnsmasq grants, in seconds. It raises what is less, without a word.
    pub const LEAST: Self = Self::Seconds(120);

    /// So many hours.
    pub const fn hours(hours: u16) -> Self {
        Self::Seconds(hours as u32 * 3600)
    }
}

impl FromStr for LeaseTime {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "infinite" {
            return Ok(Self::Infinite);
        }
        let refuse =
            || ValueError(format!("{text:?} is not a lease time: one is 12h, 30m, 90s, 7d, 1w or infinite"));
        let (at, unit) = text.char_indices().last().ok_or_else(refuse)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(refuse()),
        };
        let number = &text[..at];
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse());
        }
        let time = number.parse::<u32>().ok().and_then(|n| n.checked_mul(seconds));
        time.filter(|n| i32::try_from(*n).is_ok())
            .map(Self::Seconds)
            .ok_or_else(|| ValueError(format!("{text:?} is longer than 68 years; infinite is a lease time")))
    }
}

impl fmt::Display for LeaseTime {
    /// In the largest unit up to hours that says it exactly; every dnsmasq reads these.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Infinite => f.write_str("infinite"),
            Self::Seconds(n) if n > 0 && n % 3600 == 0 => write!(f, "{}h", n / 3600),
            Self::Seconds(n) if n > 0 && n % 60 == 0 => write!(f, "{}m", n / 60),
            Self::Seconds(n) => write!(f, "{n}s"),
        }
    }
}

impl TryFrom<String> for LeaseTime {
    type Error = ValueError;
    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<LeaseTime> for String {
    fn from(time: LeaseTime) -> String {
        time.to_string()
    }
}

impl schemars::JsonSchema for LeaseTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LeaseTime".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^([0-9]+[smhdw]|infinite)$" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, seconds) in [("12h", 43_200), ("30m", 1800), ("90s", 90), ("7d", 604_800), ("1w", 604_800)]
        {
            assert_eq!(text.parse(), Ok(LeaseTime::Seconds(seconds)), "{text}");
        }
        for bad in ["", "12", "h", "-1h", "+1h", "1.5h", "12 h", "68y", "3551w", "99999999999h", "é"] {
            assert!(bad.parse::<LeaseTime>().is_err(), "{bad:?}");
        }
        assert_eq!(LeaseTime::hours(12).to_string(), "12h");
        assert_eq!(LeaseTime::LEAST.to_string(), "2m");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0_u32..=i32::MAX as u32) {
            let time = LeaseTime::Seconds(seconds);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
