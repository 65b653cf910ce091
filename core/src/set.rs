//! Objects and keyed sets of them: what is wanted, and what was found.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::{Debug, Display};
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Something that a host can have: a link, a route, a table, a file.
///
/// The same type says what is wanted and what was found. Its `Display` is what stands after the sign in a plan
/// and must not contain secrets.
pub trait Object: Clone + Debug + Display + PartialEq + 'static {
    /// What identifies the object among its kind in one namespace.
    type Key: Clone + Debug + Display + Ord + 'static;

    /// The word for its kind, as in plans: `route`.
    const KIND: &'static str;

    /// What identifies this object.
    fn key(&self) -> Self::Key;

    /// Whether `found`, which has the same key, is already as this object wants it.
    ///
    /// The default is equality. A kind in which a wanted object may leave something to the kernel (a link
    /// without a MAC address) compares only what was asked for.
    fn accepts(&self, found: &Self) -> bool {
        self == found
    }

    /// What is left of this object when `gone`, which has the same key, is taken away from the host. Most objects go as
    /// a whole; one that several guests share loses what was the one's.
    fn less(&self, _gone: &Self) -> Option<Self> {
        None
    }

    /// What this object and `there`, which has the same key and is on the host, are together. Most objects take the place
    /// of what is there; one that several guests share keeps what is the others'.
    ///
    /// # Errors
    /// Why there is no such object, for the person who has to decide.
    fn more(&self, _there: &Self) -> Result<Self, String> {
        Ok(self.clone())
    }

    /// The difference from `old` in words, for the line of a plan.
    fn changed_from(&self, old: &Self) -> String {
        format!("{self}  (was: {old})")
    }
}

/// A set of objects by key. In JSON and TOML it is a list; two objects with one key are an error.
///
/// A copy shares the objects until one of the two is changed; until then it costs nothing to compare them.
///
/// The set remembers of each object where it came from, as a number: its place in the list that the set was read from, or
/// what [`Set::insert_from`] was given.
#[derive(Clone)]
pub struct Set<T: Object> {
    /// `None` is none: a namespace has objects of few kinds, and what it has not costs nothing.
    objects: Option<Arc<BTreeMap<T::Key, Sourced<T>>>>,
}

/// An object, and where it came from.
#[derive(Clone)]
struct Sourced<T> {
    object: T,
    origin: u32,
}

/// The origin of what nobody said one of.
const UNKNOWN: u32 = u32::MAX;

impl<T> From<T> for Sourced<T> {
    fn from(object: T) -> Self {
        Self { object, origin: UNKNOWN }
    }
}

/// Two sets are equal when their objects are, wherever these come from.
impl<T: PartialEq> PartialEq for Sourced<T> {
    fn eq(&self, other: &Self) -> bool {
        self.object == other.object
    }
}

impl<T> Deref for Sourced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T> Sourced<T> {
    fn origin(&self) -> Option<u32> {
        (self.origin != UNKNOWN).then_some(self.origin)
    }

    /// The place in a list; `n` where there was none.
    fn position(&self, n: usize) -> usize {
        self.origin().map_or(n, |origin| origin as usize)
    }
}

impl<T: Object> Default for Set<T> {
    fn default() -> Self {
        Self { objects: None }
    }
}

impl<T: Object> PartialEq for Set<T> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.objects(), other.objects()) || self.objects() == other.objects()
    }
}

impl<T: Object> Debug for Set<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Object> Set<T> {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `object`. Returns what stood under its key before.
    pub fn insert(&mut self, object: T) -> Option<T> {
        Some(self.objects_mut().insert(object.key(), object.into())?.object)
    }

    /// Adds `object`, which comes from `origin`, unless something stands under its key: then it is given back. `u32::MAX`
    /// is no origin.
    ///
    /// # Errors
    /// `object`, with what stands there.
    pub fn insert_from(&mut self, origin: u32, object: T) -> Result<(), (T, &T)> {
        match self.objects_mut().entry(object.key()) {
            Entry::Vacant(free) => {
                free.insert(Sourced { object, origin });
                Ok(())
            }
            Entry::Occupied(taken) => Err((object, &taken.into_mut().object)),
        }
    }

    /// Where the object with `key` came from, if it is there and somebody said so.
    pub fn origin(&self, key: &T::Key) -> Option<u32> {
        self.objects().get(key)?.origin()
    }

    /// The objects with their origins, as far as there are any, in the order of their keys.
    pub fn with_origins(&self) -> impl Iterator<Item = (Option<u32>, &T)> {
        self.objects().values().map(|sourced| (sourced.origin(), &sourced.object))
    }

    /// A copy in which every object has an origin: the one it has, or its place in the order of keys.
    #[must_use]
    pub fn numbered(&self) -> Self {
        let mut copy = self.clone();
        if self.objects().values().any(|sourced| sourced.origin == UNKNOWN) {
            for (n, sourced) in copy.objects_mut().values_mut().enumerate() {
                sourced.origin = u32::try_from(sourced.position(n)).unwrap_or(UNKNOWN);
            }
        }
        copy
    }

