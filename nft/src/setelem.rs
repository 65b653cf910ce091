//! Messages that add or delete elements. They are what there are many of, so they are laid out here, in one pass and
//! without a copy of any element; everything else libnftnl writes.

use std::ops::Range;

use crate::encode::INTERVAL_END;
use crate::uapi::*;
use crate::{Data, DataType, Element, MapType, Set, Table, Value, Values, interval, userdata};

/// How long the list of a message grows. An attribute can have 64 KiB; an element has some hundred bytes.
const LONGEST: usize = 60_000;

/// Calls `send` with the messages of `kind` (`NFT_MSG_NEWSETELEM`, …) about `elements` of a set, as few as there can be.
pub fn messages<'e, E>(
    kind: libc::c_int,
    flags: u16,
    table: &Table,
    set: &Set,
    elements: impl Iterator<Item = &'e Element>,
    mut send: impl FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let mut elements = elements.peekable();
    while elements.peek().is_some() {
        let room = elements.size_hint().0.max(1).saturating_mul(usual(set)).min(LONGEST);
        let names = table.name.as_str().len() + set.name.as_str().len();
        let mut message = Writer(Vec::with_capacity(room + names + 40));
        let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | kind as u16;
        let flags = flags | libc::NLM_F_REQUEST as u16;
        message.0.extend_from_slice(&[0; 4]);
        message.0.extend_from_slice(&kind.to_ne_bytes());
        message.0.extend_from_slice(&flags.to_ne_bytes());
        message.0.extend_from_slice(&[0; 8]);
        message.0.extend_from_slice(&[table.family.number(), 0, 0, 0]);
        message.text(NFTA_TABLE_NAME, table.name.as_str());
        message.text(NFTA_SET_ELEM_LIST_SET, set.name.as_str());
        message.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
            let start = list.0.len();
            let mut form = None;
            while list.0.len() - start < LONGEST
                && let Some(element) = elements.next()
            {
                match (Plain::of(set, element), &form) {
                    (Some(plain), Some(form)) => list.like(form, &plain),
                    (plain, _) => {
                        let at = list.0.len();
                        list.element(set, element);
                        form = form.or_else(|| plain.map(|_| Form::of(set, at..list.0.len())));
                    }
                }
            }
        });
        let length = (message.0.len() as u32).to_ne_bytes();
        if let Some(place) = message.0.get_mut(..4) {
            place.copy_from_slice(&length);
        }
        send(message.0)?;
    }
    Ok(())
}

/// How many bytes an element of `set` takes, or some more; without a comment.
fn usual(set: &Set) -> usize {
    let key = DataType::total(&set.key) + 12;
    let data = match &set.data {
        Some(MapType::Values(types)) => DataType::total(types) + 12,
        Some(MapType::Verdict) => 32,
        None => 0,
    };
    if set.interval { 2 * key + data + 16 } else { key + data + 4 }
}

/// The types and values of an element that has nothing else. Nearly all are such, and those of one set are laid out alike:
/// they are copies of the first of them, with other values.
struct Plain<'a> {
    key: (&'a [DataType], &'a [Value]),
    data: (&'a [DataType], &'a [Value]),
}

impl<'a> Plain<'a> {
    fn of(set: &'a Set, element: &'a Element) -> Option<Self> {
        let data: (&[_], &[_]) = match (&set.data, &element.data) {
            (None, None) => (&[], &[]),
            (Some(MapType::Values(types)), Some(Data::Values(values))) => (types, values),
            _ => return None,
        };
        let key = (&set.key[..], element.key.first());
        let whole = |(types, values): (&[_], &[_])| types.len() == values.len();
        let plain = !set.interval && element.comment.is_none() && whole(key) && whole(data);
        plain.then_some(Self { key, data })
    }
}

/// Where an element stands that others are copies of, and where in it the values of its data are.
struct Form {
    place: Range<usize>,
    data: usize,
}

impl Form {
    /// Three headers stand before the values of the key, and two before those of the data.
    const KEY: usize = 12;

    fn of(set: &Set, place: Range<usize>) -> Self {
        Self { place, data: Self::KEY + DataType::total(&set.key).next_multiple_of(4) + 8 }
    }
}

/// Attributes, one behind the other.
struct Writer(Vec<u8>);

