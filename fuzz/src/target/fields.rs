//! Texts of single fields: what a reader takes, the pattern in the schema takes too.

use std::any::type_name;
use std::fmt::Debug;
use std::sync::OnceLock;

use guestnet::core::file::{FilePath, Mode};
use guestnet::core::sysctl::{SysctlKey, SysctlValue};
use guestnet::core::{LinkName, Mac, NetnsName};
use guestnet::dhcpconf::value::{
    AbsolutePath, DomainName, Hostname, Interface, LeaseTime, OptionText, Tag, UserName,
};
use guestnet::firewall::{GroupName, PortRange, Transport};
use guestnet::nft::{Name, TableName, Verdict};
use guestnet::spec::GuestName;
use guestnet::xfrm::{KeySource, SecretSource, Spi};
use regex::Regex;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::property;

/// The type of a field that is written as a text.
struct Field {
    name: &'static str,
    /// Whether the pattern takes nothing but what the reader takes.
    is_exact: bool,
    patterns: Vec<Regex>,
    /// Reads a text; what it is printed as, or why it was refused.
    read: fn(&Value) -> Result<Value, String>,
}

fn field<T: DeserializeOwned + Serialize + JsonSchema + PartialEq + Debug>(is_exact: bool) -> Field {
    let mut patterns = Vec::new();
    collect(schema_for!(T).as_value(), &mut patterns);
    Field { name: type_name::<T>(), is_exact, patterns, read: read::<T> }
}

/// The patterns of texts in a schema: of several forms that a value can have, those that are texts.
fn collect(schema: &Value, patterns: &mut Vec<Regex>) {
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        patterns.push(Regex::new(pattern).unwrap_or_else(|e| panic!("{e}")));
    }
    for forms in ["oneOf", "anyOf"].iter().filter_map(|forms| schema.get(forms)?.as_array()) {
        forms.iter().for_each(|form| collect(form, patterns));
    }
}

impl Field {
    /// Whether the schema takes a text. One without a pattern takes all.
    fn fits(&self, text: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.is_match(text))
    }
}

fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &Value) -> Result<Value, String> {
    let value: T = serde_json::from_value(text.clone()).map_err(|e| e.to_string())?;
    let printed = serde_json::to_value(&value).map_err(|e| e.to_string())?;
    if printed.is_string() {
        let again: T = serde_json::from_value(printed.clone()).unwrap_or_else(|e| panic!("{printed}: {e}"));
        assert_eq!(again, value, "{printed}");
    }
    Ok(printed)
}

fn fields() -> &'static [Field] {
    static FIELDS: OnceLock<Vec<Field>> = OnceLock::new();
    FIELDS.get_or_init(|| {
        vec![
            field::<LinkName>(false),
            field::<NetnsName>(false),
            // The pattern takes all zeros.
            field::<Mac>(false),
            field::<GuestName>(false),
            field::<FilePath>(false),
            field::<Mode>(true),
            field::<SysctlKey>(false),
            field::<SysctlValue>(true),
            field::<TableName>(true),
            field::<Name>(false),
            field::<Verdict>(false),
            field::<GroupName>(false),
            field::<PortRange>(false),
            field::<Transport>(false),
            field::<Spi>(false),
            field::<KeySource>(false),
            field::<SecretSource>(false),
            field::<Interface>(false),
            field::<Tag>(false),
            field::<Hostname>(false),
            field::<DomainName>(false),
            field::<AbsolutePath>(false),
            field::<UserName>(true),
            field::<OptionText>(false),
            field::<LeaseTime>(false),
        ]
    })
}

pub fn run(input: &[u8]) {
    let Some((which, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Some(field) = fields().get(usize::from(*which) % fields().len()) else { return };
    let fits = field.fits(text);
    match (field.read)(&Value::from(text)) {
        Ok(printed) => {
            assert!(fits, "{}: the reader takes {text:?}, the schema does not", field.name);
            let printed = printed.as_str().unwrap_or_default();
            let takes = printed.is_empty() || field.fits(printed);
            assert!(takes, "{}: {printed:?} is printed, and the schema does not take it", field.name);
        }
        Err(words) => {
            assert!(
                !fits || !field.is_exact,
                "{}: the schema takes {text:?}, the reader does not: {words}",
                field.name
            );
            // Whoever reads a document hides what is as long as a key; these do so themselves.
            if field.name.contains("Source") {
                property::is_discreet(&words);
            }
        }
    }
}