    /// Adds what `other` has; of two objects with one key the other's stays.
    pub fn merge(&mut self, other: Self) {
        match other.objects {
            None => {}
            Some(_) if self.is_empty() => self.objects = other.objects,
            Some(others) => self.objects_mut().extend(Arc::unwrap_or_clone(others)),
        }
    }

    const NONE: &'static BTreeMap<T::Key, Sourced<T>> = &BTreeMap::new();

    fn objects(&self) -> &BTreeMap<T::Key, Sourced<T>> {
        self.objects.as_deref().unwrap_or(Self::NONE)
    }

    /// The objects, this set's own.
    fn objects_mut(&mut self) -> &mut BTreeMap<T::Key, Sourced<T>> {
        Arc::make_mut(self.objects.get_or_insert_default())
    }

    /// Takes the object with `key` out.
    pub fn remove(&mut self, key: &T::Key) -> Option<T> {
        Some(self.objects_mut().remove(key)?.object)
    }

    /// The object with `key`.
    pub fn get(&self, key: &T::Key) -> Option<&T> {
        self.objects().get(key).map(Deref::deref)
    }

    /// The object with `key`, to be changed in place. Whoever changes its key loses it.
    pub fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        self.objects_mut().get_mut(key).map(|sourced| &mut sourced.object)
    }

    /// Whether there is an object with `key`.
    pub fn contains(&self, key: &T::Key) -> bool {
        self.objects().contains_key(key)
    }

    /// The objects, in the order of their keys.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self.objects().values())
    }

    /// The objects with their keys, in the order of these.
    pub fn entries(&self) -> impl Iterator<Item = (&T::Key, &T)> {
        self.objects().iter().map(|(key, sourced)| (key, &sourced.object))
    }

    /// The objects with their places in the list that the set was read from, for problems; of a set that was not
    /// read, with their places in the order of their keys.
    pub fn with_positions(&self) -> impl Iterator<Item = (usize, &T)> {
        self.objects().values().enumerate().map(|(n, sourced)| (sourced.position(n), &sourced.object))
    }

    /// The objects, to be changed in place, with their places as of [`Self::with_positions`]. Whoever changes an object's
    /// key loses it.
    pub fn with_positions_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let objects = self.objects.iter_mut().flat_map(|objects| Arc::make_mut(objects).values_mut());
        objects.enumerate().map(|(n, sourced)| (sourced.position(n), &mut sourced.object))
    }

    /// Takes away what `gone` has, as far as each object lets it go.
    pub fn subtract(&mut self, gone: &Self) {
        let objects = self.objects_mut();
        for (key, object) in gone.entries() {
            if let Some(rest) = objects.remove(key).and_then(|mine| mine.less(object)) {
                objects.insert(key.clone(), rest.into());
            }
        }
    }

    /// Adds what `others` have, which are on the host, to objects with the same keys; the rest of them is passed over.
    ///
    /// # Errors
    /// The objects that cannot be both, a line each.
    pub fn join(&mut self, others: &Self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        for (key, sourced) in self.objects_mut() {
            match others.get(key).map(|there| sourced.more(there)) {
                None => {}
                Some(Ok(both)) => sourced.object = both,
                Some(Err(why)) => problems.push(format!("{} {key}: {why}", T::KIND)),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Keeps the objects for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.objects_mut().retain(|_, sourced| keep(&sourced.object));
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects().is_empty()
    }
}

impl<T: Object> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(objects: I) -> Self {
        let mut set = Self::new();
        set.extend(objects);
        set
    }
}

impl<T: Object> Extend<T> for Set<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, objects: I) {
        let objects = objects.into_iter().map(|object| (object.key(), object.into()));
        if self.is_empty() {
            // All at once is several times faster than one by one.
            let objects: BTreeMap<_, _> = objects.collect();
            self.objects = (!objects.is_empty()).then(|| Arc::new(objects));
        } else {
            self.objects_mut().extend(objects);
        }
    }
}

/// The objects of a set, in the order of their keys.
pub struct Iter<'a, T: Object>(std::collections::btree_map::Values<'a, T::Key, Sourced<T>>);

impl<T: Object> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<'a, T: Object> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.0.next().map(Deref::deref)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: Object> DoubleEndedIterator for Iter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(Deref::deref)
    }
}

impl<T: Object> ExactSizeIterator for Iter<'_, T> {}

/// The objects of a set that is given up, in the order of their keys.
pub struct IntoIter<T: Object>(std::collections::btree_map::IntoValues<T::Key, Sourced<T>>);

impl<T: Object> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        Some(self.0.next()?.object)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: Object> ExactSizeIterator for IntoIter<T> {}

impl<T: Object> IntoIterator for Set<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self.objects.map(Arc::unwrap_or_clone).unwrap_or_default().into_values())
    }
}

impl<'a, T: Object> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Object + Serialize> Serialize for Set<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, T: Object + Deserialize<'de>> Deserialize<'de> for Set<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(Self::new()))
    }
}

/// Reads a list into the set.
struct List<T: Object>(Set<T>);

impl<'de, T: Object + Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Set<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a list, each {} once", T::KIND)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Set<T>, A::Error> {
        while list.next_element_seed(Another(&mut self.0))?.is_some() {}
        Ok(self.0)
    }
}

