//! Taking apart what the kernel answers. Nothing it can contain panics here: every length is checked.

use crate::error::{Error, KernelError};
use crate::kind::HEADER;

/// Reads a native-endian `u32` at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Reads a native-endian `u16` at `at`.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

/// One message of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The message type: `RTM_NEWLINK`, `NLMSG_ERROR`, ….
    pub kind: u16,
    /// The flags: `NLM_F_DUMP_INTR`, ….
    pub flags: u16,
    /// The sequence number of the request that it answers.
    pub sequence: u32,
    /// The message without its header.
    pub payload: &'a [u8],
    /// The message with its header.
    pub whole: &'a [u8],
}

/// The messages in `bytes`, as they came from a socket. Ends at the first that is not whole.
pub(crate) fn replies(bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let whole = rest.get(..length).filter(|w| w.len() >= HEADER)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Reply {
            kind: u16_at(whole, 4)?,
            flags: u16_at(whole, 6)?,
            sequence: u32_at(whole, 8)?,
            payload: &whole[HEADER..],
            whole,
        })
    })
}

/// The attributes in a buffer: type (without the nested and byte-order bits) and value.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes that start at `bytes`, or at `offset` behind a fixed header.
    pub fn after(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes.get(offset..).unwrap_or_default() }
    }

    /// The value of the first attribute of type `kind`.
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        { self }.find(|(k, _)| *k == kind).map(|(_, value)| value)
    }

    /// The values of the first attributes of the types `kinds`, in one pass over all.
    pub fn pick<const N: usize>(self, kinds: [u16; N]) -> [Option<&'a [u8]>; N] {
        let mut values = [None; N];
        for (kind, value) in self {
            if let Some((_, first)) = kinds.iter().zip(&mut values).find(|(asked, _)| **asked == kind) {
                first.get_or_insert(value);
            }
        }
        values
    }

    /// The first attribute of type `kind` as a native-endian number of 32 bits.
    pub fn get_u32(self, kind: u16) -> Option<u32> {
        number(self.get(kind)?)
    }

    /// The first attribute of type `kind` as text, up to its NUL.
    pub fn get_str(self, kind: u16) -> Option<&'a str> {
        text(self.get(kind)?)
    }
}

/// The value of an attribute as a native-endian number of 32 bits.
pub fn number(value: &[u8]) -> Option<u32> {
    u32_at(value, 0)
}

/// The value of an attribute as text, up to its NUL.
pub fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.split(|b| *b == 0).next()?).ok()
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & 0x3fff;
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The kernel's answer to one message that it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error number, positive.
    pub errno: i32,
    /// The words of the extended ACK.
    pub words: Option<String>,
    /// The attribute that the extended ACK points at, as a path of types.
    pub attribute: Option<String>,
}

const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;

impl Refusal {
    /// Whether the kernel says that what was asked for is not there.
    pub fn is_absence(&self) -> bool {
        [libc::ENOENT, libc::ENODEV, libc::ESRCH, libc::ENETUNREACH].contains(&self.errno)
    }

    /// The error that `what` was refused: `add route 10.0.0.0/8`.
    #[cold]
    pub fn of(self, what: impl Into<String>) -> Error {
        let Self { errno, words, attribute } = self;
        KernelError { what: what.into(), errno, words, attribute }.into()
    }

    /// Reads an `NLMSG_ERROR` (or the `NLMSG_DONE` of a dump) that answers `request`. `None` is success.
    pub(super) fn read(reply: &Reply<'_>, request: &[u8]) -> Option<Self> {
        let code = u32_at(reply.payload, 0)?.cast_signed();
        if code >= 0 {
            return None;
        }
        let mut refusal = Self { errno: code.saturating_neg(), words: None, attribute: None };
        if reply.flags & NLM_F_ACK_TLVS != 0 {
            let quoted = if i32::from(reply.kind) == libc::NLMSG_DONE {
                0
            } else if reply.flags & NLM_F_CAPPED != 0 {
                HEADER
            } else {
                u32_at(reply.payload, 4).map_or(0, |n| (n as usize).next_multiple_of(4))
            };
            let said = Attributes::after(reply.payload, 4_usize.saturating_add(quoted));
            refusal.words = said.get_str(NLMSGERR_ATTR_MSG).map(str::to_owned);
            refusal.attribute =
                said.get_u32(NLMSGERR_ATTR_OFFS).and_then(|offset| attribute_at(request, offset as usize));
        }
        Some(refusal)
    }
}

