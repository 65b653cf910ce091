//! The elements of sets and maps.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use guestnet_core::{LinkName, Mac, Object};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{DataType, Value, Verdict};

/// An element of a set, or of a map. What it is depends on the set: see [`crate::Set`].
///
/// There can be very many, so what few have is in a box: an element has 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// What a packet is compared with.
    pub key: Key,
    /// What a map answers.
    pub data: Option<Data>,
    /// Words for the person who reads `nft list`; 127 bytes at most.
    pub comment: Option<Box<str>>,
}

/// The key of an element: one value, or several in a concatenation; or an interval.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Exact(Values),
    /// From the first to the last, which are not the same.
    Interval(Box<(Values, Values)>),
}

/// One value, or several in a concatenation. A single one needs no memory of its own.
#[derive(Clone)]
pub struct Values(Inner);

#[derive(Clone)]
enum Inner {
    One([Value; 1]),
    Several(Box<[Value]>),
}

/// What a map answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// A value, or several in a concatenation.
    Values(Values),
    /// What becomes of the packet.
    Verdict(Box<Verdict>),
}

impl Element {
    /// An element of a set.
    pub fn new(key: impl Into<Key>) -> Self {
        Self { key: key.into(), data: None, comment: None }
    }

    /// An element of a map.
    pub fn mapping(key: impl Into<Key>, data: impl Into<Data>) -> Self {
        Self { key: key.into(), data: Some(data.into()), comment: None }
    }

    /// The element with a comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<Box<str>>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}

impl Object for Element {
    type Key = Key;
    const KIND: &'static str = "element";

    fn key(&self) -> Key {
        self.key.clone()
    }
}

impl std::ops::Deref for Values {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        match &self.0 {
            Inner::One(one) => one,
            Inner::Several(several) => several,
        }
    }
}

impl From<Value> for Values {
    fn from(value: Value) -> Self {
        Self(Inner::One([value]))
    }
}

impl From<Vec<Value>> for Values {
    fn from(values: Vec<Value>) -> Self {
        Self(<[Value; 1]>::try_from(values).map_or_else(|values| Inner::Several(values.into()), Inner::One))
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Values {}

impl PartialOrd for Values {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Values {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // Said by itself because most are such, and lists of them are looked through for their order.
            (Inner::One([value]), Inner::One([other])) => value.cmp(other),
            _ => (**self).cmp(other),
        }
    }
}

impl Hash for Values {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    /// By where it starts; a single value comes before the intervals that start with it.
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Form::Exact(values), Form::Exact(others)) = (&self.0, &other.0) {
            return values.cmp(others);
        }
        let first = self.first().cmp(other.first());
        first.then(self.is_interval().cmp(&other.is_interval())).then_with(|| self.last().cmp(other.last()))
    }
}

impl Key {
    /// The interval from `first` to `last`, both inside.
    pub fn range(first: impl Into<Value>, last: impl Into<Value>) -> Self {
        Self::of(first.into().into(), last.into().into())
    }

    /// The interval between two concatenations, field by field, both inside.
    pub fn between(first: Vec<Value>, last: Vec<Value>) -> Self {
        Self::of(first.into(), last.into())
    }

    pub(crate) fn of(first: Values, last: Values) -> Self {
        Self(if first == last { Form::Exact(first) } else { Form::Interval(Box::new((first, last))) })
    }

    /// The concatenation of `fields`: each a value, a prefix or a range.
    pub fn concatenation(fields: impl IntoIterator<Item = Key>) -> Self {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for field in fields {
            last.extend_from_slice(field.last());
            first.extend_from_slice(field.first());
        }
        Self::between(first, last)
    }

    /// The values, and for an interval the lowest of them.
    pub fn first(&self) -> &[Value] {
        match &self.0 {
            Form::Exact(values) => values,
            Form::Interval(ends) => &ends.0,
        }
    }

    /// The highest values of an interval; otherwise the same as [`Self::first`].
    pub fn last(&self) -> &[Value] {
        match &self.0 {
            Form::Exact(values) => values,
            Form::Interval(ends) => &ends.1,
        }
    }

    /// Whether it is more than one value.
    pub fn is_interval(&self) -> bool {
        matches!(self.0, Form::Interval(_))
    }

    /// Its fields, each as text: a value, a prefix, or a range.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.first().iter().zip(self.last()).map(|(first, last)| span(first, last))
    }
}

