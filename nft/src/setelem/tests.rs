//! That our messages are those of libnftnl.

use guestnet_core::netlink::Attributes;
use guestnet_core::{LinkName, Message};
use nftnl::nftnl_sys as c;
use proptest::prelude::*;

use super::*;
use crate::sys::RawSet;
use crate::sys::peer::RawElement;
use crate::{Family, Key, Verdict};

fn value(data: DataType) -> BoxedStrategy<Value> {
    match data {
        DataType::Ipv4Addr => any::<[u8; 4]>().prop_map(|b| Value::Ipv4(b.into())).boxed(),
        DataType::Ipv6Addr => any::<[u8; 16]>().prop_map(|b| Value::Ipv6(b.into())).boxed(),
        DataType::EtherAddr => any::<[u8; 6]>().prop_map(Value::Ether).boxed(),
        DataType::Ifname => "[a-z]{1,15}".prop_map(|t| Value::from(t.parse::<LinkName>().unwrap())).boxed(),
        DataType::Mark | DataType::IfaceIndex => any::<u32>().prop_map(Value::from).boxed(),
        DataType::EtherType | DataType::InetService | DataType::ArpOp => {
            any::<u16>().prop_map(Value::from).boxed()
        }
        DataType::InetProto
        | DataType::IcmpType
        | DataType::Icmpv6Type
        | DataType::IcmpCode
        | DataType::Icmpv6Code => any::<u8>().prop_map(Value::from).boxed(),
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
