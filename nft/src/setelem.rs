//! Messages that add or delete elements. They are what there are many of, so they are laid out here, in one pass and
//! without a copy of any element; everything else libnftnl writes.

use std::ops::Range;

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
        message.text(NFTA_SET_ELEM_LIST_TABLE, table.name.as_str());
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
        self.attribute(kind | NLA_F_NESTED, value);
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
mod tests {
    use guestnet_core::netlink::Attributes;
    use guestnet_core::{LinkName, Message};
    use nftnl::nftnl_sys as c;
    use proptest::prelude::*;

    use super::*;
    use crate::read::NFGENMSG;
    use crate::sys::RawSet;
    use crate::sys::peer::RawElement;
    use crate::{Family, Key, Verdict};

    /// Length of `struct nlmsghdr`.
    const HEADER: usize = 16;

    fn value(data: DataType) -> BoxedStrategy<Value> {
        match data {
            DataType::Ipv4Addr => any::<[u8; 4]>().prop_map(|b| Value::Ipv4(b.into())).boxed(),
            DataType::Ipv6Addr => any::<[u8; 16]>().prop_map(|b| Value::Ipv6(b.into())).boxed(),
            DataType::EtherAddr => any::<[u8; 6]>().prop_map(Value::Ether).boxed(),
            DataType::Ifname => {
                "[a-z]{1,15}".prop_map(|t| Value::from(t.parse::<LinkName>().unwrap())).boxed()
            }
            DataType::Mark | DataType::IfaceIndex => any::<u32>().prop_map(Value::from).boxed(),
            DataType::EtherType | DataType::InetService | DataType::ArpOp => {
                any::<u16>().prop_map(Value::from).boxed()
            }
            DataType::InetProto | DataType::IcmpType | DataType::Icmpv6Type => {
                any::<u8>().prop_map(Value::from).boxed()
            }
        }
    }

    fn values(types: &[DataType]) -> impl Strategy<Value = Vec<Value>> + use<> {
        types.iter().map(|data| value(*data)).collect::<Vec<_>>()
    }

    fn types() -> impl Strategy<Value = Vec<DataType>> {
        proptest::collection::vec(proptest::sample::select(&DataType::ALL[..]), 1..4)
    }

    fn data(map: Option<MapType>) -> BoxedStrategy<Option<Data>> {
        match map {
            None => Just(None).boxed(),
            Some(MapType::Values(types)) => values(&types).prop_map(|v| Some(v.into())).boxed(),
            Some(MapType::Verdict) => {
                let name = "c0[a-z0-9]{0,61}".prop_map(|name| Verdict::Goto(name.parse().unwrap()));
                let verdict = prop_oneof![Just(Verdict::Accept), Just(Verdict::Drop), name];
                verdict.prop_map(|verdict| Some(verdict.into())).boxed()
            }
        }
    }

    fn element(set: &Set) -> impl Strategy<Value = Element> + use<> {
        let interval = set.interval;
        let ends = (values(&set.key), values(&set.key));
        let key = ends.prop_map(move |(first, last)| {
            if !interval {
                return Key::from(first);
            }
            let sorted = first.into_iter().zip(last).map(|(a, b)| if a <= b { (a, b) } else { (b, a) });
            let (first, last) = sorted.unzip();
            Key::between(first, last)
        });
        // As long as comments can be, and longer.
        let comment = proptest::option::of("[ -~]{1,140}");
        let element = |(key, data, comment): (Key, Option<Data>, Option<String>)| Element {
            key,
            data,
            comment: comment.map(Into::into),
        };
        (key, data(set.data.clone()), comment).prop_map(element)
    }

    fn set() -> impl Strategy<Value = Set> {
        let map = prop_oneof![
            Just(None),
            Just(Some(MapType::Verdict)),
            types().prop_map(|t| Some(MapType::Values(t.into())))
        ];
        let plain = (types(), map, any::<bool>()).prop_map(|(key, data, interval)| Set {
            data,
            interval,
            ..Set::new("s".parse().unwrap(), key)
        });
        plain.prop_flat_map(|set| {
            proptest::collection::vec(element(&set), 0..20).prop_map(move |list| set.clone().with(list))
        })
    }

    fn table() -> Table {
        Table::new(Family::Inet, "guestnet_t".parse().unwrap())
    }

    fn ours(set: &Set) -> Vec<Vec<u8>> {
        let (kind, flags) = (libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE as u16);
        let mut sent = Vec::new();
        messages(kind, flags, &table(), set, set.elements.iter(), |message| {
            sent.push(message);
            Ok::<_, ()>(())
        })
        .unwrap();
        sent
    }

