//! Reading on after a mistake.
//!
//! A deserialiser stops at the first value that it cannot take. So that value is noted as a problem, taken out of the
//! document, and the document is read again, until it can be read; then what is left is checked as any spec is. What
//! a repaired place would add in problems of its own is left out: only the writer's mistakes are reported.

use std::collections::{BTreeMap, BTreeSet};

use guestnet_core::records::Records;
use guestnet_core::{Path, Problem, Problems};
use serde_json::Value;
use serde_path_to_error::{Path as SerdePath, Segment};

use super::parse::{Document, discreet};

/// After so many problems a document is not read further.
const ENOUGH: usize = 1000;

/// No address is longer: what is, is not repeated.
const LONGEST: usize = 64;

/// A document, and what has been found to be wrong with it.
pub(super) struct Reader {
    pub(super) value: Value,
    pub(super) problems: Vec<Problem>,
    /// By the paths of lists: to report elements where they stood.
    lists: BTreeMap<String, List>,
    /// Whether elements that can be read may be set aside.
    sets_aside: bool,
    /// The places with a problem already.
    poisoned: BTreeSet<String>,
    /// What stands in places where nothing stood: values that nobody writes.
    stand_ins: Vec<String>,
}

/// What has become of the elements of a list.
#[derive(Default)]
struct List {
    steps: Vec<Step>,
    /// The places of those that are not in the document now.
    absent: BTreeSet<usize>,
    /// Those among them that can be read, and need not be read again while mistakes are looked for.
    aside: BTreeMap<usize, Value>,
}

impl Reader {
    pub(super) fn new(value: Value) -> Self {
        Self {
            value,
            problems: Vec::new(),
            lists: BTreeMap::new(),
            sets_aside: true,
            poisoned: BTreeSet::new(),
            stand_ins: Vec::new(),
        }
    }

    /// Notes what was wrong with values before any was read for what it means.
    pub(super) fn begin_with(&mut self, problems: Problems) {
        self.problems.extend(problems);
        self.poisoned.extend(self.problems.iter().map(|problem| problem.path.as_str().to_owned()));
    }

    /// The document, with what could not be read taken out; `None` where too little is left.
    pub(super) fn read<T: Document>(&mut self) -> Option<T> {
        while self.problems.len() < ENOUGH {
            let error = match self.parsed::<T>() {
                Ok(spec) if self.is_whole() => return Some(spec),
                Ok(_) => {
                    self.put_back();
                    continue;
                }
                Err(error) => error,
            };
            let mut steps = self.set_aside(steps(error.path()));
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
        let message =
            format!("has {ENOUGH} problems before this one, and was not read further: there may be more");
        self.problems.push(Problem { path: Path::root(), message });
        None
    }

    /// The document as a whole, as it is now.
    fn parsed<T: Document>(&self) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
        serde_path_to_error::deserialize(Records(&self.value))
    }

    /// Whether nothing is set aside.
    fn is_whole(&self) -> bool {
        self.lists.values().all(|list| list.aside.is_empty())
    }

    /// Sets aside the elements before the one that `steps` lead to: they have just been read. Otherwise a document with
    /// many mistakes would be read from its start for each of them. Returns the steps as they are then.
    fn set_aside(&mut self, mut steps: Vec<Step>) -> Vec<Step> {
        let Some(at) = steps.iter().position(|step| matches!(step, Step::Index(_))) else { return steps };
        let Some(Step::Index(index)) = steps.get_mut(at).filter(|_| self.sets_aside) else { return steps };
        let count = std::mem::take(index);
        let steps_to_list = &steps[..at];
        if let Some(Value::Array(elements)) = get_mut(&mut self.value, steps_to_list) {
            let list = self.lists.entry(text(steps_to_list)).or_default();
            list.steps = steps_to_list.to_vec();
            for element in elements.drain(..count.min(elements.len())) {
                let place = before(&list.absent, 0);
                list.absent.insert(place);
                list.aside.insert(place, element);
            }
        }
        steps
    }

