//! Reading a spec from JSON or TOML so that *all* its mistakes are found, not the first.
//!
//! A deserialiser stops at the first value that it cannot take. So that value is noted as a problem, taken out of the
//! document, and the document is read again, until it can be read; then what is left is checked as any spec is. What
//! a repaired place would add in problems of its own is left out: only the writer's mistakes are reported.

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::{Error, Path, Problem, Problems};
use guestnet_xfrm::Secrets;
use serde_json::Value;
use serde_path_to_error::{Path as SerdePath, Segment};
use zeroize::Zeroize;

use super::json::Strict;

/// Something that is read so.
pub(crate) trait Document: serde::de::DeserializeOwned {
    /// Reads the secrets that it names as files, and finds those that it names in `secrets`; what could not be read.
    fn load_secrets_with(&mut self, secrets: &Secrets) -> Problems;

    /// What is wrong with its parts, before they are put together.
    fn checked(&self) -> Problems;

    /// What is wrong with it.
    fn problems(&self) -> Problems {
        self.checked()
    }
}

/// After so many problems a spec is not a spec, and the rest is not worth the wait.
const ENOUGH: usize = 100;

/// As many hex digits on end, and what they are part of may be a key.
const SECRET: usize = 16;

/// Reads a document from JSON.
pub(crate) fn from_json<T: Document>(text: &str, secrets: &Secrets) -> Result<T, Error> {
    let Strict(value) = serde_json::from_str(text).map_err(|e| syntax("JSON", e.to_string()))?;
    read(value, secrets)
}

/// Reads a document from TOML.
pub(crate) fn from_toml<T: Document>(text: &str, secrets: &Secrets) -> Result<T, Error> {
    let value: Value = toml::from_str(text).map_err(|e| syntax("TOML", toml_error(&e, text)))?;
    read(value, secrets)
}

/// The words of the error and the line it is in, but not the line itself: there may be a secret on it.
fn toml_error(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| format!(" at line {}", before.matches('\n').count() + 1));
    format!("{}{}", error.message(), line.unwrap_or_default())
}

fn syntax(language: &str, message: String) -> Error {
    let mut problems = Problems::new();
    problems.at(&Path::root(), format!("is no {language}: {}", discreet(&message)));
    problems.into()
}

fn read<T: Document>(value: Value, secrets: &Secrets) -> Result<T, Error> {
    let mut reader =
        Reader { value, problems: Vec::new(), removed: BTreeMap::new(), poisoned: BTreeSet::new() };
    let mut spec = reader.spec::<T>();
    wipe(&mut reader.value);
    if let Some(spec) = &mut spec {
        let unread = spec.load_secrets_with(secrets);
        let unread = reader.mine(unread);
        // What has been repaired is not to be lowered: it would be about the repairs.
        let found =
            if reader.problems.is_empty() && unread.is_empty() { spec.problems() } else { spec.checked() };
        reader.poisoned.extend(unread.iter().map(|problem| problem.path.as_str().to_owned()));
        reader.problems.extend(unread);
        let found = reader.mine(found);
        reader.problems.extend(found);
    }
    match spec {
        Some(spec) if reader.problems.is_empty() => Ok(spec),
        _ => Err(reader.problems.into_iter().collect::<Problems>().into()),
    }
}

/// Strings of a spec may be keys.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        _ => {}
    }
}

struct Reader {
    value: Value,
    problems: Vec<Problem>,
    /// Which elements of a list were taken out, by the path of the list: to report the others where they stood.
    removed: BTreeMap<String, BTreeSet<usize>>,
    /// The places with a problem already.
    poisoned: BTreeSet<String>,
}

impl Reader {
    /// The spec, with what could not be read taken out; `None` where too little is left.
    fn spec<T: Document>(&mut self) -> Option<T> {
        while self.problems.len() < ENOUGH {
            let error = match serde_path_to_error::deserialize::<_, T>(&self.value) {
                Ok(spec) => return Some(spec),
                Err(error) => error,
            };
            let mut steps = steps(error.path());
            let message = error.inner().to_string();
            if let Some(field) = quoted(&message, "missing field `") {
                self.note(&steps, Some(&field), "is missing".into());
                if !self.fill_in::<T>(&steps, &field) {
                    self.take_out(&steps)?;
                }
                continue;
            }
            if let Some(field) = quoted(&message, "unknown field `")
                && steps.last() != Some(&Step::Key(field.clone()))
            {
                steps.push(Step::Key(field));
            }
            let said = super::words::plain(&self.with_value(&steps, &message));
            self.note(&steps, None, said);
            self.take_out(&steps)?;
        }
        None
    }

    fn note(&mut self, steps: &[Step], field: Option<&str>, message: String) {
        let mut path = Path::from(self.original(&text(steps)));
        if let Some(field) = field {
            path = path.field(field);
        }
        // What is missing because it was taken out has been reported, and so has what surrounds it.
        let surrounds = self.poisoned.iter().any(|bad| is_within(bad, path.as_str()));
        self.poisoned.insert(path.as_str().to_owned());
        if !surrounds {
            self.problems.push(Problem { path, message });
        }
    }