    fn by_libnftnl(set: &Set) -> Vec<Vec<u8>> {
        let mut raw = RawSet::new();
        raw.set_str(c::NFTNL_SET_TABLE, table().name.as_str());
        raw.set_str(c::NFTNL_SET_NAME, set.name.as_str());
        for element in &set.elements {
            let (first, last) = (bytes(&set.key, element.key.first()), bytes(&set.key, element.key.last()));
            let mut start = RawElement::new();
            start.set(c::NFTNL_SET_ELEM_KEY, &first);
            match (&element.data, &set.data) {
                (Some(Data::Verdict(verdict)), _) => {
                    start.set_u32(c::NFTNL_SET_ELEM_VERDICT, verdict.number().cast_unsigned());
                    if let Some(chain) = verdict.chain() {
                        start.set_str(c::NFTNL_SET_ELEM_CHAIN, chain.as_str());
                    }
                }
                (Some(Data::Values(values)), Some(MapType::Values(types))) => {
                    start.set(c::NFTNL_SET_ELEM_DATA, &bytes(types, values));
                }
                _ => {}
            }
            if let Some(comment) = &element.comment {
                start.set(c::NFTNL_SET_ELEM_USERDATA, &userdata::comment(comment));
            }
            let mut behind = None;
            match &set.key[..] {
                _ if !set.interval => {}
                [_] => behind = interval::after(&last),
                _ => start.set(c::NFTNL_SET_ELEM_KEY_END, &last),
            }
            raw.push(start);
            if let Some(key) = behind {
                let mut end = RawElement::new();
                end.set(c::NFTNL_SET_ELEM_KEY, &key);
                end.set_u32(c::NFTNL_SET_ELEM_FLAGS, INTERVAL_END);
                raw.push(end);
            }
        }
        let (kind, flags) = (libc::NFT_MSG_NEWSETELEM as u16, libc::NLM_F_CREATE as u16);
        raw.element_messages(kind, Family::Inet.number(), flags)
    }

    /// The elements in messages. Which element stands in which message, and that libnftnl counts those of a message in
    /// their types, is nothing to the kernel.
    fn listed(messages: &[Vec<u8>]) -> Vec<&[u8]> {
        let mut all = Vec::new();
        for message in messages {
            let list = Attributes::after(message, HEADER + NFGENMSG)
                .get(NFTA_SET_ELEM_LIST_ELEMENTS)
                .unwrap_or_default();
            all.extend(Attributes::after(list, 0).map(|(_, element)| element));
        }
        all
    }

    /// The header but for lengths, and what stands before the list, in whatever order.
    fn head(message: &[u8]) -> (&[u8], Vec<(u16, &[u8])>) {
        let attributes = Attributes::after(message, HEADER + NFGENMSG);
        let mut attributes: Vec<_> =
            attributes.filter(|(kind, _)| *kind != NFTA_SET_ELEM_LIST_ELEMENTS).collect();
        attributes.sort_unstable();
        (&message[4..8], attributes)
    }

    proptest! {
        #[test]
        fn elements_are_laid_out_as_by_libnftnl(set in set()) {
            let (ours, theirs) = (ours(&set), by_libnftnl(&set));
            prop_assert_eq!(listed(&ours), listed(&theirs));
            for message in &ours {
                prop_assert_eq!(head(message), head(&theirs[0]));
            }
        }
    }

    #[test]
    fn a_message_is_as_long_as_it_says_however_many_and_large_the_elements() {
        // The largest that there are: as many values as fit into 64 bytes, the longest names and comments.
        let comment = "x".repeat(200);
        let chain = Verdict::Goto("c".repeat(63).parse().unwrap());
        let element = |n: u32| {
            let name = Value::from("abcdefghijklmno".parse::<LinkName>().unwrap());
            let ip = |n| Value::Ipv6(std::net::Ipv6Addr::from(u128::from(n)));
            let first = vec![name.clone(), ip(n), ip(0), ip(n)];
            let last = vec![name, ip(n), ip(7), ip(n)];
            Element { key: Key::between(first, last), data: Some(chain.clone().into()), comment: None }
                .comment(comment.clone())
        };
        let key = vec![DataType::Ifname, DataType::Ipv6Addr, DataType::Ipv6Addr, DataType::Ipv6Addr];
        let set = Set::verdict_map("s".parse().unwrap(), key).interval();
        for count in [1, 100, 170, 171, 1000] {
            let set = set.clone().with((0..count).map(element));
            let messages = ours(&set);
            assert_eq!(listed(&messages).len(), count as usize);
            assert!(messages.len() <= 1 + count as usize / 150, "{count} in {}", messages.len());
            for message in messages {
                let length = message.len();
                assert_eq!(Message::from_bytes(message).unwrap().bytes().len(), length);
            }
        }
    }
}