/// The text of an interval: a prefix where it is one.
fn span(first: &Value, last: &Value) -> String {
    if first == last {
        return first.to_string();
    }
    let prefix = match (first, last) {
        (Value::Ipv4(a), Value::Ipv4(b)) => {
            let length = (a.to_bits() ^ b.to_bits()).leading_zeros();
            let net = Ipv4Net::new(*a, length as u8).ok().map(IpNet::V4);
            net.filter(|n| n.network() == *a && n.broadcast() == *b)
        }
        (Value::Ipv6(a), Value::Ipv6(b)) => {
            let length = (a.to_bits() ^ b.to_bits()).leading_zeros();
            let net = Ipv6Net::new(*a, length as u8).ok().map(IpNet::V6);
            net.filter(|n| n.network() == *a && n.broadcast() == *b)
        }
        _ => None,
    };
    prefix.map_or_else(|| format!("{first}-{last}"), |net| net.to_string())
}

/// Reads a value, a prefix or a range of `data`.
pub(crate) fn parse_span(data: DataType, text: &str) -> Result<Key, String> {
    if matches!(data, DataType::Ipv4Addr | DataType::Ipv6Addr) && text.contains('/') {
        let refuse = || format!("{text:?} is not a prefix of {data}");
        let net: IpNet = text.parse().map_err(|_| refuse())?;
        if net.trunc() != net {
            return Err(format!("{text:?} has bits behind its prefix: {} is meant?", net.trunc()));
        }
        return Some(Key::from(net)).filter(|k| k.first().iter().all(|v| v.fits(data))).ok_or_else(refuse);
    }
    match text.split_once('-').filter(|_| data.has_order()) {
        Some((first, last)) => {
            let (first, last) = (data.parse(first)?, data.parse(last)?);
            if last < first {
                return Err(format!("{text:?} ends before it starts"));
            }
            Ok(Key::range(first, last))
        }
        None => data.parse(text).map(Key::from),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().collect::<Vec<_>>().join(" . "))
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(values) => {
                f.write_str(&values.iter().map(Value::to_string).collect::<Vec<_>>().join(" . "))
            }
            Self::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)?;
        match &self.data {
            Some(data) => write!(f, " : {data}"),
            None => Ok(()),
        }
    }
}

impl From<Value> for Key {
    fn from(value: Value) -> Self {
        Self(Form::Exact(value.into()))
    }
}

impl From<Values> for Key {
    fn from(first: Values) -> Self {
        Self(Form::Exact(first))
    }
}

impl From<Vec<Value>> for Key {
    fn from(first: Vec<Value>) -> Self {
        Self(Form::Exact(first.into()))
    }
}

impl<const N: usize> From<[Value; N]> for Key {
    fn from(first: [Value; N]) -> Self {
        Self(Form::Exact(Vec::from(first).into()))
    }
}

impl From<IpNet> for Key {
    fn from(net: IpNet) -> Self {
        Self::range(net.network(), net.broadcast())
    }
}

impl From<Ipv4Net> for Key {
    fn from(net: Ipv4Net) -> Self {
        IpNet::from(net).into()
    }
}

impl From<Ipv6Net> for Key {
    fn from(net: Ipv6Net) -> Self {
        IpNet::from(net).into()
    }
}

impl From<Value> for Data {
    fn from(value: Value) -> Self {
        Self::Values(value.into())
    }
}

impl From<Vec<Value>> for Data {
    fn from(values: Vec<Value>) -> Self {
        Self::Values(values.into())
    }
}

impl From<Verdict> for Data {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict.into())
    }
}

macro_rules! from_value {
    ($($type:ty)*) => {$(
        impl From<$type> for Key {
            fn from(value: $type) -> Self {
                Value::from(value).into()
            }
        }
        impl From<$type> for Data {
            fn from(value: $type) -> Self {
                Value::from(value).into()
            }
        }
    )*};
}

from_value!(Ipv4Addr Ipv6Addr std::net::IpAddr Mac LinkName u32 u16 u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_small() {
        assert_eq!(size_of::<Element>(), 64);
    }

    #[test]
    fn keys_sort_by_where_they_start_and_a_value_comes_before_an_interval() {
        let sorted = [Key::from(1_u8), Key::range(1_u8, 2_u8), Key::range(1_u8, 3_u8), Key::from(2_u8)];
        assert!(sorted.is_sorted_by(|a, b| a < b));
        assert_eq!(Key::range(1_u8, 1_u8), Key::from(1_u8));
    }
}
