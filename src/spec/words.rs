//! The words of a deserialiser, said to the person who wrote the spec.

/// How many letters may differ for one name to be meant by another.
const NEAR: usize = 2;

/// What was expected, in the language of documents instead of Rust's.
const PLAIN: [(&str, &str); 5] = [
    ("expected u8", "expected a number from 0 to 255"),
    ("expected u16", "expected a number from 0 to 65535"),
    ("expected u32", "expected a number from 0 to 4294967295"),
    ("expected u64", "expected a number that is not negative"),
    ("expected a boolean", "expected true or false"),
];

/// `message`, with the name that is meant where one is nearly given, and without the names of Rust's types.
pub(super) fn plain(message: &str) -> String {
    if let Some((found, meant)) = meant(message) {
        return format!("unknown field `{found}`; is `{meant}` meant?");
    }
    if let Some((start, _)) = message.split_once(", expected struct ") {
        return format!("{start}, expected an object");
    }
    let found = PLAIN.iter().find_map(|(rust, plain)| Some((message.strip_suffix(rust)?, plain)));
    found.map_or_else(|| message.to_owned(), |(start, plain)| format!("{start}{plain}"))
}

/// The name that `message` found, and of those that it expects the nearest.
fn meant(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (found, rest) = rest.split_once('`')?;
    let names = rest.split('`').skip(1).step_by(2);
    let near = names.map(|name| (strsim::damerau_levenshtein(found, name), name));
    near.filter(|(distance, name)| *distance <= NEAR && *distance < name.len())
        .min()
        .map(|(_, name)| (found, name))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_is_nearly_a_name_is_taken_for_it() {
        let said = plain("unknown field `nmae`, expected one of `name`, `kind`, `mac`");
        assert_eq!(said, "unknown field `nmae`; is `name` meant?");
        let said = plain("unknown field `interface`, expected `interfaces` or `name`");
        assert_eq!(said, "unknown field `interface`; is `interfaces` meant?");
        let far = "unknown field `colour`, expected one of `name`, `kind`, `mac`";
        assert_eq!(plain(far), far);
        let none = "unknown field `a`, there are no fields";
        assert_eq!(plain(none), none);
    }

    #[test]
    fn types_are_those_of_documents() {
        assert!(
            plain("invalid type: string, expected u32")
                .ends_with("string, expected a number from 0 to 4294967295")
        );
        assert_eq!(plain("invalid type: map, expected a string"), "invalid type: map, expected a string");
        let said = plain("invalid type: sequence, expected struct HostSpec");
        assert_eq!(said, "invalid type: sequence, expected an object");
    }
}