    /// Parsers of addresses do not say what they could not parse. Only those messages get the value added.
    fn with_value(&self, steps: &[Step], message: &str) -> String {
        let about_an_address = message.starts_with("invalid IP") || message.contains("address syntax");
        match get(&self.value, steps) {
            Some(Value::String(text)) if about_an_address && text.len() <= 64 => {
                discreet(&format!("{text:?}: {message}"))
            }
            _ => discreet(message),
        }
    }

    /// Takes the value at `steps` out of the document. `None` where there is nothing left to take out.
    fn take_out(&mut self, steps: &[Step]) -> Option<()> {
        let (last, parents) = steps.split_last()?;
        let list = self.original(&text(parents));
        match (get_mut(&mut self.value, parents)?, last) {
            (Value::Object(map), Step::Key(key)) => {
                map.remove(key)?;
            }
            (Value::Array(elements), Step::Index(index)) if *index < elements.len() => {
                elements.remove(*index);
                let removed = self.removed.entry(list).or_default();
                removed.insert(before(removed, *index));
            }
            // The place inside cannot be found (the variant of an enum): take out what surrounds it.
            _ => return self.take_out(parents),
        }
        Some(())
    }

    /// Puts something that can be read where a value is missing, so that reading can go on.
    fn fill_in<T: Document>(&mut self, steps: &[Step], field: &str) -> bool {
        let stand_ins = [
            Value::Array(Vec::new()),
            Value::Object(serde_json::Map::new()),
            "x0".into(),
            super::VERSION.into(),
            "::1".into(),
            "192.0.2.1".into(),
            "2001:db8::/64".into(),
            "02:00:00:00:00:01".into(),
            1500.into(),
            true.into(),
        ];
        let mut place = steps.to_vec();
        place.push(Step::Key(field.to_owned()));
        for stand_in in stand_ins {
            let Some(Value::Object(map)) = get_mut(&mut self.value, steps) else { return false };
            map.insert(field.to_owned(), stand_in);
            match serde_path_to_error::deserialize::<_, T>(&self.value) {
                Ok(_) => return true,
                Err(e) if !self::steps(e.path()).starts_with(&place) => return true,
                Err(_) => {}
            }
        }
        if let Some(Value::Object(map)) = get_mut(&mut self.value, steps) {
            map.remove(field);
        }
        false
    }

    /// Where a path of the repaired document was in the writer's.
    fn original(&self, path: &str) -> String {
        let mut original = String::new();
        for part in path.split_inclusive(['[', ']']) {
            match part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok()) {
                Some(index) => {
                    let list = original.trim_end_matches('[').to_owned();
                    let none = BTreeSet::new();
                    let index = before(self.removed.get(&list).unwrap_or(&none), index);
                    original.push_str(&format!("{index}]"));
                }
                None => original.push_str(part),
            }
        }
        original
    }

    /// Of the problems of the repaired document those that are the writer's, with the writer's paths.
    fn mine(&self, found: Problems) -> Vec<Problem> {
        let mine = found.into_iter().map(|problem| Problem {
            path: self.original(problem.path.as_str()).into(),
            message: problem.message,
        });
        mine.filter(|problem| !self.is_poisoned(problem.path.as_str())).collect()
    }

    fn is_poisoned(&self, path: &str) -> bool {
        self.poisoned.iter().any(|bad| is_within(path, bad))
    }
}

/// Whether `path` is `place` or a part of it.
fn is_within(path: &str, place: &str) -> bool {
    let rest = path.strip_prefix(place);
    rest.is_some_and(|rest| place.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// `message` without what it may repeat of the document: a secret may have been put in the wrong place.
fn discreet(message: &str) -> String {
    let mut words = message.to_owned();
    for start in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) =
            message.strip_prefix(start).and_then(|m| m.rsplit_once(", expected "))
        {
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim_end();
            words = format!("{start}{kind}, expected {expected}");
        }
    }
    let mut shown = String::new();
    for run in words.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let digits = run.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        shown.push_str(if digits.len() < SECRET { digits } else { "(hidden)" });
        shown.push_str(&run[digits.len()..]);
    }
    shown
}

/// The place that element `index` had before those in `removed` were taken out.
fn before(removed: &BTreeSet<usize>, mut index: usize) -> usize {
    for gone in removed {
        if *gone <= index {
            index += 1;
        }
    }
    index
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &SerdePath) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { variant } => Some(Step::Key(variant.clone())),
            Segment::Unknown => None,
        })
        .collect()
}

fn text(steps: &[Step]) -> String {
    let path = steps.iter().fold(Path::root(), |path, step| match step {
        Step::Key(key) => path.field(key),
        Step::Index(index) => path.index(*index),
    });
    path.as_str().to_owned()
}

fn get<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

fn get_mut<'a>(value: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    })
}

/// The name that stands in backticks behind `start`.
fn quoted(message: &str, start: &str) -> Option<String> {
    message.strip_prefix(start)?.split('`').next().map(str::to_owned)
}
