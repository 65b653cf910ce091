//! What is wrong with a spec: every problem at once, each with the path of the value that causes it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::visible;

/// Where in a spec a value stands: `guests[0].interfaces[1].mac`.
///
/// A path is extended as a check walks down: `path.field("guests").index(0)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Path {
    text: String,
    #[serde(skip)]
    is_unwritten: bool,
}

impl Path {
    /// The spec itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path that is not written, nor are those that extend it: for a first look, which asks only whether anything is wrong.
    /// Most often nothing is, and of every value of a spec there is a path.
    pub fn unwritten() -> Self {
        Self { is_unwritten: true, ..Self::default() }
    }

    /// The field `name` of the value at this path.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let dot = if self.text.is_empty() { "" } else { "." };
        self.with(&[dot, name])
    }

    /// The element `index` of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        if self.is_unwritten { Self::unwritten() } else { self.with(&["[", &index.to_string(), "]"]) }
    }

    fn with(&self, parts: &[&str]) -> Self {
        if self.is_unwritten {
            return Self::unwritten();
        }
        let mut text =
            String::with_capacity(self.text.len() + parts.iter().map(|part| part.len()).sum::<usize>());
        text.push_str(&self.text);
        parts.iter().for_each(|part| text.push_str(part));
        Self::from(text)
    }

    /// The path as text; empty for the spec itself.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() { f.write_str("(the spec)") } else { f.write_str(&visible(&self.text)) }
    }
}

/// One thing that is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Where it is. A value that is missing is reported at the path where it should stand.
    pub path: Path,
    /// What is wrong, in words for the person who wrote the spec. Never contains a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, visible(&self.message))
    }
}

/// All the problems of a spec, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems {
    all: Vec<Problem>,
    /// Of those that follow from another value of the spec, the path of that value.
    #[serde(skip)]
    causes: BTreeMap<usize, Path>,
}

impl Problems {
    /// No problem yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a problem.
    #[cold]
    pub fn at(&mut self, path: &Path, message: impl Into<String>) {
        self.all.push(Problem { path: path.clone(), message: message.into() });
    }

    /// Notes a problem at `path` that is one only because of what stands at `cause`: a name that is not among those that
    /// are listed there. Where the value at `cause` could not be read, it is no problem of the writer's.
    #[cold]
    pub fn at_because(&mut self, path: &Path, cause: &Path, message: impl Into<String>) {
        self.causes.insert(self.all.len(), cause.clone());
        self.at(path, message);
    }

    /// Takes out those that follow from a value at a path of which `unread` says that it could not be read.
    pub fn without_causes(self, unread: impl Fn(&Path) -> bool) -> Self {
        let Self { all, causes } = self;
        let holds = |n: &usize| !causes.get(n).is_some_and(&unread);
        all.into_iter().enumerate().filter(|(n, _)| holds(n)).map(|(_, problem)| problem).collect()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The problems, first found first.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.all.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(iter: I) -> Self {
        Self { all: iter.into_iter().collect(), causes: BTreeMap::new() }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.all.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_where_somebody_reads_them() {
        let walk = |root: Path| root.field("guests").index(12).field("name");
        assert_eq!(walk(Path::root()).to_string(), "guests[12].name");
        assert_eq!(Path::root().index(0).field("x").as_str(), "[0].x");
        assert_eq!(walk(Path::unwritten()).as_str(), "");
        assert_eq!(serde_json::to_string(&walk(Path::root())).unwrap(), r#""guests[12].name""#);
    }
}