impl Writer {
    fn attribute(&mut self, kind: u16, value: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        value(self);
        let length = (self.0.len() - at) as u16;
        if let Some([a, b, c, d]) = self.0.get_mut(at..at + 4) {
            [*a, *b] = length.to_ne_bytes();
            [*c, *d] = kind.to_ne_bytes();
        }
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn nested(&mut self, kind: u16, value: impl FnOnce(&mut Self)) {
        self.attribute(kind | libc::NLA_F_NESTED as u16, value);
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, |w| {
            w.0.extend_from_slice(text.as_bytes());
            w.0.push(0);
        });
    }

    fn values(&mut self, kind: u16, types: &[DataType], values: &[Value]) {
        self.nested(kind, |w| {
            w.attribute(NFTA_DATA_VALUE, |w| {
                let at = w.0.len();
                w.0.resize(at + DataType::total(types), 0);
                write((types, values), w.0.get_mut(at..).unwrap_or_default());
            });
        });
    }

    /// An element as the one at `form`.
    fn like(&mut self, form: &Form, element: &Plain<'_>) {
        let at = self.0.len();
        self.0.extend_from_within(form.place.clone());
        let new = self.0.get_mut(at..).unwrap_or_default();
        write(element.key, new.get_mut(Form::KEY..).unwrap_or_default());
        write(element.data, new.get_mut(form.data..).unwrap_or_default());
    }

    /// An interval of one type is two elements, its start and what comes behind its end.
    fn element(&mut self, set: &Set, element: &Element) {
        let halves = set.interval && set.key.len() == 1;
        self.nested(NFTA_LIST_ELEM, |w| {
            w.values(NFTA_SET_ELEM_KEY, &set.key, element.key.first());
            if set.interval && !halves {
                w.values(NFTA_SET_ELEM_KEY_END, &set.key, element.key.last());
            }
            match (&element.data, &set.data) {
                (Some(Data::Verdict(verdict)), _) => w.nested(NFTA_SET_ELEM_DATA, |w| {
                    w.nested(NFTA_DATA_VERDICT, |w| {
                        w.attribute(NFTA_VERDICT_CODE, |w| {
                            w.0.extend_from_slice(&verdict.number().to_be_bytes())
                        });
                        if let Some(chain) = verdict.chain() {
                            w.text(NFTA_VERDICT_CHAIN, chain.as_str());
                        }
                    });
                }),
                (Some(Data::Values(values)), Some(MapType::Values(types))) => {
                    w.values(NFTA_SET_ELEM_DATA, types, values);
                }
                _ => {}
            }
            if let Some(comment) = &element.comment {
                w.attribute(NFTA_SET_ELEM_USERDATA, |w| w.0.extend_from_slice(&userdata::comment(comment)));
            }
        });
        if halves && let Some(end) = interval::after(&bytes(&set.key, element.key.last())) {
            self.nested(NFTA_LIST_ELEM, |w| {
                w.attribute(NFTA_SET_ELEM_FLAGS, |w| w.0.extend_from_slice(&INTERVAL_END.to_be_bytes()));
                w.nested(NFTA_SET_ELEM_KEY, |w| {
                    w.attribute(NFTA_DATA_VALUE, |w| w.0.extend_from_slice(&end))
                });
            });
        }
    }
}

/// The bytes of a key or datum. In a concatenation each value fills whole registers.
pub fn bytes(types: &[DataType], values: &[Value]) -> Vec<u8> {
    let mut bytes = vec![0; DataType::total(types)];
    write((types, values), &mut bytes);
    bytes
}

/// Puts the values where `place` starts.
fn write((types, values): (&[DataType], &[Value]), mut place: &mut [u8]) {
    if let ([data], [value]) = (types, values) {
        return value.write(*data, place.get_mut(..data.size()).unwrap_or_default());
    }
    for (data, value) in types.iter().zip(values) {
        let Some((here, rest)) = place.split_at_mut_checked(data.size()) else { return };
        value.write(*data, here);
        let pad = data.size().next_multiple_of(4) - data.size();
        place = rest.get_mut(pad..).unwrap_or_default();
    }
}

/// What [`bytes`] says. `None` when it is no value of these types.
pub fn values(types: &[DataType], bytes: &[u8]) -> Option<Values> {
    if bytes.len() != DataType::total(types) {
        return None;
    }
    if let [data] = types {
        return data.read(bytes).map(Values::from);
    }
    let mut rest = bytes;
    let values: Option<Vec<Value>> = types
        .iter()
        .map(|data| {
            let value = data.read(rest.get(..data.size())?);
            rest = rest.get(data.size().next_multiple_of(4)..).unwrap_or_default();
            value
        })
        .collect();
    values.map(Values::from)
}

#[cfg(test)]
mod tests;