    /// Puts back what was set aside. Now the elements are read together, once for each mistake that is left.
    fn put_back(&mut self) {
        self.sets_aside = false;
        for list in self.lists.values_mut().filter(|list| !list.aside.is_empty()) {
            let Some(Value::Array(elements)) = get_mut(&mut self.value, &list.steps) else { continue };
            let present = std::mem::take(elements).into_iter().enumerate();
            let mut all: BTreeMap<usize, Value> =
                present.map(|(n, element)| (before(&list.absent, n), element)).collect();
            list.absent.retain(|place| !list.aside.contains_key(place));
            all.append(&mut list.aside);
            *elements = all.into_values().collect();
        }
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
            Some(Value::String(text)) if about_an_address && text.len() <= LONGEST => {
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
                let absent = &mut self.lists.entry(list).or_default().absent;
                absent.insert(before(absent, *index));
            }
            // The place inside cannot be found (the variant of an enum): take out what surrounds it.
            _ => return self.take_out(parents),
        }
        Some(())
    }

    /// Puts something that can be read where a value is missing, so that reading can go on. Each is another, and none is
    /// what somebody would write: what is said about it is known by it.
    fn fill_in<T: Document>(&mut self, steps: &[Step], field: &str) -> bool {
        let n = self.stand_ins.len() + 1;
        let texts = [
            format!("unread0q{n}"),
            // Discard-only (RFC 6666), reserved (RFC 1112 section 4).
            format!("100::{n:x}"),
            format!("240.0.{}.{}", n >> 8 & 0xff, n & 0xff),
            format!("100:0:0:{n:x}::/64"),
            format!("02:00:00:f0:{:02x}:{:02x}", n >> 8 & 0xff, n & 0xff),
        ];
        let [name, others @ ..] = texts.map(Value::from);
        let first = [Value::Array(Vec::new()), Value::Object(serde_json::Map::new()), name];
        let last = [1500.into(), true.into()];
        let stand_ins = first.into_iter().chain([super::VERSION.into()]).chain(others).chain(last);
        let mut place = steps.to_vec();
        place.push(Step::Key(field.to_owned()));
        for stand_in in stand_ins {
            let said = stand_in.as_str().map(str::to_owned);
            let Some(Value::Object(map)) = get_mut(&mut self.value, steps) else { return false };
            map.insert(field.to_owned(), stand_in);
            let fits = match self.parsed::<T>() {
                Ok(_) => true,
                Err(e) => !self::steps(e.path()).starts_with(&place),
            };
            if fits {
                self.stand_ins.extend(said);
                return true;
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
                    let list = self.lists.get(original.trim_end_matches('['));
                    let index = list.map_or(index, |list| before(&list.absent, index));
                    original.push_str(&format!("{index}]"));
                }
                None => original.push_str(part),
            }
        }
        original
    }

    /// Adds problems with what could not be read after all.
    pub(super) fn add(&mut self, unread: Vec<Problem>) {
        self.poisoned.extend(unread.iter().map(|problem| problem.path.as_str().to_owned()));
        self.problems.extend(unread);
    }

    /// Of the problems of the repaired document those that are the writer's, with the writer's paths: neither those that
    /// are about a repaired place, nor those that would not be there if that place could have been read.
    pub(super) fn mine(&self, found: Problems) -> Vec<Problem> {
        let found = found.without_causes(|cause| {
            let cause = self.original(cause.as_str());
            self.poisoned.iter().any(|bad| is_within(&cause, bad) || is_within(bad, &cause))
        });
        let mine = found.into_iter().map(|problem| Problem {
            path: self.original(problem.path.as_str()).into(),
            message: problem.message,
        });
        let about_a_repair = |problem: &Problem| {
            self.poisoned.iter().any(|bad| is_within(problem.path.as_str(), bad))
                || self.stand_ins.iter().any(|stand_in| mentions(&problem.message, stand_in))
        };
        mine.filter(|problem| !about_a_repair(problem)).collect()
    }
}

/// Whether `path` is `place` or a part of it.
fn is_within(path: &str, place: &str) -> bool {
    let rest = path.strip_prefix(place);
    rest.is_some_and(|rest| place.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Whether `message` has `value` in it, and not only as a part of another value.
fn mentions(message: &str, value: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == ':';
    message.match_indices(value).any(|(at, _)| {
        let (ahead, behind) = (&message[..at], &message[at + value.len()..]);
        !ahead.ends_with(goes_on) && !behind.starts_with(|c: char| c.is_alphanumeric())
    })
}

/// The place that element `index` had before those at `absent` were taken out.
fn before(absent: &BTreeSet<usize>, mut index: usize) -> usize {
    for gone in absent {
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
