//! User data: what nft keeps beside rules, sets and elements so that it can print them. The kernel does not read it.
//!
//! It is a list of type (1 byte), length (1 byte) and value.

use nftnl::nftnl_sys as c;

use crate::{DataType, MapType, Set};

/// nft's numbers for byte orders.
const MIXED: u32 = 0;
const HOST: u32 = 1;
const BIG: u32 = 2;

/// The longest comment that nft takes, in bytes (`NFTNL_UDATA_COMMENT_MAXLEN` less the NUL).
pub const LONGEST_COMMENT: usize = 127;

/// A comment, with its NUL. The type is 0 for tables, chains, rules and elements alike.
pub fn comment(text: &str) -> Vec<u8> {
    let text: Vec<u8> = text.bytes().take_while(|b| *b != 0).take(LONGEST_COMMENT).collect();
    let mut data = vec![c::NFTNL_UDATA_RULE_COMMENT as u8, text.len() as u8 + 1];
    data.extend(text);
    data.push(0);
    data
}

/// The comment in `data`.
pub fn read_comment(data: &[u8]) -> Option<String> {
    let mut rest = data;
    while let [kind, length, value @ ..] = rest {
        let value = value.get(..usize::from(*length))?;
        if u32::from(*kind) == c::NFTNL_UDATA_RULE_COMMENT {
            let text = value.split(|b| *b == 0).next()?;
            return String::from_utf8(text.to_vec()).ok().filter(|text| !text.is_empty());
        }
        rest = rest.get(2 + value.len()..)?;
    }
    None
}

/// What nft must know of a set to print its elements.
pub fn of_set(set: &Set) -> Vec<u8> {
    let mut data = number(c::NFTNL_UDATA_SET_KEYBYTEORDER, order(&set.key));
    if let Some(MapType::Values(types)) = &set.data {
        data.extend(number(c::NFTNL_UDATA_SET_DATABYTEORDER, order(types)));
    }
    data
}

fn order(types: &[DataType]) -> u32 {
    match types {
        [one] if one.is_host_order() => HOST,
        [_] => BIG,
        _ => MIXED,
    }
}

fn number(kind: u32, value: u32) -> Vec<u8> {
    let mut data = vec![kind as u8, 4];
    data.extend(value.to_ne_bytes());
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_read_back() {
        assert_eq!(read_comment(&comment("vm 7")), Some("vm 7".into()));
        let before = [&[9, 2, 1, 1][..], &comment("x")].concat();
        assert_eq!(read_comment(&before), Some("x".into()));
        for bad in [&[][..], &[0], &[0, 9, 1], &[1, 0, 0]] {
            assert_eq!(read_comment(bad), None);
        }
    }
}