/// The path of the attribute of `request` at byte `offset`: `18.2` is attribute 2 inside attribute 18.
///
/// The length of the fixed header depends on the message; it is the first at which the rest of the message
/// divides into attributes, one of which starts at `offset`.
fn attribute_at(request: &[u8], offset: usize) -> Option<String> {
    (HEADER..=offset.min(request.len()))
        .step_by(4)
        .find_map(|start| path_to(request, start, request.len(), offset))
}

fn path_to(request: &[u8], mut at: usize, end: usize, offset: usize) -> Option<String> {
    let mut path = None;
    while at < end {
        let length = usize::from(u16_at(request, at)?);
        let kind = u16_at(request, at + 2)? & 0x3fff;
        if length < 4 || at + length > end {
            return None;
        }
        if at == offset {
            path = Some(kind.to_string());
        } else if at < offset && offset < at + length {
            path = Some(format!("{kind}.{}", path_to(request, at + 4, at + length, offset)?));
        }
        at += length.next_multiple_of(4);
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kind::Message;
    use crate::netlink::attribute;

    #[test]
    fn the_attribute_that_the_kernel_points_at_is_found() {
        let inner = [attribute(1, b"veth\0"), attribute(2, &[9; 8])].concat();
        let payload = [vec![0; 16], attribute(3, b"eth0\0"), attribute(18, &inner)].concat();
        let request = Message::new(16, 0, &payload);
        let nested = 16 + 16 + attribute(3, b"eth0\0").len() + 4 + attribute(1, b"veth\0").len();
        assert_eq!(attribute_at(request.bytes(), nested).as_deref(), Some("18.2"));
        assert_eq!(attribute_at(request.bytes(), 32).as_deref(), Some("3"));
        assert_eq!(attribute_at(request.bytes(), 4000), None);
        // In billions of steps if each were tried.
        assert_eq!(attribute_at(request.bytes(), usize::MAX & !3), None);
    }

    #[test]
    fn what_is_picked_is_what_would_be_got() {
        let bytes = [attribute(3, b"eth0\0"), attribute(4, &[5, 0, 0, 0]), attribute(3, b"late\0")].concat();
        let attributes = Attributes::after(&bytes, 0);
        let kinds = [4, 7, 3];
        assert_eq!(attributes.pick(kinds), kinds.map(|kind| attributes.get(kind)));
        assert_eq!(attributes.pick([3]).map(|name| name.and_then(text)), [Some("eth0")]);
        assert_eq!(attributes.pick([4]).map(|value| value.and_then(number)), [Some(5)]);
    }

    #[test]
    fn an_extended_ack_is_read() {
        let mut payload = (-2_i32).to_ne_bytes().to_vec();
        payload.extend([0; HEADER]);
        payload.extend(attribute(NLMSGERR_ATTR_MSG, b"no such thing\0"));
        let reply = Message::new(libc::NLMSG_ERROR as u16, NLM_F_CAPPED | NLM_F_ACK_TLVS, &payload);
        let reply = replies(reply.bytes()).next().unwrap();
        let refusal = Refusal::read(&reply, &[]).unwrap();
        assert_eq!((refusal.errno, refusal.words.as_deref()), (2, Some("no such thing")));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), offset in 0_usize..300) {
            for reply in replies(&bytes) {
                let _ = Refusal::read(&reply, &bytes);
                let _ = Attributes::after(reply.payload, 4).count();
            }
            let _ = attribute_at(&bytes, offset);
            let _ = Attributes::after(&bytes, offset).get_str(3);
        }
    }
}