/// Reads one object of a list. Two with one key are an error of the second, so that the error's path leads there.
struct Another<'a, T: Object>(&'a mut Set<T>);

impl<'de, T: Object + Deserialize<'de>> DeserializeSeed<'de> for Another<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // Of more than 2^32 objects in one list the places are not told.
        let place = u32::try_from(self.0.len()).unwrap_or(UNKNOWN);
        let object = T::deserialize(deserializer)?;
        let twice = |(object, _): (T, &T)| {
            D::Error::custom(format!("there is another {} {} before it", T::KIND, object.key()))
        };
        self.0.insert_from(place, object).map_err(twice)
    }
}

impl<T: Object + schemars::JsonSchema> schemars::JsonSchema for Set<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("SetOf{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<T>::json_schema(generator)
    }
}

/// What was found on a host of one kind.
#[derive(Clone, Debug)]
pub struct Observed<T: Object> {
    /// The objects that carry guestnet's mark.
    pub ours: Set<T>,
    /// The objects of others that hold a wanted key. Others that are in nobody's way are not listed.
    pub foreign: BTreeMap<T::Key, Foreign>,
}

/// An object of somebody else's that holds a key we want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it is, for the person who has to decide.
    pub what: String,
    /// Whether it already is what we want. Then it is left alone, now and when ours are removed.
    pub satisfies: bool,
}

impl<T: Object> Default for Observed<T> {
    fn default() -> Self {
        Self { ours: Set::new(), foreign: BTreeMap::new() }
    }
}

impl<T: Object> Observed<T> {
    /// Notes `found`, which is not ours, if it holds a key that `wanted` has.
    pub fn note_foreign(&mut self, found: &T, wanted: &Set<T>) {
        if let Some(want) = wanted.get(&found.key()) {
            let foreign = Foreign { what: found.to_string(), satisfies: want.accepts(found) };
            self.foreign.insert(found.key(), foreign);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Word(String);

    impl Display for Word {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl Object for Word {
        type Key = String;
        const KIND: &'static str = "word";
        fn key(&self) -> String {
            self.0.clone()
        }
    }

    fn set(words: &[&str]) -> Set<Word> {
        words.iter().map(|word| Word((*word).to_owned())).collect()
    }

    #[test]
    fn a_set_that_became_empty_is_one_that_never_had_anything() {
        let (new, mut emptied) = (Set::<Word>::new(), set(&["a"]));
        assert!(emptied.remove(&"a".to_owned()).is_some() && emptied.is_empty());
        let mut subtracted = set(&["a", "b"]);
        subtracted.subtract(&set(&["b", "a", "c"]));
        let mut retained = set(&["a"]);
        retained.retain(|_| false);
        for empty in [&emptied, &subtracted, &retained, &set(&[]), &new.clone()] {
            assert_eq!(*empty, new);
            assert_eq!((empty.len(), empty.iter().count(), empty.get(&"a".to_owned())), (0, 0, None));
            assert_eq!(serde_json::to_string(empty).unwrap(), "[]");
        }
        assert_ne!(set(&["a"]), new);
        assert_eq!(serde_json::from_str::<Set<Word>>("[]").unwrap(), new);
        // What is empty can be filled again.
        emptied.extend([Word("b".into())]);
        assert_eq!(emptied, set(&["b"]));
    }

    #[test]
    fn a_copy_does_not_follow() {
        let mut one = set(&["a"]);
        let two = one.clone();
        one.insert(Word("b".into()));
        assert_eq!((one.len(), two.len()), (2, 1));
        assert_eq!(one.insert_from(0, Word("b".into())).unwrap_err().1.0, "b");
    }

    #[test]
    fn a_set_says_where_its_objects_came_from() {
        let mut read = serde_json::from_str::<Set<Word>>(r#"["b", "a"]"#).unwrap();
        let places = |set: &Set<Word>| {
            let mut places: Vec<_> = set.with_positions().map(|(n, word)| (n, word.0.clone())).collect();
            places.sort_unstable();
            places
        };
        assert_eq!(places(&read), [(0, "b".to_owned()), (1, "a".to_owned())]);
        assert_eq!(
            places(&set(&["b", "a"])),
            [(0, "a".to_owned()), (1, "b".to_owned())],
            "in the order of keys"
        );
        read.insert_from(7, Word("c".into())).unwrap();
        assert_eq!(read.origin(&"c".to_owned()), Some(7));
        assert_eq!(
            read.with_origins().map(|(origin, _)| origin).collect::<Vec<_>>(),
            [Some(1), Some(0), Some(7)]
        );
        assert_eq!(set(&["a"]).origin(&"a".to_owned()), None);
        // It makes no two sets unequal.
        assert_eq!(read, set(&["a", "b", "c"]));
    }

    #[test]
    fn two_with_one_key_are_an_error_of_the_second() {
        let said = serde_json::from_str::<Set<Word>>(r#"["a", "b", "a"]"#).unwrap_err().to_string();
        assert!(said.starts_with("there is another word a before it"), "{said}");
    }
}
