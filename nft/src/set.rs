//! Sets and maps.

use std::fmt;

use guestnet_core::{Change, Object};
use serde::{Deserialize, Serialize};

use crate::datatype::concatenation;
use crate::words::count;
use crate::{DataType, Element, Elements, Name, Stateful, Types};

/// A set, or with `data` a map.
///
/// `nft add map ip guestnet_nat inbound '{ type ipv4_addr : ipv4_addr; }'`
///
/// What it costs (measured with 100,000 elements): a set of values is a hash, 3 µs to add or delete an element.
/// With `interval` it is a tree, 12 ms; intervals in a concatenation cost 5 ms to add and 300 ms to delete. For
/// prefixes of one length, a set of values looked up with a masked key ([`crate::Field::prefix`]) is a hash again.
///
/// In JSON the elements are values as text, by the types of the set:
/// `{"name": "inbound", "key": "ipv4_addr", "data": "ipv4_addr",
/// "elements": [{"key": "203.0.113.7", "data": "10.0.0.7"}]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "crate::json::SetText", into = "crate::json::SetText")]
pub struct Set {
    /// Its name.
    pub name: Name,
    /// The type of its keys; several are a concatenation.
    pub key: Types,
    /// The type of its data, for a map.
    pub data: Option<MapType>,
    /// Whether elements are intervals: prefixes and ranges. Overlapping ones are merged before they are sent.
    pub interval: bool,
    /// For how many elements the kernel makes room. A set that will grow to many is filled in half the time
    /// (262144 is plenty); it is also the most that it can hold.
    pub size: Option<u32>,
    /// The expression that each of its elements carries.
    pub stateful: Option<Stateful>,
    /// What is in it.
    pub elements: Elements,
}

/// The type of a map's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapType {
    /// Values; several types are a concatenation.
    Values(Types),
    /// Verdicts.
    Verdict,
}

impl Set {
    /// An empty set with keys of one type, or of several in a concatenation.
    pub fn new(name: Name, key: impl Into<Types>) -> Self {
        Self {
            name,
            key: key.into(),
            data: None,
            interval: false,
            size: None,
            stateful: None,
            elements: Elements::new(),
        }
    }

    /// An empty map.
    pub fn map(name: Name, key: impl Into<Types>, data: impl Into<Types>) -> Self {
        Self { data: Some(MapType::Values(data.into())), ..Self::new(name, key) }
    }

    /// An empty map to verdicts. Do not let one grow with the guests: each jump costs a validation of all.
    pub fn verdict_map(name: Name, key: impl Into<Types>) -> Self {
        Self { data: Some(MapType::Verdict), ..Self::new(name, key) }
    }

    /// The set with room for prefixes and ranges.
    #[must_use]
    pub fn interval(mut self) -> Self {
        self.interval = true;
        self
    }

    /// The set with room for `size` elements.
    #[must_use]
    pub fn size(mut self, size: u32) -> Self {
        self.size = Some(size);
        self
    }

    /// The set with `stateful` for each of its elements.
    #[must_use]
    pub fn stateful(mut self, stateful: impl Into<Option<Stateful>>) -> Self {
        self.stateful = stateful.into();
        self
    }

    /// The set with `elements` added.
    #[must_use]
    pub fn with(mut self, elements: impl IntoIterator<Item = Element>) -> Self {
        self.elements.extend(elements);
        self
    }

    /// Whether packets put elements into it, which are nothing that anybody wants or misses.
    pub fn is_dynamic(&self) -> bool {
        self.stateful.as_ref().is_some_and(Stateful::is_dynamic)
    }

    /// The types of its keys, and of its data where that are values.
    pub(crate) fn types(&self) -> impl Iterator<Item = DataType> {
        let data = match &self.data {
            Some(MapType::Values(types)) => &types[..],
            Some(MapType::Verdict) | None => &[],
        };
        self.key.iter().chain(data).copied()
    }

    /// Whether it is a map.
    pub fn is_map(&self) -> bool {
        self.data.is_some()
    }

    /// Whether `found` can be made into it by elements alone: it is of the same kind and has the room. One that was made
    /// without saying for how many has room for any number.
    pub fn can_be(&self, found: &Self) -> bool {
        let room = |room: u32| {
            let wanted = self.elements.len().max(self.size.map_or(0, |size| size as usize));
            room as usize >= wanted
        };
        (&self.name, &self.key, &self.data, self.interval, &self.stateful)
            == (&found.name, &found.key, &found.data, found.interval, &found.stateful)
            && found.size.is_none_or(room)
    }
}

impl Set {
    /// The set with the elements that only `old` has as well, which is about to become it; `None` where there are none, or
    /// where they cannot be in one set.
    pub(crate) fn with_those_of(&self, old: &Self) -> Option<Self> {
        let alike = (&self.key, &self.data, self.interval, &self.stateful)
            == (&old.key, &old.data, old.interval, &old.stateful);
        // Two intervals that overlap may lead to different data.
        if !alike || (self.interval && self.is_map()) {
            return None;
        }
        let gone = self.elements.changes(&old.elements).filter_map(|change| match change {
            Change::Delete(gone) => Some(gone.clone()),
            Change::Create(_) | Change::Replace { .. } => None,
        });
        let gone: Vec<Element> = gone.collect();
        if gone.is_empty() {
            return None;
        }
        let mut both = self.clone();
        both.elements.extend(gone);
        let count = u32::try_from(both.elements.len()).unwrap_or(u32::MAX);
        both.size = both.size.map(|size| size.max(count));
        Some(both)
    }
}

impl Object for Set {
    type Key = Name;
    const KIND: &'static str = "set";

    fn key(&self) -> Name {
        self.name.clone()
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, concatenation(&self.key))?;
        if let Some(data) = &self.data {
            write!(f, " : {data}")?;
        }
        write!(f, ")  {}", count(self.elements.len(), "element"))
    }
}

impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(types) => f.write_str(&concatenation(types)),
            Self::Verdict => f.write_str("verdict"),
        }
    }
}
