//! Trees of netlink: messages, in them attributes, in these attributes again. They are exchanged, repeated, dropped, get
//! other types, flags and lengths that lie, or end too early.

use super::Dice;

const HEADER: usize = 16;

/// Lengths of what stands between the header of a message and its attributes, of all kinds that are read.
const FIXED: &[usize] = &[4, 8, 12, 16, 168, 224, 0];

/// How deep attributes are looked for.
const DEEP: usize = 8;

/// A message. What is not whole is the rest of a stream.
struct Message {
    kind: u16,
    flags: u16,
    fixed: Vec<u8>,
    attributes: Vec<Attribute>,
    lie: Option<u32>,
}

#[derive(Clone)]
struct Attribute {
    /// With its flags.
    kind: u16,
    value: Value,
    /// The length that it says, where that is another than it has.
    lie: Option<u16>,
}

#[derive(Clone)]
enum Value {
    Bytes(Vec<u8>),
    Nested(Vec<Attribute>),
}

/// Changes a stream of messages.
pub fn stream(input: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let (mut messages, rest) = read(input);
    if messages.is_empty() {
        return None;
    }
    for _ in 0..=dice.below(3) {
        change(&mut messages, dice);
    }
    let mut bytes: Vec<u8> = messages.iter().flat_map(Message::bytes).collect();
    bytes.extend(rest);
    if dice.one_in(16) {
        bytes.truncate(dice.below(bytes.len()));
    }
    Some(bytes)
}

fn change(messages: &mut Vec<Message>, dice: &mut Dice) {
    let at = dice.below(messages.len());
    let other = messages.get(dice.below(messages.len())).map(|other| other.attributes.clone());
    let Some(message) = messages.get_mut(at) else { return };
    match dice.below(12) {
        0 => message.kind = dice.pick(KINDS).copied().unwrap_or(message.kind),
        1 => message.flags ^= 1 << dice.below(16),
        2 => message.lie = Some(edge(dice)),
        3 | 4 => {
            let place = dice.below(message.fixed.len());
            if let Some(byte) = message.fixed.get_mut(place) {
                *byte = number(dice).to_le_bytes()[0];
            }
        }
        5 => {
            messages.remove(at);
        }
        6 => {
            let again = Message::read(&message.bytes());
            messages.extend(again);
        }
        7 => {
            let from = other.and_then(|attributes| dice.pick(&attributes).cloned());
            message.attributes.extend(from);
        }
        _ => change_in(&mut message.attributes, dice),
    }
}

/// Changes one of `attributes`, or one in one of them.
fn change_in(attributes: &mut Vec<Attribute>, dice: &mut Dice) {
    if attributes.is_empty() {
        return attributes.push(Attribute {
            kind: u16::try_from(dice.below(64)).unwrap_or_default(),
            value: Value::Bytes(number(dice).to_ne_bytes()[..dice.below(9)].to_vec()),
            lie: None,
        });
    }
    let at = dice.below(attributes.len());
    let there = dice.below(attributes.len());
    if let Some(Attribute { value: Value::Nested(inner), .. }) = attributes.get_mut(at)
        && !dice.one_in(3)
    {
        return change_in(inner, dice);
    }
    match dice.below(10) {
        0 => attributes.swap(at, there),
        1 => attributes.push(attributes[at].clone()),
        2 => drop(attributes.remove(at)),
        3 => attributes[at].kind = u16::try_from(dice.below(70)).unwrap_or_default(),
        // "Nested", "in network order".
        4 => attributes[at].kind ^= if dice.one_in(2) { 0x8000 } else { 0x4000 },
        5 => attributes[at].lie = Some(u16::try_from(edge(dice)).unwrap_or(u16::MAX)),
        6 => {
            let taken = attributes[at].clone();
            attributes[at].value = Value::Nested(vec![taken]);
        }
        _ => alter(&mut attributes[at].value, dice),
    }
}

fn alter(value: &mut Value, dice: &mut Dice) {
    let Value::Bytes(bytes) = value else {
        return *value = Value::Bytes(number(dice).to_ne_bytes().to_vec());
    };
    let at = dice.below(bytes.len());
    match dice.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.extend(std::iter::repeat_n(0, dice.below(130))),
        2 => {
            let number = if dice.one_in(2) { number(dice).to_ne_bytes() } else { number(dice).to_be_bytes() };
            let part = &number[..bytes.len().min(8)];
            bytes[..part.len()].copy_from_slice(part);
        }
        // What is no UTF-8, no name, or a command to a terminal.
        3 => {
            let odd = dice.pick(&[*b"\xff\xfe", *b"\x1b[", *b"\n\0", *b"a/"]).copied().unwrap_or_default();
            drop(bytes.splice(at..at, odd));
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
    }
}

