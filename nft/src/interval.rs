//! Intervals: merging those that overlap, and the kernel's way to say them.

use std::borrow::Cow;

use crate::{Data, DataType, Element, Elements, Key, Set, Value};

/// The elements of `set` as the kernel takes them: it refuses intervals of one type that overlap.
///
/// Where the data of overlapping ones differ there is nothing right to send; [`crate::Table::check`] reports it.
pub fn merged(set: &Set) -> Cow<'_, Elements> {
    if !set.interval || set.key.len() != 1 || !overlaps(&set.elements) {
        return Cow::Borrowed(&set.elements);
    }
    let mut merged: Vec<Element> = Vec::new();
    for element in &set.elements {
        match merged.last_mut() {
            Some(before) if before.data == element.data && element.key.first() <= before.key.last() => {
                let last = before.key.last().max(element.key.last());
                before.key = Key::between(before.key.first().to_vec(), last.to_vec());
            }
            _ => merged.push(element.clone()),
        }
    }
    Cow::Owned(merged.into_iter().collect())
}

/// Whether any two neighbours overlap. Keys sort by where they start.
fn overlaps(elements: &Elements) -> bool {
    let mut reached: Option<&[Value]> = None;
    elements.iter().any(|element| {
        let inside = reached.is_some_and(|last| element.key.first() <= last);
        reached = reached.max(Some(element.key.last()));
        inside
    })
}

/// The first value behind `last`, in the byte order of the network; `None` behind the highest of all.
pub fn after(last: &[u8]) -> Option<Vec<u8>> {
    let mut next = last.to_vec();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

/// The value before `end`; `None` before the lowest of all.
fn before(end: &[u8]) -> Option<Vec<u8>> {
    let mut last = end.to_vec();
    for byte in last.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != 0xff {
            return Some(last);
        }
    }
    None
}

/// One bound as the kernel lists it: bytes, whether it is an end (which is the first value behind the interval),
/// and what else belongs to the start.
#[derive(Debug)]
pub struct Bound {
    /// The key.
    pub key: Vec<u8>,
    /// Whether it ends an interval.
    pub end: bool,
    /// What a map answers.
    pub data: Option<Data>,
    /// The comment.
    pub comment: Option<Box<str>>,
}

/// Puts the kernel's bounds together to intervals. `None` when they make none.
pub fn paired(mut bounds: Vec<Bound>, data: DataType) -> Option<Vec<Element>> {
    // An end at the place of a start belongs to the interval before.
    bounds.sort_by(|a, b| a.key.cmp(&b.key).then(b.end.cmp(&a.end)));
    let mut elements = Vec::new();
    let mut bounds = bounds.into_iter().peekable();
    while let Some(start) = bounds.next() {
        if start.end {
            // nft puts one at zero; it ends nothing.
            continue;
        }
        // An interval that reaches the highest value has no end.
        let last = match bounds.next_if(|next| next.end) {
            Some(end) => before(&end.key)?,
            None if bounds.peek().is_none() => vec![0xff; start.key.len()],
            None => return None,
        };
        let key = Key::range(data.read(&start.key)?, data.read(&last)?);
        elements.push(Element { key, data: start.data, comment: start.comment });
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Set {
        let keys = texts.iter().map(|text| Element::new(text.parse::<ipnet::IpNet>().unwrap()));
        Set::new("nets".parse().unwrap(), DataType::Ipv4Addr).interval().with(keys)
    }

    #[test]
    fn overlapping_prefixes_are_merged_and_neighbours_are_not() {
        let set = nets(&["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "10.0.0.0/9"]);
        assert_eq!(*merged(&set), nets(&["10.0.0.0/8", "11.0.0.0/8"]).elements);
    }

    #[test]
    fn the_highest_value_has_nothing_behind_it() {
        assert_eq!(after(&[0, 255]), Some(vec![1, 0]));
        assert_eq!(after(&[255, 255]), None);
        assert_eq!(before(&[1, 0]), Some(vec![0, 255]));
        assert_eq!(before(&[0, 0]), None);
    }

    proptest! {
        #[test]
        fn merged_intervals_hold_the_same_values_and_are_apart(
            ranges in proptest::collection::vec((0_u8..60, 0_u8..9), 0..12),
        ) {
            let elements = ranges.iter().map(|(first, more)| Element::new(Key::range(*first, first + more)));
            let set = Set::new("s".parse().unwrap(), DataType::InetProto).interval().with(elements);
            let merged = merged(&set);
            let holds = |elements: &Elements, n: u8| {
                let n = &[Value::from(n)][..];
                elements.iter().filter(|e| e.key.first() <= n && n <= e.key.last()).count()
            };
            for n in 0..80 {
                prop_assert_eq!(holds(&merged, n), usize::from(holds(&set.elements, n) > 0));
            }
        }
    }
}
