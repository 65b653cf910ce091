//! Messages that add or delete elements. They are what there are many of, so they are laid out here, in one pass and
//! without a copy of any element; everything else libnftnl writes.

use crate::encode::INTERVAL_END;
use crate::{Data, DataType, Element, MapType, Set, Table, Value, Values, interval, userdata};

const NLA_F_NESTED: u16 = 0x8000;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;

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
        let room = elements.size_hint().0.saturating_mul(48).min(LONGEST);
        let mut message = Writer(Vec::with_capacity(room + 256));
        let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | kind as u16;
        let flags = flags | libc::NLM_F_REQUEST as u16;
        message.0.extend([0; 4]);
        message.0.extend(kind.to_ne_bytes());
        message.0.extend(flags.to_ne_bytes());
        message.0.extend([0; 8]);
        message.0.extend([table.family.number(), 0, 0, 0]);
        message.text(NFTA_SET_ELEM_LIST_TABLE, table.name.as_str());
        message.text(NFTA_SET_ELEM_LIST_SET, set.name.as_str());
        message.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
            let start = list.0.len();
            while list.0.len() - start < LONGEST
                && let Some(element) = elements.next()
            {
                list.element(set, element);
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

/// Attributes, one behind the other.
struct Writer(Vec<u8>);

impl Writer {
    fn attribute(&mut self, kind: u16, value: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.0.extend([0; 4]);
        value(self);
        let length = (self.0.len() - at) as u16;
        if let Some([a, b, c, d]) = self.0.get_mut(at..at + 4) {
            [*a, *b] = length.to_ne_bytes();
            [*c, *d] = kind.to_ne_bytes();
        }
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn nested(&mut self, kind: u16, value: impl FnOnce(&mut Self)) {
        self.attribute(kind | NLA_F_NESTED, value);
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, |w| {
            w.0.extend(text.bytes());
            w.0.push(0);
        });
    }

    fn values(&mut self, kind: u16, types: &[DataType], values: &[Value]) {
        self.nested(kind, |w| w.attribute(NFTA_DATA_VALUE, |w| write(types, values, &mut w.0)));
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
                        w.attribute(NFTA_VERDICT_CODE, |w| w.0.extend(verdict.number().to_be_bytes()));
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
                w.attribute(NFTA_SET_ELEM_USERDATA, |w| w.0.extend(userdata::comment(comment)));
            }
        });
        if halves && let Some(end) = interval::after(&bytes(&set.key, element.key.last())) {
            self.nested(NFTA_LIST_ELEM, |w| {
                w.attribute(NFTA_SET_ELEM_FLAGS, |w| w.0.extend(INTERVAL_END.to_be_bytes()));
                w.nested(NFTA_SET_ELEM_KEY, |w| w.attribute(NFTA_DATA_VALUE, |w| w.0.extend(end)));
            });
        }
    }
}

/// The bytes of a key or datum. In a concatenation each value fills whole registers.
pub fn bytes(types: &[DataType], values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DataType::total(types));
    write(types, values, &mut bytes);
    bytes
}

fn write(types: &[DataType], values: &[Value], out: &mut Vec<u8>) {
    for (data, value) in types.iter().zip(values) {
        value.write(*data, out);
        if types.len() > 1 {
            let pad = data.size().next_multiple_of(4) - data.size();
            out.resize(out.len() + pad, 0);
        }
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