/// Types of messages: NLMSG_ERROR and _DONE; links, addresses, routes, neighbours; IPsec; connections; nf_tables.
const KINDS: &[u16] =
    &[2, 3, 16, 20, 24, 28, 19, 36, 39, 64, 88, 0x100, 0xa00, 0xa03, 0xa06, 0xa09, 0xa0c, 0xa0f];

fn edge(dice: &mut Dice) -> u32 {
    *dice.pick(&[0, 1, 3, 4, 5, 8, 15, 16, 17, 255, 256, 0x7fff, 0xfffc, 0xffff, u32::MAX]).unwrap_or(&0)
}

fn number(dice: &mut Dice) -> u64 {
    match dice.below(4) {
        0 => dice.roll(),
        1 => 1 << dice.below(64),
        2 => u64::MAX >> dice.below(64),
        _ => u64::try_from(dice.below(256)).unwrap_or_default(),
    }
}

/// The messages of a stream, and what is left of it.
fn read(stream: &[u8]) -> (Vec<Message>, &[u8]) {
    let mut messages = Vec::new();
    let mut rest = stream;
    while let Some(length) = rest.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize) {
        let Some(message) = rest.get(..length).and_then(Message::read) else { break };
        messages.push(message);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    (messages, rest)
}

impl Message {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let payload = &bytes[HEADER..];
        let cut = |fixed: &usize| Some((*fixed, read_attributes(payload.get(*fixed..)?, DEEP)?));
        let (fixed, attributes) = FIXED.iter().find_map(cut).unwrap_or((payload.len(), Vec::new()));
        Some(Self {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            fixed: payload[..fixed].to_vec(),
            attributes,
            lie: None,
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = self.fixed.clone();
        write_attributes(&self.attributes, &mut body);
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut bytes = self.lie.unwrap_or(length).to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}

/// The attributes that `bytes` wholly are; `None` where they are something else.
fn read_attributes(bytes: &[u8], deep: usize) -> Option<Vec<Attribute>> {
    let mut attributes = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let [a, b, c, d] = *rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = rest.get(4..length)?;
        let inner = Some(deep).filter(|deep| *deep > 0 && value.len() >= 4);
        let nested =
            inner.and_then(|deep| read_attributes(value, deep - 1)).filter(|inner| !inner.is_empty());
        attributes.push(Attribute {
            kind: u16::from_ne_bytes([c, d]),
            value: nested.map_or_else(|| Value::Bytes(value.to_vec()), Value::Nested),
            lie: None,
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(attributes)
}

fn write_attributes(attributes: &[Attribute], bytes: &mut Vec<u8>) {
    for Attribute { kind, value, lie } in attributes {
        let at = bytes.len();
        bytes.extend([0; 2]);
        bytes.extend(kind.to_ne_bytes());
        match value {
            Value::Bytes(value) => bytes.extend(value),
            Value::Nested(inner) => write_attributes(inner, bytes),
        }
        let length = u16::try_from(bytes.len() - at).unwrap_or(u16::MAX);
        bytes[at..at + 2].copy_from_slice(&lie.unwrap_or(length).to_ne_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link with a name and, nested, a kind.
    fn link() -> Vec<u8> {
        let info = Attribute { kind: 1, value: Value::Bytes(b"tun\0".to_vec()), lie: None };
        let attributes = vec![
            Attribute { kind: 3, value: Value::Bytes(b"tap0\0".to_vec()), lie: None },
            Attribute { kind: 18, value: Value::Nested(vec![info]), lie: None },
        ];
        Message { kind: 16, flags: 2, fixed: vec![1; 16], attributes, lie: None }.bytes()
    }

    #[test]
    fn what_is_read_is_written_and_what_is_changed_differs() {
        let whole = [link(), link()].concat();
        let torn = [&whole[..], &[9; 5]].concat();
        let (messages, rest) = read(&torn);
        assert_eq!((messages.len(), rest), (2, &[9; 5][..]));
        let fixed: Vec<usize> = messages.iter().map(|message| message.fixed.len()).collect();
        assert_eq!(fixed, [16, 16], "attributes are found behind the header");
        assert_eq!(messages.iter().flat_map(Message::bytes).collect::<Vec<u8>>(), whole);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..500 {
            seen.insert(stream(&torn, &mut Dice::new(seed)).unwrap());
        }
        assert!(seen.len() > 300, "only {} streams", seen.len());
    }
}
